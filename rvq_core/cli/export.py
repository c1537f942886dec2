"""``rvq-lens export``: figures, tables and one HTML file of a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rvq_core.cli.shared import progress_bar
from rvq_core.errors import SettingsError


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("export", help="figures, tables and one HTML file of a report or a comparison")
    parser.add_argument("report", type=Path, metavar="REPORT", help="a folder that rvq-lens analyze or compare wrote")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the export (needed unless --list)")
    parser.add_argument("--formats", metavar="LIST", help="some of pdf,svg,png,html,csv,tex,md (default: all)")
    parser.add_argument("--figures", metavar="LIST", help="names as --list tells them, or all (default: the main ones)")
    parser.add_argument("--preset", default="single", help="single (85 mm, default), double (175 mm), slide")
    parser.add_argument("--titles", action="store_true", help="draw each figure's title above it")
    parser.add_argument("--list", action="store_true", help="print the names of this report's figures alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the export, say where it is."""
    from dashboard.export.build import FORMATS, KIND, Choice, export_files, write_export
    from dashboard.export.sources import figures_of, read_source

    report = read_source(options.report)
    if options.list:
        print("\n".join(f"{entry.name}{' (detail)' * entry.detail}" for entry, _ in figures_of(report)))
        return 0
    if options.out is None:
        raise SettingsError("rvq-lens export", expected="--out DIR", found="none", do="say where the files go")
    KIND.refuse_foreign(options.out)
    figures = None if options.figures is None else _listed(options.figures)
    if figures == ("all",):
        figures = tuple(entry.name for entry, _ in figures_of(report))
    formats = FORMATS if options.formats is None else _listed(options.formats)
    choice = Choice(formats, figures, options.preset, options.titles)
    with progress_bar("figures") as progress:
        files = export_files(report, choice, options.command_line, progress)
    write_export(files, options.out)
    print(f"{len(files)} files: {options.out}")
    return 0


def _listed(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
