"""Codes on a plane: principal components at once, UMAP when asked for.

All layers of one checkpoint share a space, so they are projected by one joint fit; so are two checkpoints whose spaces
can be compared.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.errors import SettingsError

SCALES = ("raw", "per_layer")
"""``raw`` keeps the shrinking scale of deeper layers; ``per_layer`` centres each layer and divides it by its spread."""

METRICS = ("euclidean", "cosine")

Floats = NDArray[np.float64]
Codebook = NDArray[np.floating[Any]]

_BLOCK = 1024
_TOO_FEW_FOR_UMAP = 4


class Projection(NamedTuple):
    """Coordinates of codes, and how they were made.

    ``table`` has one row per code: ``layer`` (1-based), ``code`` (0-based), ``x``, ``y``. ``made_by`` holds the method
    and its settings; for PCA also ``explained``, the shares of the total variance along x and y.
    """

    table: pd.DataFrame
    made_by: dict[str, Any]


def pca(codebooks: Sequence[Codebook], *, scale: str = "raw") -> Projection:
    """First two principal components of all codes [K_q, C] together.

    The sign of an axis is fixed: the coordinate of the space that weighs most in it weighs positively. Codes that are
    all equal land on the origin.
    """
    points = _stacked(codebooks, scale)
    coordinates, explained = _principal_plane(points)
    return Projection(_table(codebooks, coordinates), {"method": "pca", "scale": scale, "explained": explained})


def place_on_plane(
    codebooks: Sequence[Codebook], vectors: Sequence[Codebook], *, scale: str = "raw"
) -> list[NDArray[np.float64]]:
    """Coordinates [N_q, 2] of further ``vectors`` [N_q, C] of each layer on the plane that ``pca`` of the codes gives.

    With ``per_layer`` they are moved and scaled as the codes of their layer are.
    """
    points = _stacked(codebooks, scale)
    axes, _ = _principal_axes(points)
    placed: list[NDArray[np.float64]] = []
    for codes, some in zip(codebooks, vectors, strict=True):
        moved = np.asarray(some, dtype=np.float64)
        if scale == "per_layer":
            centre, spread = _centre_and_spread(np.asarray(codes, dtype=np.float64))
            moved = (moved - centre) / spread
        placed.append(_two_columns((moved - points.mean(axis=0)) @ axes))
    return placed


def umap_projection(
    codebooks: Sequence[Codebook],
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: str = "euclidean",
    seed: int = 0,
    scale: str = "raw",
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """UMAP of all codes [K_q, C] together (McInnes, Healy, Melville 2018), started from their principal components.

    The same seed gives the same coordinates on the same machine. ``n_neighbors`` counts a code itself, as UMAP does;
    ``made_by["n_neighbors"]`` is the number used, at most one less than there are codes. With fewer than four codes, or
    codes that are all equal, there is nothing to lay out and the principal components are returned. ``progress`` is
    told the passes that are done, and how many there will be; what it raises ends the computation.
    Raises SettingsError.
    """
    _check_settings(n_neighbors, min_dist, metric, seed)
    points = _stacked(codebooks, scale)
    start, _ = _principal_plane(points)
    neighbours = min(n_neighbors, len(points) - 1)
    made_by = {"method": "umap", "n_neighbors": neighbours, "min_dist": min_dist, "metric": metric, "seed": seed}
    if len(points) < _TOO_FEW_FOR_UMAP or not np.ptp(start):
        return Projection(_table(codebooks, start), made_by | {"scale": scale})
    coordinates = _lay_out(points, start, neighbours, min_dist, metric, seed, progress)
    return Projection(_table(codebooks, coordinates), made_by | {"scale": scale})


def taken_apart(table: pd.DataFrame, quantizers: Sequence[int]) -> list[pd.DataFrame]:
    """Tables of each model from that of a joint fit: ``pca`` or ``umap_projection`` of ``[*first, *second, ...]``.

    ``quantizers`` are the codebooks of each model; its layers are numbered from 1 again. What a joint fit shows is as
    comparable as the models' spaces are: those of independently trained models are rotated against each other.
    """
    ends = np.cumsum(quantizers)
    model = np.searchsorted(ends, table["layer"])
    return [
        table[model == number].assign(layer=lambda own, before=end - size: own["layer"] - before).reset_index(drop=True)
        for number, (end, size) in enumerate(zip(ends, quantizers, strict=True))
    ]


def nearest_neighbours(points: Floats, count: int, metric: str = "euclidean") -> tuple[NDArray[np.int32], Floats]:
    """Find the ``count`` nearest points of each point [N, C], itself first: indices and distances, both [N, count].

    Exact. Candidates come from blocks of one matrix product; their distances are computed again by subtraction, since
    the product loses the small ones.
    """
    vectors = _unit(points) if metric == "cosine" else points - points.mean(axis=0)
    single = vectors.astype(np.float32)
    squares = np.einsum("nc,nc->n", single, single)
    indices = np.empty((len(points), count), dtype=np.int32)
    distances = np.empty((len(points), count))
    for begin in range(0, len(points), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(points)))
        found = _nearest_in_block(single, squares, rows, count)
        exact = np.linalg.norm(vectors[rows, None, :] - vectors[found], axis=-1)
        if metric == "cosine":
            exact = exact**2 / 2  # unit vectors: |a - b|^2 = 2 (1 - cos)
        exact[found == rows[:, None]] = -1.0  # itself before its duplicates
        order = np.argsort(exact, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(found, order, axis=1)
        distances[rows] = np.maximum(np.take_along_axis(exact, order, axis=1), 0.0)
    return indices, distances


def _nearest_in_block(
    points: NDArray[np.float32], squares: NDArray[np.float32], rows: NDArray[np.intp], count: int
) -> NDArray[np.intp]:
    """Unordered indices [R, count] of the points nearest to ``rows``, each row's own index among them."""
    scores = squares[None, :] - 2.0 * (points[rows] @ points.T)
    scores[np.arange(len(rows)), rows] = -np.inf
    if count >= scores.shape[1]:
        return np.tile(np.arange(scores.shape[1]), (len(rows), 1))
    return np.argpartition(scores, count - 1, axis=1)[:, :count]


