"""``rvq-lens dash``: open the dashboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rvq_core.errors import SettingsError


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("dash", help="open the dashboard (also: rvq-lens alone)")
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="folder of checkpoints (default: the bundled ones)"
    )
    parser.add_argument("--clips", type=Path, metavar="DIR", help="folder of motion clips (default: the bundled ones)")
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help="only clips whose names stand in this list, one a line"
    )
    parser.add_argument("--groups", type=Path, metavar="FILE.csv", help="clip,group: usage and error by group as well")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="where results are kept (default: the user's cache)",
    )
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: 8501)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the dashboard until it is stopped; files that are no split or no groups are refused before it starts."""
    from rvq_core.clips.groups import read_groups
    from rvq_core.clips.split import read_split

    for name in ("checkpoints", "clips"):
        folder: Path | None = getattr(options, name)
        if folder is not None and not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
            raise SettingsError(f"--{name} {folder}", expected="a folder", found=found, do="check the path")
    if options.store is not None and options.store.exists() and not options.store.is_dir():
        raise SettingsError(f"--store {options.store}", expected="a folder", found="a file", do="name another place")
    if options.split is not None:
        read_split(options.split)
    if options.groups is not None:
        read_groups(options.groups)
    from dashboard.launch import launch

    launch(
        options.checkpoints,
        options.clips,
        options.port,
        groups=options.groups,
        split=options.split,
        store=options.store,
    )
    return 0
