"""How far a picture of codes may be trusted: whether those near each other in it are near in their own space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import KDTree

from rvq_core.stats.projection import Projection, projected_points

Floats = NDArray[np.floating[Any]]

NEIGHBOURS = 15
"""Neighbours in the picture that are looked at, as many as UMAP looks at."""

POINTS_JUDGED = 2048
"""Points whose neighbours are looked at; of more, so many drawn at random."""

PAIRS_JUDGED = 1 << 25
"""Pairs of points that are looked at: of very many points fewer are judged, each against all others."""

_ROWS_AT_ONCE = 256

_COLUMNS = {
    "projection": "str", "layer": "Int64", "codes": "int64", "neighbours": "Int64", "judged": "int64",
    "trustworthiness": "float64",
}  # fmt: skip


def trustworthiness(
    points: Floats, picture: Floats, neighbours: int = NEIGHBOURS, *, judged: int | None = None, seed: int = 0
) -> float | None:
    """Trustworthiness of a ``picture`` [N, 2] of ``points`` [N, C], in 0..1 (Venna and Kaski 2001; as scikit-learn).

    1 - 2 / (N k (2 N - 3 k - 1)) times the sum, over points and those of their k nearest in the picture that are
    not among their k nearest in truth, of true rank - k. Of more than ``judged`` points so many are drawn by ``seed``.
    None where k is not below N / 2: there it is not defined.
    """
    count, k = len(points), neighbours
    if not 0 < k < count / 2:
        return None
    rows = np.arange(count)
    judged = points_judged(count) if judged is None else judged
    if count > judged:
        rows = np.sort(np.random.default_rng(seed).choice(count, judged, replace=False))
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    near = _nearest_in(picture.astype(np.float64), rows, k)
    chunks = [slice(i, i + _ROWS_AT_ONCE) for i in range(0, len(rows), _ROWS_AT_ONCE)]
    penalty = sum(_penalty(centred, near[some], rows[some]) for some in chunks)
    return 1.0 - penalty * 2.0 / (len(rows) * k * (2.0 * count - 3.0 * k - 1.0))


def points_judged(count: int) -> int:
    """How many of ``count`` points are looked at."""
    return min(count, POINTS_JUDGED, max(PAIRS_JUDGED // max(count, 1), 256))


def trustworthiness_table(projection: str, table: pd.DataFrame, codebooks: Sequence[Floats]) -> pd.DataFrame:
    """One row for all codes together (``layer`` null) and one a layer, of a projection's coordinates."""
    picture = table[["x", "y"]].to_numpy()
    points = np.concatenate([codebook[rows["code"]] for codebook, (_, rows) in _by_layer(table, codebooks)])
    parts = [_row(projection, None, points, picture)]
    for codebook, (layer, rows) in _by_layer(table, codebooks):
        parts.append(_row(projection, layer, codebook[rows["code"]], rows[["x", "y"]].to_numpy()))
    return pd.DataFrame(parts, columns=list(_COLUMNS)).astype(_COLUMNS)


def with_trustworthiness(projection: Projection, codebooks: Sequence[Floats]) -> Projection:
    """The projection with ``made_by["trustworthiness"]``, None where it is not defined.

    ``codebooks`` are those that were projected, in the order of the table. Neighbours are those of the space that the
    projection saw: scaled as it was, by the metric that it was given.
    """
    points = projected_points(codebooks, projection.made_by)
    value = trustworthiness(points, projection.table[["x", "y"]].to_numpy())
    return projection._replace(made_by=projection.made_by | {"trustworthiness": value})


def _by_layer(table: pd.DataFrame, codebooks: Sequence[Floats]) -> list[tuple[Floats, tuple[int, pd.DataFrame]]]:
    groups = [(int(str(layer)), rows) for layer, rows in table.groupby("layer", sort=True)]
    return [(codebooks[layer - 1], (layer, rows)) for layer, rows in groups]


def _row(projection: str, layer: int | None, points: Floats, picture: Floats) -> tuple[object, ...]:
    value = trustworthiness(points, picture)
    known = value is not None
    return (
        projection, layer, len(points), NEIGHBOURS if known else None, points_judged(len(points)) if known else 0,
        value,
    )  # fmt: skip


def _penalty(points: Floats, near: NDArray[np.intp], rows: NDArray[np.intp]) -> int:
    """Sum over ``rows`` and their k nearest in the picture, ``near`` [R, k], of max(0, true rank - k)."""
    total, k = 0, near.shape[1]
    for true, neighbours in zip(_distances(points, rows), near.tolist(), strict=True):
        for number in neighbours:
            # The rank is how many lie nearer, itself included; of equals the lower number is first.
            edge = true[number]
            nearer = np.count_nonzero(true < edge) + np.count_nonzero(true[:number] == edge)
            total += max(nearer + 1 - k, 0)
    return total


def _nearest_in(picture: Floats, rows: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """The k nearest others of ``rows`` in the picture [R, k]."""
    found = np.asarray(KDTree(picture).query(picture[rows], k + 1)[1])
    # Where more than k points lie on one place it may be missing among them: then the last is one too many.
    own = np.argmax(np.column_stack([found[:, :k] == rows[:, None], np.ones(len(rows), dtype=bool)]), axis=1)
    return found[np.arange(k + 1) != own[:, None]].reshape(len(rows), k)


def _distances(points: Floats, rows: NDArray[np.intp]) -> Floats:
    """Squared distances [R, N] of ``rows`` to all points, infinite to themselves."""
    squares = np.einsum("nc,nc->n", points, points)
    distances = squares[rows, None] + squares[None, :] - 2 * points[rows] @ points.T
    distances[np.arange(len(rows)), rows] = np.inf
    return distances