class _Listener(io.TextIOBase):
    """What UMAP's own progress bar writes to: lines of passes done and to come."""

    BAR: Mapping[str, Any] = {"bar_format": "{n_fmt} {total_fmt}", "disable": False, "leave": False, "mininterval": 0.2}

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self.progress = progress

    def write(self, text: str, /) -> int:
        """Tell what a line says, where it says anything: the bar is wiped with spaces too."""
        if found := re.search(r"(\d+) (\d+)", text):
            self.progress(int(found[1]), int(found[2]))
        return len(text)


def _lay_out(
    points: Floats,
    start: Floats,
    neighbours: int,
    min_dist: float,
    metric: str,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Floats:
    """UMAP coordinates [N, 2]. Neighbours are handed in: exact, and compiling UMAP's own search takes a minute."""
    with warnings.catch_warnings():
        # It tells that TensorFlow is missing, which only its parametric variant would need.
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP

    indices, distances = nearest_neighbours(points, neighbours, metric)
    noise = np.random.default_rng(seed).normal(scale=1e-4, size=start.shape)
    layout = UMAP(
        n_neighbors=neighbours,
        min_dist=min_dist,
        metric=metric,
        random_state=seed,
        n_jobs=1,  # a seed needs one thread; UMAP warns where it has to say so itself
        init=10.0 * start / np.abs(start).max() + noise,  # equal codes must not start on one spot
        precomputed_knn=(indices, distances.astype(np.float32)),
        tqdm_kwds=None if progress is None else {**_Listener.BAR, "file": _Listener(progress)},
    )
    with warnings.catch_warnings():
        # True and harmless: without its search index UMAP cannot transform new points, which we never ask for.
        warnings.filterwarnings("ignore", message="precomputed_knn.*transform will be unavailable")
        return np.asarray(layout.fit_transform(points.astype(np.float32)), dtype=np.float64)


def _principal_plane(points: Floats) -> tuple[Floats, list[float]]:
    """Coordinates [N, 2] along the two main axes, and the share of the variance that each explains."""
    axes, explained = _principal_axes(points)
    return _two_columns((points - points.mean(axis=0)) @ axes), explained


def _principal_axes(points: Floats) -> tuple[Floats, list[float]]:
    """The two main axes [C, 2] of points [N, C] (one where C is 1), and the share of the variance of each.

    Axes of points that are all equal are zero, so that everything lands on the origin.
    """
    centred = points - points.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    total = float(values.sum())
    # What is left of equal codes is rounding; an axis through it would mean nothing.
    if total <= 1e-18 * max(float((points**2).sum()), 1e-300):
        return np.zeros((centred.shape[1], 2)), [0.0, 0.0]
    axes = axes[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    explained = [max(float(value), 0.0) / total for value in values[::-1][:2]]
    return axes * signs, explained + [0.0] * (2 - len(explained))


def _two_columns(coordinates: Floats) -> Floats:
    """Codes of one dimension lie on a line."""
    return np.pad(coordinates, ((0, 0), (0, 2 - coordinates.shape[1])))


def projected_points(codebooks: Sequence[Codebook], made_by: dict[str, Any]) -> Floats:
    """The codes [sum K_q, C] as the projection ``made_by`` tells of saw them: scaled, and of unit length for cosine."""
    points = _stacked(codebooks, made_by["scale"])
    return _unit(points) if made_by.get("metric") == "cosine" else points


def _stacked(codebooks: Sequence[Codebook], scale: str) -> Floats:
    """All codes below each other [sum K_q, C] in float64, scaled as asked."""
    if scale not in SCALES:
        raise _setting("scale", " or ".join(SCALES), scale)
    sizes = {codebook.shape[1] for codebook in codebooks}
    if len(sizes) != 1:
        raise SettingsError(
            "codebook map", expected="codebooks of one dimension", found=f"dimensions {sorted(sizes)}",
            do="choose layers that share a space",
        )  # fmt: skip
    layers = [np.asarray(codebook, dtype=np.float64) for codebook in codebooks]
    return np.concatenate([_standardised(codes) for codes in layers] if scale == "per_layer" else layers)


def _standardised(codes: Floats) -> Floats:
    """Codes around their mean, divided by their root mean square distance from it (by 1 where that is 0)."""
    centre, spread = _centre_and_spread(codes)
    return (codes - centre) / spread


def _centre_and_spread(codes: Floats) -> tuple[Floats, float]:
    centre = codes.mean(axis=0)
    return centre, math.sqrt(float(((codes - centre) ** 2).sum(axis=1).mean())) or 1.0


def _unit(points: Floats) -> Floats:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1.0)


def _table(codebooks: Sequence[Codebook], coordinates: Floats) -> pd.DataFrame:
    sizes = [len(codebook) for codebook in codebooks]
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(1, len(sizes) + 1), sizes),
            "code": np.concatenate([np.arange(size) for size in sizes]),
            "x": coordinates[:, 0],
            "y": coordinates[:, 1],
        }
    )


def _check_settings(n_neighbors: int, min_dist: float, metric: str, seed: int) -> None:
    if n_neighbors < 2:
        raise _setting("n_neighbors", "at least 2", n_neighbors)
    if not 0.0 <= min_dist <= 1.0:
        raise _setting("min_dist", "a number in 0..1", min_dist)
    if metric not in METRICS:
        raise _setting("metric", " or ".join(METRICS), metric)
    if not 0 <= seed < 2**32:
        raise _setting("seed", "an integer in 0..2^32 - 1", seed)


def _setting(name: str, expected: str, found: object) -> SettingsError:
    return SettingsError(f"codebook map: {name}", expected=expected, found=repr(found), do="change this setting")
