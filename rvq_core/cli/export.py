"""``rvq-lens export``: figures, tables and one HTML file of a report, or of several in one go."""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.export_further import add_further, further_of
from rvq_core.cli.shared import progress_bar
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from dashboard.export.build import Choice
    from dashboard.export.sources import Source


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("export", help="figures, tables and one HTML file of a report or a comparison")
    parser.add_argument(
        "reports", type=Path, nargs="+", metavar="REPORT",
        help="a folder that rvq-lens analyze or compare wrote; of several, each gets a folder of its name in DIR",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the export (needed unless --list)")
    parser.add_argument("--formats", metavar="LIST", help="some of pdf,svg,png,html,csv,tex,md (default: all)")
    parser.add_argument("--figures", metavar="LIST", help="names as --list tells them, or all (default: the main ones)")
    add_further(parser)
    parser.add_argument("--preset", default="single", help="single (85 mm, default), double (175 mm), slide")
    parser.add_argument("--titles", action="store_true", help="draw each figure's title above it")
    parser.add_argument("--list", action="store_true", help="print the names of this report's figures alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the exports, say where they are."""
    from dashboard.export.build import KIND, export_files, write_export
    from dashboard.export.sources import figures_of, read_source

    sources = [read_source(path) for path in options.reports]
    further = [further_of(source, options) for source in sources]
    if options.list:
        for source, more in zip(sources, further, strict=True):
            print("\n".join(f"{entry.name}{' (detail)' * entry.detail}" for entry, _ in figures_of(source, None, more)))
        return 0
    if options.out is None:
        raise SettingsError("rvq-lens export", expected="--out DIR", found="none", do="say where the files go")
    folders = _folders(options.reports, options.out)
    labels = _labels(folders) if len(folders) > 1 else [""]
    choices = [_choice(source, options, label) for source, label in zip(sources, labels, strict=True)]
    for folder in folders:
        KIND.refuse_unwritable(folder)
    for source, more, choice, folder in zip(sources, further, choices, folders, strict=True):
        with progress_bar("figures") as progress:
            files = export_files(source, choice, options.command_line, progress, more)
        write_export(files, folder)
        print(f"{len(files)} files: {folder}")
    return 0


def _folders(reports: list[Path], out: Path) -> list[Path]:
    """Where each export goes: ``out`` itself for one report, folders of their names in it for several."""
    if len(reports) == 1:
        return [out]
    names = [path.resolve().name for path in reports]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise SettingsError(
            "rvq-lens export", expected="reports in folders of different names", found=f"{times} called {name}",
            do="export them one by one, each with a --out of its own",
        )  # fmt: skip
    return [out / name for name in names]


def _labels(folders: list[Path]) -> list[str]:
    """What tells the LaTeX labels of several exports apart: the folders' names in letters, digits and hyphens."""
    labels: list[str] = []
    for folder in folders:
        plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or "report"
        labels.append(next(each for n in count(1) if (each := name if n == 1 else f"{name}-{n}") not in labels))
    return labels


def _choice(source: Source, options: argparse.Namespace, label: str) -> Choice:
    from dashboard.export.build import FORMATS, Choice
    from dashboard.export.sources import figures_of

    figures = None if options.figures is None else _listed(options.figures)
    if figures == ("all",):
        figures = tuple(entry.name for entry, _ in figures_of(source))
    elif figures is not None:
        figures_of(source, figures)  # a wrong name is told before the first export is written
    formats = FORMATS if options.formats is None else _listed(options.formats)
    return Choice(formats, figures, options.preset, options.titles, label)


def _listed(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
