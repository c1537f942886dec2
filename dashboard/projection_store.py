"""UMAP coordinates in the store: an entry for each set of codebooks and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.settings import UmapSettings
from dashboard.store import Store, key_of
from rvq_core.stats.projection import Projection, umap_projection
from rvq_core.stats.trustworthiness import with_trustworthiness

KIND = "projections"
FILE = "projection.json"
_COLUMNS = ("layer", "code", "x", "y")


def key(settings: UmapSettings, codebooks: Sequence[NDArray[np.float32]]) -> str:
    """Key over the codebooks [K_q, C] of the chosen layers and the settings."""
    digest = hashlib.sha256()
    for layer in settings.layers:
        codes = np.ascontiguousarray(codebooks[layer - 1], dtype="<f4")
        digest.update(f"{codes.shape}".encode() + codes.tobytes())
    return key_of({"what": "umap", "settings": asdict(settings), "codebooks": digest.hexdigest()})


def find(store: Store, settings: UmapSettings, codebooks: Sequence[NDArray[np.float32]]) -> Projection | None:
    """What was computed earlier; None where there is nothing, or nothing that can be used."""
    expected = sum(len(codebooks[layer - 1]) for layer in settings.layers)
    return store.find(KIND, key(settings, codebooks), lambda folder: _read(folder / FILE, expected))


def compute(
    settings: UmapSettings,
    codebooks: Sequence[NDArray[np.float32]],
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """Lay the codes of the chosen layers out, telling ``progress`` of the passes. Raises SettingsError."""
    chosen = asdict(settings)
    layers: tuple[int, ...] = chosen.pop("layers")
    some = [codebooks[layer - 1] for layer in layers]
    projection = with_trustworthiness(umap_projection(some, **chosen, progress=progress), some)
    numbers = np.asarray(layers)[projection.table["layer"].to_numpy() - 1]
    return projection._replace(table=projection.table.assign(layer=numbers))


def keep(
    store: Store, settings: UmapSettings, codebooks: Sequence[NDArray[np.float32]], projection: Projection
) -> None:
    """Keep coordinates with their settings. Raises OSError."""
    table = {column: projection.table[column].tolist() for column in _COLUMNS}
    entry = json.dumps({"settings": asdict(settings), "made_by": projection.made_by, "table": table})
    store.put(KIND, key(settings, codebooks), lambda folder: (folder / FILE).write_text(entry, encoding="utf-8"))


def _read(path: Path, expected: int) -> Projection:
    """The coordinates of so many codes. Raises ValueError, OSError, KeyError or TypeError where they are not there."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    numbers = np.array([entry["table"][column] for column in _COLUMNS], dtype=np.float64)  # [4, K]
    if numbers.shape != (len(_COLUMNS), expected) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {expected} finite coordinates, found an array {numbers.shape}")
    table = pd.DataFrame(dict(zip(_COLUMNS, numbers, strict=True)))
    return Projection(table.astype({"layer": np.int64, "code": np.int64}), dict(entry["made_by"]))
