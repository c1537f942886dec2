"""What can be exported, a report (of a set of body parts too) or a comparison, and what an export says of either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard import words
from dashboard.export.comparisons import COMPARISON_TABLES, comparison_figures
from dashboard.export.parts import parts_figures, parts_tables
from dashboard.export.registry import FigureEntry, report_figures
from dashboard.export.tables import REPORT_TABLES, TableEntry
from rvq_core.compare import Comparison
from rvq_core.compare.comparison import SCHEMA as COMPARISON_SCHEMA
from rvq_core.errors import SettingsError
from rvq_core.folders import told_in
from rvq_core.parts import PartsReport
from rvq_core.report import MANIFEST, Report

Source = Report | PartsReport | Comparison

TOLD = ("name", "file", "format", "sha256", "clips_fingerprint")
"""What an export repeats of a checkpoint; the last only a comparison tells of each."""


def read_source(folder: Path) -> Source:
    """Read a folder that ``rvq-lens analyze`` or ``rvq-lens compare`` wrote. Raises ReportError."""
    manifest = told_in(folder / MANIFEST)
    if manifest.get("schema") == COMPARISON_SCHEMA:
        return Comparison.load(folder)
    return PartsReport.load(folder) if "parts" in manifest else Report.load(folder)  # which says what may be wrong


def figures_of(
    source: Source, names: Sequence[str] | None = None, further: Sequence[FigureEntry[Any]] = ()
) -> list[tuple[FigureEntry[Any], pd.DataFrame]]:
    """The figures that this source can show, with their tables; ``names`` chooses some.

    ``further`` ones stand behind them, chosen or not: those of a code (``codes.code_figures``). Raises SettingsError
    for a name that is not in the list, or that there are no numbers for.
    """
    possible, more = _shown(_figures(source), source), _shown(further, source)
    if names is None:
        return possible + more
    found = {entry.name: (entry, table) for entry, table in possible}
    missing = [name for name in names if name not in found]
    if missing:
        raise SettingsError(
            "figures", expected=f"some of {', '.join(found)}", found=", ".join(missing), do="name those of this report"
        )
    return [found[name] for name in dict.fromkeys(names)] + more


def _shown(entries: Sequence[FigureEntry[Any]], source: Source) -> list[tuple[FigureEntry[Any], pd.DataFrame]]:
    """The entries that this source has numbers for."""
    return [(entry, table) for entry in entries if (table := entry.table(source)) is not None]


def _figures(source: Source) -> Sequence[FigureEntry[Any]]:
    if isinstance(source, Comparison):
        return comparison_figures(source)
    return report_figures(source) if isinstance(source, Report) else parts_figures(source)


def tables_of(source: Source) -> list[tuple[TableEntry[Any], pd.DataFrame]]:
    """The tables of this source that hold something."""
    possible = [(entry, entry.table(source)) for entry in _tables(source)]
    return [(entry, table) for entry, table in possible if table is not None and len(table)]


def _tables(source: Source) -> Sequence[TableEntry[Any]]:
    if isinstance(source, Comparison):
        return COMPARISON_TABLES
    return REPORT_TABLES if isinstance(source, Report) else parts_tables(source)


def name_of(source: Source) -> str:
    """What the source is about."""
    if isinstance(source, PartsReport):
        return str(source.manifest["set"]["name"])
    if isinstance(source, Comparison):
        baseline, *others = source.names
        return f"{', '.join(others)} against {baseline}"
    return str(source.manifest["checkpoint"]["name"])


def measured_on(source: Source) -> str:
    """On what its figures are measured; ``**`` marks the number."""
    if isinstance(source, Comparison):
        clips = source.manifest["clips"]
        return f"Measured on the same {clips['count']} clips ({clips['seconds']:,.1f} s); baseline: {source.baseline}."
    told = words.measured_on if isinstance(source, Report) else words.measured_on_body
    return told(source.manifest, source.clips)


def sentences(source: Source) -> list[str]:
    """What stands first on a page about it; ``**`` marks what matters."""
    told = [*source.manifest["warnings"], *source.manifest["notes"]]
    if isinstance(source, Comparison):
        refused = [f"Not compared: {each['what']} of {each['checkpoint']}: {each['reason']}" for each in source.refused]
        return [*source.manifest["summary"], *refused, *told]
    if isinstance(source, PartsReport):
        return [words.depth_sentence(words.headline_metric(source.of_body), canonical=True), *told]
    return [words.summary(source.layers, source.overall, words.is_canonical(source.clips)), *told]


def provenance(source: Source) -> dict[str, Any]:
    """Version, command, checkpoints with their sha256, clips with their fingerprint, settings with the seed."""
    manifest = source.manifest
    return {
        "rvq_lens": manifest["rvq_lens"],
        "command": manifest["command"],
        "checkpoints": [{name: each[name] for name in TOLD if name in each} for each in _checkpoints(source)],
        "clips": manifest["clips"],
        "settings": manifest["settings"],
    }


def _checkpoints(source: Source) -> list[dict[str, Any]]:
    """What the manifest tells of each."""
    if isinstance(source, Comparison):
        return source.manifest["checkpoints"]
    return [source.manifest["checkpoint"]] if isinstance(source, Report) else list(source.manifest["parts"].values())
