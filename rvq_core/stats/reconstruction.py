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

Values = NDArray[np.floating[Any]]


def weighted_mean(values: Values, weights: Values) -> NDArray[np.float64]:
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
    parts = [
        _one_metric(metric, clip_errors[clip_errors["metric"] == metric], seed)
        for metric in UNITS
        if (clip_errors["metric"] == metric).any()
    ]
    return pd.concat(parts, ignore_index=True)


def clip_columns(clip_errors: pd.DataFrame, depth: int) -> pd.DataFrame:
    """One row a clip, one column a metric: the error with all ``depth`` quantizers."""
    full = clip_errors[clip_errors["n_active"] == depth]
    wide = full.pivot(index="clip", columns="metric", values="value")
    return wide[[metric for metric in UNITS if metric in wide.columns]]


def _one_metric(metric: str, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    wide = rows.pivot(index="clip", columns="n_active", values="value").dropna()
    weights = rows.drop_duplicates("clip").set_index("clip")["weight"].loc[wide.index].to_numpy(dtype=np.float64)
    means = pd.Series(weighted_mean(wide.to_numpy(), weights), index=wide.columns)
    depths = wide.columns[wide.columns != UNQUANTISED]
    interval = bootstrap_interval(wide[depths].to_numpy(), weights, seed)
    value = means[depths].to_numpy()
    gain = np.concatenate([[np.nan], -np.diff(value)])
    return pd.DataFrame(
        {
            "n_active": depths.to_numpy(dtype=np.int64),
            "metric": metric,
            "value": value,
            "low": interval[0] if interval else np.nan,
            "high": interval[1] if interval else np.nan,
            "unit": UNITS[metric],
            "reference": means[UNQUANTISED],
            "gain": gain,
            "worse": np.nan_to_num(gain) < 0,
        }
    )
