"""What layers are worth: how many of them reach most of the gain, what is lost without one, what is left to gain.

Errors are rows of clips, as ``clip_errors`` of a report holds them: weighted by frames, intervals by bootstrap over
clips, and every difference between two errors drawn on the same clips. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rvq_core.stats.metrics import CURVES, UNITS
from rvq_core.stats.reconstruction import (
    UNQUANTISED,
    Values,
    bootstrap_interval,
    bootstrap_means,
    by_clip,
    weighted_mean,
)

SHARES = (0.90, 0.95, 0.99)
"""Of the full gain, for which the number of quantizers is told."""

FULL, WITHOUT, BEAM, FREE = "full", "without", "beam", "unquantised"
"""How a clip was encoded: greedily with all layers; without layer ``number``; by a beam of ``number``; not at all."""

CHANGING = (*CURVES, "latent_distortion")
"""Metrics that codes can change."""

_NEVER = np.iinfo(np.int32).max
"""In place of a number of quantizers that does not exist: more than any."""

_NEEDED = {
    "metric": "str", "share": "float64", "quantizers": "Int64", "low": "Int64", "high": "Int64",
    "agreement": "float64", "full_gain": "float64", "unit": "str", "clips": "int64",
}  # fmt: skip

_MEASURED = {
    "value": "float64", "low": "float64", "high": "float64", "unit": "str", "clips": "int64", "frames": "int64"
}  # fmt: skip

_WITHOUT = {
    "layer": "int64", "metric": "str", "full": "float64", "rise": "float64", "rise_low": "float64",
    "rise_high": "float64",
} | _MEASURED  # fmt: skip

_HEADROOM = {
    "beam": "int64", "metric": "str", "greedy": "float64", "gain": "float64", "gain_low": "float64",
    "gain_high": "float64", "gain_share": "float64", "reference": "float64",
} | _MEASURED  # fmt: skip


def layer_value_tables(clip_errors: pd.DataFrame, details: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """The tables of a report that say what layers are worth, by name; no rows of what was not measured.

    ``details`` are rows (clip, encoding, number, metric, value, weight) of the clips that were encoded in other ways.
    """
    return {
        "quantizers_needed": quantizers_needed(clip_errors, seed),
        "leave_one_out": leave_one_out_table(details, seed),
        "headroom": headroom_table(details, seed),
    }


def quantizers_needed(clip_errors: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The least number of quantizers that brings each of ``SHARES`` of the full gain, by metric.

    ``clip_errors`` (clip, n_active, metric, value, weight). The full gain is the error without quantizers less that
    with all; ``quantizers`` is null where there is none. ``agreement`` is the share of bootstrap draws over clips
    that give the same number, ``low`` to ``high`` the range of 95 % of them; ``high`` is null where more than 2.5 %
    of the draws have no gain, all three for one clip.
    """
    rows: list[tuple[object, ...]] = []
    for metric, wide, weights in _changing(clip_errors[clip_errors["n_active"] != UNQUANTISED], "n_active"):
        values = wide.to_numpy()
        mean = weighted_mean(values, weights)
        draws = bootstrap_means(values, weights, seed)
        for share in SHARES:
            number = _number(_first_reaching(mean[None], share)[0])
            told: tuple[object, ...] = (None, None, None)
            if draws is not None and number is not None:
                given = _first_reaching(draws, share)
                low, high = np.quantile(given, [0.025, 0.975], method="inverted_cdf")
                told = (_number(low), _number(high), float((given == number).mean()))
            rows.append((metric, share, number, *told, float(mean[0] - mean[-1]), UNITS[metric], len(values)))
    return pd.DataFrame(rows, columns=list(_NEEDED)).astype(_NEEDED)


def leave_one_out_table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Error where one layer's code alone is left out of the sum, from rows (clip, encoding, number, metric, ...).

    ``rise`` is the error added to that with all layers (``full``), with the interval of that difference.
    """
    parts = [part.rename(columns={"number": "layer", "base": "full"}) for part in _compared(rows, WITHOUT, seed)]
    parts = [
        part.assign(rise=part["change"], rise_low=part["change_low"], rise_high=part["change_high"]) for part in parts
    ]
    return _table(parts, _WITHOUT)


def headroom_table(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Error with beam-search encoding against greedy, all layers in use, from the same rows.

    ``gain`` is what the search takes off ``greedy``, with the interval of that difference; ``gain_share`` its share of
    ``greedy`` (null where that is 0). ``reference`` is the unquantised path, which no encoding can pass by much.
    """
    parts: list[pd.DataFrame] = []
    for part in _compared(rows, BEAM, seed):
        gain, greedy = -part["change"], part["base"]
        parts.append(
            part.rename(columns={"number": "beam", "base": "greedy"}).assign(
                gain=gain,
                gain_low=-part["change_high"],
                gain_high=-part["change_low"],
                gain_share=(gain / greedy).where(greedy > 0),
            )
        )
    return _table(parts, _HEADROOM)


def _first_reaching(errors: Values, share: float) -> Values:
    """For each row of errors [N, Q + 1] the first number with ``share`` of the full gain; _NEVER without one."""
    gain = errors[:, :1] - errors
    full = gain[:, -1]
    return np.where(full > 0, (gain >= share * full[:, None]).argmax(axis=1), _NEVER)


def _number(reached: float) -> int | None:
    return None if reached == _NEVER else int(reached)


def _changing(rows: pd.DataFrame, columns: str | list[str]) -> Iterator[tuple[str, pd.DataFrame, Values]]:
    """Errors by clip of every metric that codes can change; clips without the metric left out."""
    for metric, wide, weights in by_clip(rows, columns):
        kept = wide.notna().all(axis="columns").to_numpy()
        if metric in CHANGING and kept.any():
            yield metric, wide[kept], weights[kept]


def _compared(rows: pd.DataFrame, encoding: str, seed: int) -> Iterator[pd.DataFrame]:
    """Of each metric the clips encoded so against the greedy codes of all layers: a row a number."""
    for metric, wide, weights in _changing(rows, ["encoding", "number"]):
        tried, base = wide[encoding], wide[FULL].to_numpy()
        change = tried.to_numpy() - base
        values = np.concatenate([tried.to_numpy(), change], axis=1)
        mean, (low, high) = weighted_mean(values, weights), _bounds(values, weights, seed)
        count = tried.shape[1]
        yield pd.DataFrame(
            {
                "number": tried.columns.to_numpy(dtype=np.int64),
                "metric": metric,
                "value": mean[:count],
                "low": low[:count],
                "high": high[:count],
                "base": weighted_mean(base, weights)[0],
                "reference": weighted_mean(wide[FREE].to_numpy(), weights)[0],
                "change": mean[count:],
                "change_low": low[count:],
                "change_high": high[count:],
                "unit": UNITS[metric],
                "clips": len(values),
                "frames": int(weights.sum()),
            }
        )


def _bounds(values: Values, weights: Values, seed: int) -> tuple[Values, Values]:
    nothing = np.full(values.shape[1], np.nan)
    return bootstrap_interval(values, weights, seed) or (nothing, nothing)


def _table(parts: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.concat(parts, ignore_index=True)[list(columns)].astype(columns)
