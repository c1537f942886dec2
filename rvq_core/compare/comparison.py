"""A comparison: tidy tables and a manifest, saved like a report. Columns: docs/compare.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from rvq_core.compare.codes import MATCHES_COLUMNS, MATCHING_COLUMNS, MOMENTS_COLUMNS
from rvq_core.compare.tables import (
    CONFIG_COLUMNS,
    CURVES_COLUMNS,
    EQUAL_RATE_COLUMNS,
    LAYERS_COLUMNS,
    METRICS_COLUMNS,
    USAGE_COLUMNS,
)
from rvq_core.folders import written_folder

# The same steps as for a report, so that both are replaced and refused alike.
from rvq_core.report import COMPARISONS, KIND, MANIFEST, read_manifest, read_table, write_table
from rvq_core.report_shape import COMPARISON, check_manifest, columns_of

SCHEMA = f"{COMPARISONS}1"
"""Version of the folder's layout and columns; its name keeps it from being read as a report."""

WRITTEN_BY = "rvq-lens compare"

TYPES = {
    "curves": CURVES_COLUMNS, "usage": USAGE_COLUMNS, "metrics": METRICS_COLUMNS, "layers": LAYERS_COLUMNS,
    "equal_rate": EQUAL_RATE_COLUMNS, "config": CONFIG_COLUMNS, "matching": MATCHING_COLUMNS,
    "code_matches": MATCHES_COLUMNS, "shared_moments": MOMENTS_COLUMNS,
}  # fmt: skip
"""Columns and types of the tables."""

TABLES = ("curves", "usage", "metrics", "layers", "equal_rate", "config", "matching", "code_matches")
LATER = ("shared_moments",)
"""Tables that earlier versions of the schema's folders do not hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Checkpoints against the first of them, the baseline.

    ``tables``: ``curves`` and ``usage`` hold the figures of every checkpoint on the clips that all have; ``metrics``,
    ``layers`` and ``equal_rate`` the differences to the baseline; ``config`` the settings that are not the same;
    ``matching``, ``code_matches`` and ``shared_moments`` which layers and codes say the same. ``manifest`` holds the
    checkpoints, what was refused and why, and a summary in words.
    """

    manifest: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def baseline(self) -> str:
        """Name of the first checkpoint."""
        return str(self.manifest["baseline"])

    @property
    def names(self) -> list[str]:
        """Names of all checkpoints, the baseline first."""
        return [str(each["name"]) for each in self.manifest["checkpoints"]]

    @property
    def refused(self) -> list[dict[str, Any]]:
        """What was not compared: ``checkpoint``, ``what``, ``reason``."""
        return list(self.manifest["refused"])

    def json(self) -> str:
        """The content of report.json."""
        return json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: str | Path) -> Path:
        """Write the comparison as a folder, whole or not at all; an earlier one (or a report) there is replaced.

        Raises ReportError for any other folder that is not empty, and where there is no room.
        """
        with written_folder(Path(folder), KIND) as temporary:
            self.write_into(temporary)
        return Path(folder).resolve()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a comparison's folder. Raises ReportError naming the file that is missing or damaged."""
        source = Path(folder)
        manifest = read_manifest(source, SCHEMA, WRITTEN_BY)
        check_manifest(manifest, COMPARISON, source / MANIFEST, WRITTEN_BY)
        names = [*TABLES, *(name for name in LATER if (source / f"{name}.parquet").exists())]
        tables = {
            name: read_table(source / f"{name}.parquet", WRITTEN_BY, columns=columns_of(TYPES[name])) for name in names
        }
        return cls(manifest, tables)

    def write_into(self, folder: Path) -> None:
        """Write the files into an existing, empty folder. Raises OSError."""
        for name, table in self.tables.items():
            write_table(table, folder / f"{name}.parquet")
        (folder / MANIFEST).write_text(self.json(), encoding="utf-8")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from rvq_core.report_html import comparison_html

        return comparison_html(self)
