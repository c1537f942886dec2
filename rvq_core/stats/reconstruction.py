"""Reconstruction error against the number of active quantizers: from clips to the corpus, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats.metrics import UNITS

DRAWS = 2000
"""Bootstrap draws of an interval."""

MOST_KEPT = 10_000
"""Clips up to which draws are kept: every figure of a report is resampled alike, and drawing takes longest."""

UNQUANTISED = -1
"""In place of a number of active quantizers: the decoder's answer to the latents themselves."""

Values = NDArray[np.floating[Any]]

_COLUMNS = {
    "n_active": "int64", "metric": "str", "value": "float64", "low": "float64", "high": "float64", "unit": "str",
    "reference": "float64", "gain": "float64", "gain_low": "float64", "gain_high": "float64", "worse": "bool",
    "joint": "string", "group": "string",
}  # fmt: skip


class JointErrors(NamedTuple):
    """One metric of one clip by joint: ``values`` [N, J] for ``n_active`` [N] (-1: unquantised) and ``joints`` [J].

    Weighted by frames, as everywhere; all clips of a table have the same ``n_active``.
    """

    clip: str
    metric: str
    joints: tuple[str, ...]
    n_active: tuple[int, ...]
    values: Values
    weight: int


def weighted_mean(values: Values, weights: Values) -> Values:
    """Mean over clips: ``values`` [M, ...] with ``weights`` [M] (frames) -> [...]."""
    return np.tensordot(weights.astype(np.float64), values.astype(np.float64), axes=1) / weights.sum()


def bootstrap_interval(values: Values, weights: Values, seed: int) -> tuple[Values, Values] | None:
    """95 % percentile bootstrap over clips of the weighted mean; ``values`` [M, N] -> two [N]. None for one clip.

    The draws depend on ``seed`` and M alone, so figures of the same clips are resampled alike (paired).
    """
    means = bootstrap_means(values, weights, seed)
    return None if means is None else _percentiles(means)


def bootstrap_means(values: Values, weights: Values, seed: int) -> Values | None:
    """The draws behind ``bootstrap_interval``: weighted means [DRAWS, N] of ``values`` [M, N]. None for one clip."""
    clips = len(values)
    if clips < 2:
        return None
    drawn = (_kept_times_drawn if clips <= MOST_KEPT else _times_drawn)(clips, seed) * weights
    return drawn @ values.astype(np.float64) / drawn.sum(axis=1, keepdims=True)


def _times_drawn(clips: int, seed: int) -> NDArray[np.uint32]:
    """How often each clip is drawn [DRAWS, M]."""
    return np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=DRAWS).astype(np.uint32)


_kept_times_drawn = lru_cache(maxsize=2)(_times_drawn)


def _percentiles(means: Values) -> tuple[Values, Values]:
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def reconstruction_table(
    clip_errors: pd.DataFrame,
    seed: int,
    *,
    by_joint: Sequence[JointErrors] = (),
    groups: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Error of each metric at n = 0..Q, from the table of clip errors (clip, n_active, metric, value, weight).

    ``gain`` is what the n-th quantizer took off, with the interval of that difference (``gain_low``, ``gain_high``:
    the same clips drawn for both); ``worse`` marks one that added instead. ``reference`` is the same metric of the
    unquantised path. The overall rows come first (``joint`` and ``group`` null), then a joint's for
    every joint of ``by_joint``, then a group's for every group of ``groups`` (clip -> group; clips without one are in
    none). Figures of the same clips are resampled alike, so overall, joint and group rows may be compared.
    """
    parts = [*_by_metric(clip_errors, seed), *_joint_rows(by_joint, seed)]
    if groups is not None:
        of_clip = clip_errors["clip"].map(dict(groups))
        for group, rows in clip_errors.groupby(of_clip):
            parts += [part.assign(group=str(group)) for part in _by_metric(rows, seed)]
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})
    return pd.concat([part.astype(_COLUMNS) for part in parts], ignore_index=True) if parts else empty


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a reconstruction table over all joints and clips; all rows of one that tells neither apart."""
    split = [name for name in ("joint", "group") if name in table]
    return table[table[split].isna().all(axis="columns")]


def errors_by_split(clips: pd.DataFrame, clip_errors: pd.DataFrame) -> pd.DataFrame:
    """Error with all quantizers, held-out and training clips apart: ``held_out``, ``metric``, ``value``, ``clips``.

    Means are weighted as everywhere; ``clips`` counts them. Clips unknown to the checkpoint are in neither.
    """
    full = clip_errors[clip_errors["n_active"] == clip_errors["n_active"].max()].dropna(subset=["value"])
    known = full.merge(clips[["clip", "held_out"]].dropna(), on="clip")
    known = known[known["weight"] > 0].astype({"held_out": bool})
    rows = [
        (held_out, metric, float(weighted_mean(part["value"].to_numpy(), part["weight"].to_numpy())), len(part))
        for (held_out, metric), part in known.groupby(["held_out", "metric"])
    ]
    return pd.DataFrame(rows, columns=["held_out", "metric", "value", "clips"])


