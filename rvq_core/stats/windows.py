"""The most typical windows of each code: where in the clips a residual came nearest to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats.keyed import Ints
from rvq_core.stats.sequences import find_runs

Floats = NDArray[np.float64]

WINDOWS_A_CODE = 5
"""Windows kept of each code."""

_FOLD_AT = 1 << 17
"""Windows of a layer that may wait before the best are picked."""

_COLUMNS = {
    "layer": "int64", "code": "int64", "rank": "int64", "clip": "str", "token": "int64", "run_tokens": "int64",
    "seconds": "float64", "distance": "float64",
}  # fmt: skip


class _Windows(NamedTuple):
    """Of one layer, [n] each: code; place among its code's in the clip; distance; clip's number; token; run length."""

    code: Ints
    place: Ints
    distance: Floats
    clip: Ints
    token: Ints
    run: Ints

    def rows(self, which: Ints | NDArray[np.bool_]) -> _Windows:
        """Those of the windows, in this order."""
        return _Windows(
            self.code[which], self.place[which], self.distance[which], self.clip[which], self.token[which],
            self.run[which],
        )  # fmt: skip

    @staticmethod
    def joined(parts: Sequence[_Windows]) -> _Windows:
        """All windows of several parts."""
        return _Windows(
            np.concatenate([part.code for part in parts]), np.concatenate([part.place for part in parts]),
            np.concatenate([part.distance for part in parts]), np.concatenate([part.clip for part in parts]),
            np.concatenate([part.token for part in parts]), np.concatenate([part.run for part in parts]),
        )  # fmt: skip


class ClosestWindows:
    """The nearest tokens of each code, one a run, best from different clips first: they grow and can be merged.

    A run is a stretch of tokens on one code; of each the token nearest to the code stands for it. A clip's second
    nearest run of a code comes after every other clip's nearest. ``codes``: the number K of codes of each layer.
    """

    def __init__(self, codes: Sequence[int], size: int = WINDOWS_A_CODE) -> None:
        self.codes = tuple(codes)
        self.size = size
        self._clips: list[str] = []
        self._seconds_per_token: list[float] = []
        self._parts: list[list[_Windows]] = [[] for _ in self.codes]

    def add(self, clip: str, tokens: NDArray[np.integer[Any]], distances: Floats, seconds: float | None) -> None:
        """Add a clip's tokens [T', Q] and the L2 distances [T', Q] of the residuals to their codes.

        ``seconds`` that a token lasts, None where unknown. Clips have different names.
        """
        self._clips.append(clip)
        self._seconds_per_token.append(np.nan if seconds is None else seconds)
        for layer in range(len(self.codes)):
            if len(tokens):
                found = _of_clip(tokens[:, layer].astype(np.int64), distances[:, layer], len(self._clips) - 1)
                self._put(layer, found.rows(found.place < self.size))

    def merge(self, other: ClosestWindows) -> None:
        """Add what ``other`` was given, of other clips; it stays as it is."""
        if (self.codes, self.size) != (other.codes, other.size):
            raise ValueError("windows of different codebooks or sizes cannot be merged")
        shift = len(self._clips)
        self._clips += other._clips
        self._seconds_per_token += other._seconds_per_token
        for layer, parts in enumerate(other._parts):
            for part in parts:
                self._put(layer, part._replace(clip=part.clip + shift))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The windows kept, for a file; the clips' names are in ``clips``."""
        found: dict[str, NDArray[Any]] = {"seconds": np.array(self._seconds_per_token, dtype=np.float64)}
        for layer, parts in enumerate(self._parts):
            if parts:
                self._fold(layer)
                for name, values in zip(_Windows._fields, self._parts[layer][0], strict=True):
                    found[f"{layer}/{name}"] = values
        return found

    def take_arrays(self, clips: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add what ``clips`` and ``arrays`` gave of other clips' windows, of the same codebooks and size."""
        shift = len(self._clips)
        self._clips += clips
        self._seconds_per_token += arrays["seconds"].tolist()
        for layer in range(len(self.codes)):
            if f"{layer}/code" in arrays:
                part = _Windows(*(arrays[f"{layer}/{name}"] for name in _Windows._fields))
                self._put(layer, part._replace(clip=part.clip + shift))

    @property
    def clips(self) -> list[str]:
        """Names of the clips that were added."""
        return self._clips

    def table(self) -> pd.DataFrame:
        """Up to ``size`` rows for each code seen, the nearest first; columns in docs/report.md."""
        lasting = np.array(self._seconds_per_token)
        parts = [_empty()]
        for layer in range(len(self.codes)):
            if not self._parts[layer]:
                continue
            self._fold(layer)
            best = self._parts[layer][0]
            order = np.lexsort((best.token, self._name_order()[best.clip], best.distance, best.code))
            code, _, distance, clip, token, run = best.rows(order)
            rank = 1 + np.arange(len(code)) - np.searchsorted(code, code)
            columns = {
                "code": code, "rank": rank, "clip": np.array(self._clips, dtype=object)[clip], "token": token,
                "run_tokens": run, "seconds": token * lasting[clip], "distance": distance,
            }  # fmt: skip
            parts.append(pd.DataFrame({"layer": layer + 1, **columns}).astype(_COLUMNS))
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]

    def _put(self, layer: int, windows: _Windows) -> None:
        parts = self._parts[layer]
        parts.append(windows)
        if sum(len(part.code) for part in parts) > max(_FOLD_AT, 2 * self.size * self.codes[layer]):
            self._fold(layer)

    def _fold(self, layer: int) -> None:
        """Keep the best of each code: by place in their clip, then distance, then name and token, so ties have one."""
        every = _Windows.joined(self._parts[layer])
        keys = (every.token, self._name_order()[every.clip], every.distance, every.place, every.code)
        order = np.lexsort(keys)
        code = every.code[order]
        kept = order[np.arange(len(code)) - np.searchsorted(code, code) < self.size]
        self._parts[layer] = [every.rows(kept)]

    def _name_order(self) -> Ints:
        """The place of each clip among their sorted names: not the order in which they came."""
        order = np.empty(len(self._clips), dtype=np.int64)
        order[sorted(range(len(self._clips)), key=self._clips.__getitem__)] = np.arange(len(self._clips))
        return order


def _of_clip(tokens: Ints, distances: Floats, clip: int) -> _Windows:
    """The nearest token of each run of a clip's tokens [T'], and its place among those of its code."""
    begins = np.zeros(len(tokens), dtype=bool)
    begins[0] = True
    starts, lengths = find_runs(tokens, begins)
    run_of = np.repeat(np.arange(len(starts)), lengths)
    nearest = np.lexsort((distances, run_of))[starts]
    code, distance = tokens[starts], distances[nearest]
    order = np.lexsort((nearest, distance, code))
    place = np.arange(len(order)) - np.searchsorted(code[order], code[order])
    number = np.full(len(order), clip, dtype=np.int64)
    return _Windows(code[order], place, distance[order], number, nearest[order], lengths[order])


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})
