"""The report of a set of body parts: the whole body's errors, and a report of each part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rvq_core.errors import ReportError
from rvq_core.folders import written_folder
from rvq_core.report import KIND, MANIFEST, SCHEMA, WRITTEN_BY, Report, read_manifest, read_table, write_table
from rvq_core.report_shape import PARTS, PARTS_COLUMNS, check_manifest

TABLES = ("errors", "clips", "clip_errors")

WHOLE = "whole body"


@dataclass(frozen=True, slots=True, eq=False)
class PartsReport:
    """The result of analysing a set.

    ``errors`` are the rows of a reconstruction table with two columns more: ``part`` ('whole body', 'upper', ...) and
    ``posed``: 'together' on the body that all parts make, 'alone' with all joints outside the part at rest. ``clips``
    and ``clip_errors`` are of the whole body; ``parts`` holds the report of each part.
    """

    manifest: dict[str, Any]
    errors: pd.DataFrame
    clips: pd.DataFrame
    clip_errors: pd.DataFrame
    parts: dict[str, Report]

    @property
    def of_body(self) -> pd.DataFrame:
        """The rows of ``errors`` of the whole body over all clips."""
        return self.errors[(self.errors["part"] == WHOLE) & self.errors["group"].isna()]

    @property
    def line_numbers(self) -> dict[str, int]:
        """Numbers 1, 2, ... of the parts, then of the whole body: so they look alike in every figure."""
        return {name: number for number, name in enumerate([*self.parts, WHOLE], start=1)}

    def save(self, folder: str | Path) -> Path:
        """Write the report as a folder with one folder a part, whole or not at all. Raises ReportError."""
        with written_folder(Path(folder), KIND) as temporary:
            self.write_into(temporary)
        return Path(folder).resolve()

    @classmethod
    def load(cls, folder: str | Path) -> PartsReport:
        """Read such a folder. Raises ReportError naming what is missing or damaged."""
        source = Path(folder)
        manifest = read_manifest(source, SCHEMA, WRITTEN_BY)
        if "parts" not in manifest:
            raise ReportError(
                str(source), expected="the report of a set of body parts", found="that of one checkpoint",
                do="read it with Report.load",
            )  # fmt: skip
        check_manifest(manifest, PARTS, source / MANIFEST, WRITTEN_BY)
        tables = {name: read_table(source / f"{name}.parquet", columns=PARTS_COLUMNS[name]) for name in TABLES}
        parts = {str(part): Report.load(source / Path(str(part)).name) for part in manifest["parts"]}
        return cls(manifest=manifest, parts=parts, **tables)

    def json(self) -> str:
        """The content of report.json."""
        return json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write_into(self, folder: Path) -> None:
        """Write the files of the report into a folder that is there and empty."""
        for name, table in (("errors", self.errors), ("clips", self.clips), ("clip_errors", self.clip_errors)):
            write_table(table, folder / f"{name}.parquet")
        for part, report in self.parts.items():
            (folder / part).mkdir()
            report.write_into(folder / part)
        (folder / MANIFEST).write_text(self.json(), encoding="utf-8")
