"""Reconstruction error against the number of active quantizers: from clips to the corpus, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UNITS = {"feature_mse": "1", "mpjpe": "mm", "mpjpe_hands": "mm", "velocity_error": "mm/s", "rotation_error": "deg"}
"""Every metric and its unit, in the order in which tables list them."""

DRAWS = 2000
"""Bootstrap draws of an interval."""

UNQUANTISED = -1
"""In place of a number of active quantizers: the decoder's answer to the latents themselves."""

Values = NDArray[np.floating[Any]]

_COLUMNS = {
    "n_active": "int64", "metric": "str", "value": "float64", "low": "float64", "high": "float64", "unit": "str",
    "reference": "float64", "gain": "float64", "worse": "bool",
}  # fmt: skip


def weighted_mean(values: Values, weights: Values) -> Values:
    """Mean over clips: ``values`` [M, ...] with ``weights`` [M] (frames) -> [...]."""
    return np.tensordot(weights.astype(np.float64), values.astype(np.float64), axes=1) / weights.sum()


def bootstrap_interval(values: Values, weights: Values, seed: int) -> tuple[Values, Values] | None:
    """95 % percentile bootstrap over clips of the weighted mean; ``values`` [M, N] -> two [N]. None for one clip.

    The draws depend on ``seed`` and M alone, so figures of the same clips are resampled alike (paired).
    """
    clips = len(values)
    if clips < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=DRAWS) * weights
    means = drawn @ values.astype(np.float64) / drawn.sum(axis=1, keepdims=True)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def reconstruction_table(clip_errors: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Overall error of each metric at n = 0..Q, from the table of clip errors (clip, n_active, metric, value, weight).

    ``gain`` is what the n-th quantizer took off; ``worse`` marks one that added instead. ``reference`` is the same
    metric of the unquantised path.
    """
    by_metric = dict(iter(clip_errors.groupby("metric")))
    if not by_metric:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})
    parts = [_one_metric(metric, by_metric[metric], seed) for metric in UNITS if metric in by_metric]
    return pd.concat(parts, ignore_index=True)


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


def _one_metric(metric: str, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    # A clip for which the metric does not exist (velocity of one frame) counts in none of its figures.
    wide = rows.pivot(index="clip", columns="n_active", values="value").dropna()
    weights = rows.groupby("clip")["weight"].first().reindex(wide.index).to_numpy(dtype=np.float64)
    unquantised = wide[UNQUANTISED].to_numpy()
    wide = wide.drop(columns=UNQUANTISED)
    reference = float(weighted_mean(unquantised, weights)) if len(wide) else np.nan
    values = wide.to_numpy()
    mean = weighted_mean(values, weights) if len(wide) else np.full(values.shape[1], np.nan)
    interval = bootstrap_interval(values, weights, seed)
    gain = np.concatenate([[np.nan], -np.diff(mean)])
    return pd.DataFrame(
        {
            "n_active": wide.columns.to_numpy(dtype=np.int64),
            "metric": metric,
            "value": mean,
            "low": interval[0] if interval else np.nan,
            "high": interval[1] if interval else np.nan,
            "unit": UNITS[metric],
            "reference": reference,
            "gain": gain,
            "worse": np.nan_to_num(gain) < 0,
        }
    )
