"""What must stand in the files of a report or a comparison that are read: manifests, columns of tables.

Whoever opens a folder may have been given it, or may have edited it: what does not fit is told when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from rvq_core.errors import ReportError
from rvq_core.shape import misfit
from rvq_core.stats.layer_facts import CORPORA

TEXT, NUMBER, COUNT, FLAG = "text", "number", "count", "flag"
"""Kinds of columns; counts are numbers of which none is null."""

CHECKPOINT = {
    "name": str, "file": str, "format": str, "sha256": str, "config": (dict, None), "representation": (str, None),
    "fps": (float, None), "corpora": dict, "notes": [str],
}  # fmt: skip
CLIPS = {"count": int, "seconds": float, "fingerprint": (str, None)}
TOLD = {"command": str, "settings": dict, "warnings": [str], "notes": [str], "left_out": [{"clip": str, "reason": str}]}
VERDICT = {
    "rule": str, "severity": str, "layers": [int], "finding": str, "measured_on": str, "cause": str, "advice": str,
    "caveat": str,
}  # fmt: skip

REPORT = {"checkpoint": CHECKPOINT, "clips": CLIPS, "verdicts": [VERDICT], **TOLD}
PARTS = {
    "parts": dict, "set": {"name": str, "fps": (float, None), "depth": int}, "clips": CLIPS, "verdicts": [VERDICT],
    **TOLD,
}  # fmt: skip
COMPARISON = {
    "baseline": str, "checkpoints": [CHECKPOINT], "clips": CLIPS, "summary": [str],
    "refused": [{"checkpoint": str, "what": str, "reason": str}], **TOLD,
}  # fmt: skip
"""Entries that the pages, exports and notebooks count on; the files have more."""

COLUMNS: Mapping[str, Mapping[str, Iterable[str]]] = {
    "layers": {
        NUMBER: (
            "layer", "codes", "tokens", "used", "unseen", "rare", "perplexity", "perplexity_low", "perplexity_high",
            "perplexity_ratio", "ceiling", "entropy_bits", "top1_share", "unseen_mass", "duplicates", "residual_energy",
        ),
    },
    "codes": {
        NUMBER: ("layer", "code", "count", "share", "norm", "nearest_code", "nearest_distance", "ema_count"),
        TEXT: ("status",),
    },
    "reconstruction": {NUMBER: ("n_active", "value", "low", "high", "reference"), TEXT: ("metric", "unit")},
    "clips": {NUMBER: ("frames", "fps", "tokens"), TEXT: ("clip", "representation"), FLAG: ("held_out",)},
    "clip_errors": {NUMBER: ("n_active", "value", "weight"), TEXT: ("clip", "metric")},
}  # fmt: skip
"""Columns of a report's main tables."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "layers": ("layer",), "codes": ("layer", "code"), "clips": ("clip",), "clip_errors": ("clip", "n_active", "metric"),
}  # fmt: skip
"""Columns that tell the rows of a table apart: no two rows have the same, and none is null."""

PARTS_COLUMNS: Mapping[str, Mapping[str, Iterable[str]]] = {
    "errors": COLUMNS["reconstruction"], "clips": {TEXT: ("clip",)}, "clip_errors": COLUMNS["clip_errors"],
}  # fmt: skip
"""Columns of the tables of a set of body parts."""


def check_manifest(manifest: object, shape: Mapping[str, Any], path: Path, by: str) -> None:
    """Raise ReportError for the first entry of a manifest that is missing or of another kind."""
    wrong = misfit(manifest, dict(shape))
    if wrong is not None:
        field, expected, found = wrong
        raise _refusal(f"{path}: {field}", expected, found, by)


def check_table(table: pd.DataFrame, columns: Mapping[str, Iterable[str]], path: Path, by: str) -> None:
    """Raise ReportError for the first column of a table that is missing or of another kind."""
    for kind, names in columns.items():
        for name in names:
            if name not in table:
                raise _refusal(f"{path}: {name}", f"a column of {kind}s", "no such column", by)
            if not _fits(table[name], kind):
                raise _refusal(f"{path}: {name}", f"a column of {kind}s", f"one of {table[name].dtype}", by)


