"""UMAP coordinates on disk: one file for each set of codebooks and settings, found again at the next start."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from rvq_core.files import written_whole
from rvq_core.stats.projection import Projection, umap_projection
from rvq_core.stats.trustworthiness import with_trustworthiness

SCHEMA = 2
_COLUMNS = ("layer", "code", "x", "y")


@dataclass(frozen=True, slots=True)
class UmapSettings:
    """What the coordinates depend on beside the codebooks; ``layers`` are 1-based."""

    layers: tuple[int, ...]
    n_neighbors: int = 15
    min_dist: float = 0.1
    metric: str = "euclidean"
    seed: int = 0
    scale: str = "raw"


def key(settings: UmapSettings, codebooks: list[NDArray[np.float32]]) -> str:
    """sha256 over the codebooks of the chosen layers and the settings."""
    digest = hashlib.sha256(json.dumps([SCHEMA, asdict(settings)], sort_keys=True).encode())
    for layer in settings.layers:
        codes = np.ascontiguousarray(codebooks[layer - 1], dtype="<f4")
        digest.update(f"{codes.shape}".encode() + codes.tobytes())
    return digest.hexdigest()


def find(settings: UmapSettings, codebooks: list[NDArray[np.float32]]) -> Projection | None:
    """Read what was computed earlier; None where there is nothing, or nothing that can be used."""
    path = _path(key(settings, codebooks))
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        numbers = np.array([entry["table"][column] for column in _COLUMNS], dtype=np.float64)  # [4, K]
        made_by = dict(entry["made_by"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # missing or damaged: it is computed again and written over
    expected = sum(len(codebooks[layer - 1]) for layer in settings.layers)
    if numbers.shape != (len(_COLUMNS), expected) or not np.isfinite(numbers).all():
        return None
    table = pd.DataFrame(dict(zip(_COLUMNS, numbers, strict=True)))
    return Projection(table.astype({"layer": np.int64, "code": np.int64}), made_by)


def compute(settings: UmapSettings, codebooks: list[NDArray[np.float32]]) -> Projection:
    """Compute the coordinates and write them down. A disk that refuses raises OSError."""
    chosen = asdict(settings)
    layers: tuple[int, ...] = chosen.pop("layers")
    some = [codebooks[layer - 1] for layer in layers]
    projection = with_trustworthiness(umap_projection(some, **chosen), some)
    numbers = np.asarray(layers)[projection.table["layer"].to_numpy() - 1]
    projection = projection._replace(table=projection.table.assign(layer=numbers))
    _write(_path(key(settings, codebooks)), projection, asdict(settings))
    return projection


def _write(path: Path, projection: Projection, settings: dict[str, Any]) -> None:
    table = {column: projection.table[column].tolist() for column in _COLUMNS}
    entry = {"schema": SCHEMA, "settings": settings, "made_by": projection.made_by, "table": table}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(entry), encoding="utf-8")


def _path(name: str) -> Path:
    return Path(user_cache_dir("rvq-lens")) / "projections" / f"{name}.json"
