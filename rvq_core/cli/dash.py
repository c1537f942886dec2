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
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: 8501)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the dashboard until it is stopped."""
    for name in ("checkpoints", "clips"):
        folder: Path | None = getattr(options, name)
        if folder is not None and not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
            raise SettingsError(f"--{name} {folder}", expected="a folder", found=found, do="check the path")
    from dashboard.launch import launch

    launch(options.checkpoints, options.clips, options.port)
    return 0