def _fits(values: pd.Series, kind: str) -> bool:
    if is_bool_dtype(values.dtype):
        found = FLAG
    elif is_numeric_dtype(values.dtype):
        found = NUMBER
    elif values.dtype == object and is_bool_dtype(values.dropna().infer_objects()):
        found = FLAG
    else:
        found = TEXT
    if kind == COUNT:
        return found == NUMBER and bool(values.notna().all())
    return found == kind or bool(values.isna().all())


def check_whole(tables: Mapping[str, pd.DataFrame], folder: Path, by: str) -> None:
    """Raise ReportError where tables of a report, with their COLUMNS, contradict themselves or each other."""
    for name in ("layers", "codes"):  # further columns are figures too
        others = {"cause"}.union(*COLUMNS[name].values())
        further = [str(column) for column in tables[name] if column not in others]
        check_table(tables[name], {NUMBER: further}, folder / f"{name}.parquet", by)
    for name, keys in KEYS.items():
        rows = tables[name][list(keys)]
        path = folder / f"{name}.parquet"
        if bool(rows.isna().any(axis=None)):
            raise _refusal(path, f"{', '.join(keys)} in every row", "rows without", by)
        if bool(rows.duplicated().any()):
            raise _refusal(path, f"one row for each {', '.join(keys)}", "several for some", by)
    layers, codes = tables["layers"], tables["codes"]
    depth = len(layers)
    if depth == 0 or sorted(layers["layer"].tolist()) != list(range(1, depth + 1)):
        raise _refusal(folder / "layers.parquet", "layers 1, 2, ...", f"{layers['layer'].tolist()[:8]}", by)
    sizes = layers.set_index("layer")["codes"]
    counted = codes.groupby("layer")["code"].agg(["size", "min", "max"]).reindex(sizes.index)
    expected = pd.DataFrame({"size": sizes, "min": 0, "max": sizes - 1}).astype("float64")
    if set(codes["layer"]) != set(sizes.index) or not counted.astype("float64").equals(expected):
        raise _refusal(folder / "codes.parquet", "a row for each code of each layer", "others", by)
    if bool(codes.loc[codes["count"] > 0, "share"].isna().any()):
        raise _refusal(folder / "codes.parquet: share", "that of every code that was chosen", "none for some", by)
    for corpus in CORPORA:
        if (f"{corpus}_tokens" in layers) != (f"{corpus}_count" in codes):
            raise _refusal(folder / "codes.parquet", f"{corpus}_count, as layers has {corpus}_tokens", "none", by)
        figures = layers[[name for name in layers if str(name).startswith(f"{corpus}_")]].isna()
        if figures.any(axis=None) and not figures.all(axis=None):
            raise _refusal(
                folder / "layers.parquet", f"all figures of the {corpus} corpus, or none", "some of them", by
            )
    errors = tables["clip_errors"]
    if not set(errors["clip"]) <= set(tables["clips"]["clip"]):
        raise _refusal(folder / "clip_errors.parquet", "errors of the clips in clips.parquet", "others too", by)
    for name in ("clip_errors", "reconstruction"):
        depths = tables[name]["n_active"]
        if not depths.isin(range(-1, depth + 1)).all():
            raise _refusal(folder / f"{name}.parquet: n_active", f"-1 to {depth}", "other numbers", by)
    missing = sorted(set(errors["metric"]) - set(tables["clips"]))
    if missing:
        raise _refusal(folder / "clips.parquet", f"a column {missing[0]}, as it has errors", "none", by)


def _refusal(where: str | Path, expected: str, found: str, by: str) -> ReportError:
    return ReportError(str(where), expected=expected, found=found, do=f"run {by} again")


def columns_of(types: Mapping[str, str]) -> dict[str, list[str]]:
    """Columns by kind from their types as pandas names them; those of yes and no are left out."""
    numbers = [name for name, kind in types.items() if kind in ("Int64", "float64")]
    counts = [name for name, kind in types.items() if kind == "int64"]
    return {NUMBER: numbers, COUNT: counts, TEXT: [name for name, kind in types.items() if kind in ("string", "str")]}
