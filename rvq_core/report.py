"""A report: the tidy tables of one analysis, its manifest and its tokens, saved as Parquet, JSON and npz.

It is what the command line writes, what the dashboard shows and caches, and what comparing and exporting read. The
columns are listed in docs/report.md. Missing values are null.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.counted import counted
from rvq_core.errors import ReportError, RVQLensError, unreadable
from rvq_core.folders import FolderKind, files_in, told_in, written_folder
from rvq_core.limits import SETTINGS, bounded_text, refuse_unpacking, unpacked_size
from rvq_core.report_shape import COLUMNS, REPORT, check_manifest, check_table, check_whole
from rvq_core.stats.reconstruction import overall

SCHEMA = 1
"""Version of the folder's layout and columns."""

COMPARISONS = "comparison-"
"""How the schemas of comparisons begin, which are folders of the same make."""

WRITTEN_BY = "rvq-lens analyze"

MANIFEST = "report.json"
TABLES = ("layers", "codes", "reconstruction", "clips", "clip_errors")
TOKENS = "tokens.npz"
PROJECTIONS = "projections"

CELL_BYTES = 8
"""What a cell of a table takes in memory, at least."""

Tokens = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The result of one analysis.

    ``layers``, ``codes``, ``reconstruction``, ``clips`` and ``clip_errors`` are tables with one row per layer, per
    code, per number of active quantizers and metric, per clip, and per clip, number and metric. ``tokens`` are the
    indices of each clip [T', Q], in the order of ``clips``. ``projections`` are coordinates of the codes by name;
    ``tables`` are the further tables by name, whatever of them could be measured.
    """

    manifest: dict[str, Any]
    layers: pd.DataFrame
    codes: pd.DataFrame
    reconstruction: pd.DataFrame
    clips: pd.DataFrame
    clip_errors: pd.DataFrame
    tokens: Sequence[Tokens] = ()
    projections: dict[str, pd.DataFrame] = field(default_factory=lambda: dict[str, pd.DataFrame]())
    tables: dict[str, pd.DataFrame] = field(default_factory=lambda: dict[str, pd.DataFrame]())

    @property
    def overall(self) -> pd.DataFrame:
        """The rows of ``reconstruction`` over all joints and clips."""
        return overall(self.reconstruction)

    def save(self, folder: str | Path) -> Path:
        """Write the report as a folder, whole or not at all.

        An earlier report there is replaced, and other files in it stay; any other folder that is not empty is refused
        (ReportError).
        """
        with written_folder(Path(folder), KIND) as temporary:
            self.write_into(temporary)
        return Path(folder).resolve()

    @classmethod
    def load(cls, folder: str | Path) -> Report:
        """Read a report folder. Raises ReportError naming the file that is missing or damaged."""
        source = Path(folder)
        manifest = read_manifest(source, SCHEMA, WRITTEN_BY)
        _refuse_set(source, manifest)
        check_manifest(manifest, REPORT, source / MANIFEST, WRITTEN_BY)
        main = {name: read_table(source / f"{name}.parquet", columns=COLUMNS[name]) for name in TABLES}
        check_whole(main, source, WRITTEN_BY)
        tables = _read_tables(source, besides=TABLES)
        projections = _read_tables(source / PROJECTIONS)
        tokens = _read_tokens(source / TOKENS, len(main["clips"]), len(main["layers"]))
        return cls(manifest=manifest, tokens=tokens, projections=projections, tables=tables, **main)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from rvq_core.report_html import report_html

        return report_html(self)

    def __repr__(self) -> str:
        """One line: what was measured, on what."""
        checkpoint, clips = self.manifest["checkpoint"], self.manifest["clips"]
        return (
            f"Report({checkpoint['name']!r}, {counted(len(self.layers), 'layer')}, {counted(clips['count'], 'clip')})"
        )

    def json(self) -> str:
        """The content of report.json."""
        return json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write_into(self, folder: Path) -> None:
        """Write the files of the report into a folder that is there and empty."""
        main = {name: cast(pd.DataFrame, getattr(self, name)) for name in TABLES}
        for name, table in (self.tables | main).items():
            write_table(table, folder / f"{name}.parquet")
        arrays = {f"clip_{i:05d}": np.asarray(tokens, dtype=np.uint16) for i, tokens in enumerate(self.tokens)}
        np.savez_compressed(folder / TOKENS, allow_pickle=False, **arrays)
        (folder / PROJECTIONS).mkdir()
        for name, table in self.projections.items():
            write_table(table, folder / PROJECTIONS / f"{name}.parquet")
        (folder / MANIFEST).write_text(self.json(), encoding="utf-8")


def _is_report(folder: Path) -> bool:
    """Whether the folder's manifest is ours: other tools write a report.json too, and their folders must stay."""
    return "rvq_lens" in told_in(folder / MANIFEST)


def _written_in(folder: Path) -> list[Path]:
    """Tables, tokens and manifests, of body parts too."""
    return [path for path in files_in(folder) if path.suffix == ".parquet" or path.name in (MANIFEST, TOKENS)]


KIND = FolderKind("report", _is_report, _written_in)
"""Reports and comparisons replace each other, and no other folder."""


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet."""
    table.to_parquet(path, index=False)


def read_manifest(source: Path, schema: object, by: str) -> dict[str, Any]:
    """The manifest of a folder of this schema, which the command ``by`` writes. Raises ReportError."""
    path = source / MANIFEST
    try:
        manifest = json.loads(bounded_text(path, SETTINGS, ReportError))
    except (FileNotFoundError, NotADirectoryError) as error:
        there = "no such file in it" if source.is_dir() else "no folder" if source.exists() else "nothing there"
        raise ReportError(
            str(source), expected=f"a folder with {_kind(schema)} ({MANIFEST})", found=there,
            do=f"name a folder that {by} wrote",
        ) from error  # fmt: skip
    except OSError as error:
        raise unreadable(path, error, ReportError) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ReportError(
            str(path), expected="the manifest of a report", found=str(error) or type(error).__name__,
            do=f"name a folder that {by} wrote",
        ) from error  # fmt: skip
    found = cast(dict[str, Any], manifest).get("schema") if isinstance(manifest, dict) else None
    if _kind(found) not in (None, _kind(schema)):
        raise ReportError(
            str(source), expected=str(_kind(schema)), found=str(_kind(found)), do=f"name a folder that {by} wrote"
        )
    if found != schema:
        raise ReportError(f"{path}: schema", expected=str(schema), found=repr(found), do=f"run {by} again")
    return cast(dict[str, Any], manifest)


def _kind(schema: object) -> str | None:
    """What a folder of this schema is, of whichever version; None where it is none of ours."""
    if isinstance(schema, str) and schema.startswith(COMPARISONS):
        return "a comparison of several checkpoints"
    return "the report of an analysis" if isinstance(schema, int) else None


def _refuse_set(source: Path, manifest: dict[str, Any]) -> None:
    if "parts" in manifest:
        names = ", ".join(manifest["parts"])
        raise ReportError(
            str(source), expected="the report of one checkpoint", found=f"that of a set of body parts ({names})",
            do="name one of the folders inside it",
        )  # fmt: skip


def read_table(path: Path, by: str = WRITTEN_BY, *, columns: Mapping[str, Iterable[str]] | None = None) -> pd.DataFrame:
    """Read a Parquet table that the command ``by`` wrote, with these ``columns`` by kind. Raises ReportError."""
    # Imported here, for those who write and read none. pandas' own reader takes twice as long for tables so small.
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            cells = file.metadata.num_rows * file.metadata.num_columns
            refuse_unpacking(CELL_BYTES * cells, path.stat().st_size, path, ReportError)
            table = file.read(use_threads=False).to_pandas(use_threads=False)
    except RVQLensError:
        raise
    except Exception as error:  # pyarrow and pandas raise what they happen to meet in a damaged file
        raise ReportError(
            str(path), expected="a Parquet table", found=_first_line(error), do=f"run {by} again"
        ) from error
    check_table(table, columns or {}, path, by)
    return table


def _read_tables(folder: Path, besides: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    paths = [path for path in sorted(folder.glob("*.parquet")) if path.stem not in besides]
    return {path.stem: read_table(path) for path in paths}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _read_tokens(path: Path, clips: int, layers: int) -> list[Tokens]:
    """Tokens [T', Q] of each clip."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            refuse_unpacking(unpacked_size(archive, archive.files), path.stat().st_size, path, ReportError)
            found = [archive[name] for name in archive.files]
    except RVQLensError:
        raise
    except Exception as error:  # numpy and zipfile raise what they happen to meet in a damaged file
        raise ReportError(
            str(path), expected="an .npz of tokens", found=f"{type(error).__name__}: {error}",
            do=f"run {WRITTEN_BY} again",
        ) from error  # fmt: skip
    shapes = [tokens.shape if isinstance(tokens, np.ndarray) and tokens.dtype == np.uint16 else () for tokens in found]
    if [shape[1:] for shape in shapes] != [(layers,)] * clips:
        raise ReportError(
            str(path), expected=f"uint16 tokens of {clips} clips with {layers} layers each",
            found=f"arrays of shapes {', '.join(map(str, shapes[:5]))}", do=f"run {WRITTEN_BY} again",
        )  # fmt: skip
    return found
