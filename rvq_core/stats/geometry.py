"""Where the codes of a codebook lie: norms, nearest neighbours, duplicates. Codebooks are [K, C]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DUPLICATE_SHARE = 1e-3
"""Two codes are duplicates when closer than this share of the layer's median nearest-neighbour distance."""

_ROWS_AT_ONCE = 1024


class Neighbours(NamedTuple):
    """Of each code [K]: the nearest other code and its L2 distance; -1 and NaN where there is no other."""

    code: NDArray[np.int64]
    distance: NDArray[np.float64]


class Margins(NamedTuple):
    """How far a code [K] is from winning its first latent; NaN for codes that win one.

    Smallest over latents x, won by w: ``squared`` |x - c|^2 - |x - w|^2, and ``l2`` |x - c| - |x - w|, by which the
    code would have to come nearer.
    """

    squared: NDArray[np.float64]
    l2: NDArray[np.float64]


def norms(codebook: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """L2 norm of each code [K]."""
    return np.linalg.norm(codebook.astype(np.float64), axis=1)


def nearest_neighbours(codebook: NDArray[np.floating[Any]]) -> Neighbours:
    """The nearest other code of each code, the lowest number among equals."""
    codes = codebook.astype(np.float64)
    count = len(codes)
    if count < 2:
        return Neighbours(np.full(count, -1), np.full(count, np.nan))
    squares = np.square(codes).sum(axis=1)
    nearest = np.empty(count, dtype=np.int64)
    for start in range(0, count, _ROWS_AT_ONCE):
        block = codes[start : start + _ROWS_AT_ONCE]
        distances = squares - 2 * block @ codes.T
        distances[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        nearest[start : start + len(block)] = distances.argmin(axis=1)
    # The product finds the neighbour; the difference tells its distance without cancellation.
    return Neighbours(nearest, np.linalg.norm(codes - codes[nearest], axis=1))


def nearest_to(codebook: NDArray[np.floating[Any]], code: int, count: int) -> Neighbours:
    """The ``count`` other codes nearest to ``code``, nearest first; the lower number among equals."""
    codes = codebook.astype(np.float64)
    distances = np.linalg.norm(codes - codes[code], axis=1)
    distances[code] = np.inf
    order = np.argsort(distances, kind="stable")[: min(count, len(codes) - 1)]
    return Neighbours(order, distances[order])


def is_duplicate(neighbours: Neighbours) -> NDArray[np.bool_]:
    """Codes [K] that lie, but for rounding, on another one."""
    distance = neighbours.distance
    if not len(distance) or np.isnan(distance).all():
        return np.zeros(len(distance), dtype=bool)
    return (distance == 0) | (distance < DUPLICATE_SHARE * np.median(distance))


def participation_ratio(covariance: NDArray[np.floating[Any]]) -> float | None:
    """Effective dimension of a covariance [C, C]: (sum of variances)^2 / sum of their squares; None where all is equal.

    1 where all variance lies along one direction, C where it is the same along all.
    """
    squares = float(np.square(covariance).sum())  # of a symmetric matrix: the sum of its eigenvalues' squares
    return float(np.trace(covariance)) ** 2 / squares if squares > 0 else None


def geometry_table(
    codebooks: Sequence[NDArray[np.floating[Any]]],
    neighbours: Sequence[Neighbours],
    residuals: Sequence[NDArray[np.floating[Any]] | None],
) -> pd.DataFrame:
    """One row a layer: spread of norms and of nearest-neighbour distances, effective dimensions of codes and residuals.

    ``residuals``: the covariance [C, C] of what reaches each layer, None where there is none. Columns: docs/report.md.
    """
    rows: list[dict[str, Any]] = []
    for layer, (codebook, near, residual) in enumerate(zip(codebooks, neighbours, residuals, strict=True), start=1):
        row: dict[str, Any] = {"layer": layer, "codes": len(codebook), "channels": codebook.shape[1]}
        for name, values in (("norm", norms(codebook)), ("nearest", near.distance)):
            for part, share in (("p05", 5), ("median", 50), ("p95", 95)):
                row[f"{name}_{part}"] = float(np.percentile(values, share))
        row["code_dimension"] = participation_ratio(np.atleast_2d(np.cov(codebook.T.astype(np.float64), bias=True)))
        row["residual_dimension"] = None if residual is None else participation_ratio(residual)
        row["residual_spread"] = None if residual is None else float(np.sqrt(max(0.0, float(np.trace(residual)))))
        rows.append(row)
    measured = ["code_dimension", "residual_dimension", "residual_spread"]
    return pd.DataFrame(rows).astype(dict.fromkeys(measured, "float64"))