def clip_columns(clip_errors: pd.DataFrame, depth: int) -> pd.DataFrame:
    """One row a clip, one column a metric: the error with all ``depth`` quantizers."""
    wide = clip_errors[clip_errors["n_active"] == depth].pivot(index="clip", columns="metric", values="value")
    return wide.reindex(columns=[metric for metric in UNITS if metric in wide.columns])


@dataclass(frozen=True, slots=True, eq=False)
class _Clips:
    """Errors ``values`` [M, J, N] of clips with ``weights`` [M], for ``joints`` [J] and ``n_active`` [N], ascending.

    One joint of the name None stands for the clip as a whole. NaN: the clip has no such joint, or no such metric.
    """

    values: Values
    weights: Values
    joints: Sequence[str | None]
    n_active: NDArray[np.int64]


def by_clip(rows: pd.DataFrame, columns: str | list[str] = "n_active") -> Iterator[tuple[str, pd.DataFrame, Values]]:
    """Each metric of a table of clip errors: its name, a row a clip and a column for each of ``columns``, weights [M].

    Clips stand in the order of their names, so bootstrap draws of the same clips fall on the same ones.
    """
    of_metric = dict(iter(rows.groupby("metric")))
    for metric in UNITS:
        if metric in of_metric:
            wide = of_metric[metric].pivot(index="clip", columns=columns, values="value")
            weights = of_metric[metric].groupby("clip")["weight"].first().reindex(wide.index)
            yield metric, wide, weights.to_numpy(dtype=np.float64)


def _by_metric(rows: pd.DataFrame, seed: int) -> Iterator[pd.DataFrame]:
    """The table of each metric that clip errors hold."""
    for metric, wide, weights in by_clip(rows):
        n_active = wide.columns.to_numpy(dtype=np.int64)
        yield _figures(metric, _Clips(wide.to_numpy()[:, None], weights, [None], n_active), seed)


def _joint_rows(by_joint: Sequence[JointErrors], seed: int) -> Iterator[pd.DataFrame]:
    """The table of each metric by joint; clips in the order of their names, as in the overall rows."""
    for metric in UNITS:
        found = sorted((errors for errors in by_joint if errors.metric == metric), key=lambda errors: errors.clip)
        if found:
            numbers = {name: j for j, name in enumerate(dict.fromkeys(name for each in found for name in each.joints))}
            order = np.argsort(found[0].n_active)
            values = np.full((len(found), len(numbers), len(order)), np.nan)
            for clip, errors in zip(values, found, strict=True):
                clip[[numbers[name] for name in errors.joints]] = errors.values[order].T
            weights = np.array([errors.weight for errors in found], dtype=np.float64)
            n_active = np.array(found[0].n_active, dtype=np.int64)[order]
            yield _figures(metric, _Clips(values, weights, list(numbers), n_active), seed)


def _figures(metric: str, clips: _Clips, seed: int) -> pd.DataFrame:
    """Means and intervals over clips: a row a joint and number of quantizers."""
    quantised = clips.n_active != UNQUANTISED
    mean, low, high = _means(clips, seed)
    shape = mean[:, quantised].shape
    steps = -np.diff(clips.values[:, :, quantised], axis=2)
    gains = _means(_Clips(steps, clips.weights, clips.joints, clips.n_active[quantised][1:]), seed)
    # Nothing is gained without quantizers.
    gain, gain_low, gain_high = (np.pad(part, ((0, 0), (1, 0)), constant_values=np.nan) for part in gains)
    reference = np.broadcast_to(mean[:, ~quantised], shape)
    return pd.DataFrame(
        {
            "n_active": np.tile(clips.n_active[quantised], shape[0]),
            "metric": metric,
            "value": mean[:, quantised].ravel(),
            "low": low[:, quantised].ravel(),
            "high": high[:, quantised].ravel(),
            "unit": UNITS[metric],
            "reference": reference.ravel(),
            "gain": gain.ravel(),
            "gain_low": gain_low.ravel(),
            "gain_high": gain_high.ravel(),
            "worse": np.nan_to_num(gain.ravel()) < 0,
            "joint": pd.array(np.repeat(np.array(clips.joints, dtype=object), shape[1]), dtype="string"),
            "group": pd.array([None] * mean[:, quantised].size, dtype="string"),
        }
    )


def _means(clips: _Clips, seed: int) -> tuple[Values, Values, Values]:
    """Weighted means and the bounds of their intervals, each [J, N]; NaN where no clip has any, or only one has."""
    mean, low, high = (np.full(clips.values.shape[1:], np.nan) for _ in range(3))
    # A clip for which the metric does not exist (velocity of one frame) counts in none of its figures.
    having: NDArray[np.bool_] = np.logical_not(np.isnan(clips.values).any(axis=2))
    # Joints that the same clips have are averaged together, which is all of them as a rule.
    for kept in np.unique(having[:, having.any(axis=0)], axis=1).T:
        same = (having == kept[:, None]).all(axis=0)
        values, weights = clips.values[np.ix_(kept, same)], clips.weights[kept]
        mean[same] = weighted_mean(values, weights)
        interval = bootstrap_interval(values.reshape(len(values), -1), weights, seed)
        if interval is not None:
            low[same], high[same] = (bound.reshape(values.shape[1:]) for bound in interval)
    return mean, low, high
