"""An export: figures, tables, one HTML file and a manifest that says what they are made of."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

import rvq_core
from dashboard.export.html import html_report
from dashboard.export.latex.table import latex
from dashboard.export.registry import FigureEntry
from dashboard.export.sources import Source, figures_of, measured_on, name_of, provenance, tables_of
from dashboard.export.text_table import markdown, text_table
from dashboard.paper import FORMATS as DRAWN
from dashboard.paper import PRESETS, figure_files
from rvq_core.errors import SettingsError
from rvq_core.folders import FolderKind, told_in, written_folder

SCHEMA = 1
MANIFEST = "manifest.json"
KEY = "rvq_lens_export"
"""Of the manifest's schema: by it an earlier export is known."""

FORMATS = (*DRAWN, "html", "csv", "tex", "md")
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of all files of a zip: the same export, the same bytes."""

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to export: formats, names of figures (None: the main ones), size, and whether titles are drawn.

    ``label`` stands before the names of LaTeX labels, as ``tab:LABEL-layers``, so that several exports fit one paper.
    """

    formats: tuple[str, ...] = FORMATS
    figures: tuple[str, ...] | None = None
    preset: str = "single"
    titles: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        """Raise SettingsError for what there is not."""
        for field, given, known in (("formats", self.formats, FORMATS), ("preset", (self.preset,), tuple(PRESETS))):
            wrong = [each for each in given if each not in known]
            if wrong or not given:
                raise SettingsError(
                    field, expected=f"{'some' if field == 'formats' else 'one'} of {', '.join(known)}",
                    found=", ".join(wrong) or "none", do="choose among those",
                )  # fmt: skip


def export_files(
    source: Source,
    choice: Choice,
    command: str,
    progress: Callable[[int, int, str], None] | None = None,
    further: Sequence[FigureEntry[Any]] = (),
) -> Files:
    """Every file of the export by its path; the same input gives the same bytes, but for ``created``.

    ``progress`` is called with figures done, figures in all, and the name of the next one. ``further`` figures, such
    as those of a code, come besides those that ``choice`` names.
    """
    chosen = [
        (entry, table)
        for entry, table in figures_of(source, choice.figures, further)
        if choice.figures is not None or not entry.detail
    ]
    files: Files = {}
    figures: list[tuple[FigureEntry[Any], go.Figure]] = []
    for done, (entry, table) in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen), entry.name)
        figure = entry.draw(table, source)
        figures.append((entry, figure))
        files |= {f"figures/{name}": content for name, content in _figure_files(entry, table, figure, choice)}
    if progress is not None:
        progress(len(chosen), len(chosen), "tables")
    files |= {f"tables/{name}": content for name, content in _table_files(source, choice)}
    if "html" in choice.formats:
        files["report.html"] = html_report(source, figures, command).encode()
    manifest = _manifest(source, choice, command, [entry for entry, _ in chosen], sorted(files))
    files[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    return files


def write_export(files: Files, folder: Path) -> Path:
    """Write the files as a folder, whole or not at all; an earlier export is replaced, any other folder refused.

    Other files in an earlier export stay.
    """
    with written_folder(folder, KIND) as temporary:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    return folder.resolve()


def zipped(files: Files) -> bytes:
    """The files as one zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def caption(source: Source, entry: FigureEntry[Any]) -> str:
    """What a figure shows, how it was made where that is to be told, and on what it is measured."""
    return f"{entry.explained()} {measured_on(source).replace('**', '')}"


def _figure_files(
    entry: FigureEntry[Any], table: pd.DataFrame, figure: go.Figure, choice: Choice
) -> Iterator[tuple[str, bytes]]:
    drawn = [form for form in DRAWN if form in choice.formats]
    if drawn:
        title = entry.title if choice.titles else None
        for form, content in figure_files(figure, drawn, preset=choice.preset, title=title).items():
            yield f"{entry.name}.{form}", content
    if "csv" in choice.formats:
        yield f"{entry.name}.csv", _csv(table)


def _table_files(source: Source, choice: Choice) -> Iterator[tuple[str, bytes]]:
    measured = measured_on(source).replace("**", "")
    for entry, table in tables_of(source):
        if "csv" in choice.formats:
            yield f"{entry.name}.csv", _csv(table)
        printed = text_table(
            table, entry.columns(source), f"{entry.title} ({name_of(source)}). {measured}", references=entry.references
        )
        if "md" in choice.formats:
            yield f"{entry.name}.md", markdown(printed).encode()
        if "tex" in choice.formats:
            yield f"{entry.name}.tex", latex(printed, "-".join(filter(None, (choice.label, entry.name)))).encode()


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _manifest(
    source: Source, choice: Choice, command: str, entries: Sequence[FigureEntry[Any]], files: list[str]
) -> dict[str, Any]:
    return {
        KEY: SCHEMA,
        "rvq_lens": rvq_core.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "report": provenance(source),
        "choice": {"formats": list(choice.formats), "preset": choice.preset, "titles": choice.titles},
        "figures": [{"name": e.name, "title": e.title, "caption": caption(source, e)} for e in entries],
        "files": files,
    }


def _is_export(folder: Path) -> bool:
    """Whether an earlier export lies there: other tools write a manifest.json too, and their folders must stay."""
    return KEY in told_in(folder / MANIFEST)


def _written_in(folder: Path) -> set[Path]:
    files = told_in(folder / MANIFEST).get("files")
    return {Path(MANIFEST), *(Path(str(name)) for name in (files if isinstance(files, list) else []))}


KIND = FolderKind("export", _is_export, _written_in)
