"""Differences between two checkpoints on the same clips, with paired intervals: both are resampled alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from rvq_core.stats.reconstruction import Values, bootstrap_means, weighted_mean
from rvq_core.stats.usage import FEWEST_CLIPS_FOR_INTERVAL, NORMAL_95, jackknife_error

Floats = NDArray[np.float64]


class Delta(NamedTuple):
    """A difference to the baseline with its 95 % interval; NaN where there is none."""

    delta: float
    low: float = float("nan")
    high: float = float("nan")

    @property
    def significant(self) -> bool | None:
        """Whether the interval lies on one side of 0; None where there is none."""
        return None if np.isnan(self.low) else bool(self.low > 0 or self.high < 0)

    def words(self, less: str, more: str) -> str:
        """The difference in words; ``less`` and ``more`` say what one below and one above 0 means."""
        if np.isnan(self.delta):
            return "not measured"
        if self.delta == self.low == self.high == 0:
            return "no difference"
        if self.significant is None:
            return "no difference" if self.delta == 0 else "no interval"
        if not self.significant:
            return "no clear difference"
        return less if self.delta < 0 else more


class Pair(NamedTuple):
    """A figure of a checkpoint and of the baseline, over the ``clips`` that both were measured on."""

    value: float
    baseline: float
    delta: Delta
    clips: int


def paired_means(values: Floats, baseline: Floats, weights: Floats, seed: int) -> list[Pair]:
    """Weighted means over the same clips: ``values``, ``baseline`` [M, N], ``weights`` [M] -> N of them.

    Clips on which either is NaN count in neither. The difference is exactly 0 where both are equal. Its interval is
    the bootstrap over clips, the same draws for both, with percentiles expanded for few clips; none under 5 clips:
    with four, all would be on one side by chance one time in eight.
    """
    kept = ~np.isnan(values - baseline) & (weights > 0)[:, None]
    pairs = [Pair(np.nan, np.nan, Delta(np.nan), 0)] * kept.shape[1]
    # Figures that the same clips have are resampled together, which is all of them as a rule.
    for mask in np.unique(kept[:, kept.any(axis=0)], axis=1).T:
        same = np.flatnonzero((kept == mask[:, None]).all(axis=0))
        clips = mask.nonzero()[0]
        found = _paired_means(values[np.ix_(clips, same)], baseline[np.ix_(clips, same)], weights[clips], seed)
        for position, pair in zip(same.tolist(), found, strict=True):
            pairs[position] = pair
    return pairs


def _paired_means(values: Floats, baseline: Floats, weights: Floats, seed: int) -> list[Pair]:
    """The same for figures that all clips have."""
    clips = len(values)
    means = (weighted_mean(each, weights) for each in (values, baseline, values - baseline))
    bounds: tuple[Values, ...] = (np.full(values.shape[1], np.nan),) * 2
    if clips >= FEWEST_CLIPS_FOR_INTERVAL:
        drawn, tail = bootstrap_means(values - baseline, weights, seed), _expanded_tail(weights)
        assert drawn is not None  # None for one clip alone
        bounds = tuple(np.quantile(drawn, [tail, 1 - tail], axis=0))
    columns = (column.tolist() for column in (*means, *bounds))
    return [
        Pair(own, other, Delta(delta, low, high), clips) for own, other, delta, low, high in zip(*columns, strict=True)
    ]


def _expanded_tail(weights: Floats) -> float:
    """Share of the draws to leave beyond either bound (Hesterberg 2015): a bootstrap of M clips is too narrow.

    The tail of a normal at sqrt(M / (M - 1)) times Student's quantile, M as many clips of equal weight as these are
    worth (Kish: (sum w)^2 / sum w^2).
    """
    clips = max(2.0, float(weights.sum() ** 2 / np.square(weights).sum()))
    return float(ndtr(-np.sqrt(clips / (clips - 1)) * stdtrit(clips - 1, 0.975)))


def paired_jackknife(value: float, baseline: float, without: Floats, baseline_without: Floats) -> Delta:
    """Difference of two figures, from their values without one clip at a time, the same one for both: [M] each.

    +- 1.96 SE; no interval under 5 clips. A bootstrap would not do for usage: resampling loses codes.
    """
    delta = value - baseline
    if len(without) < FEWEST_CLIPS_FOR_INTERVAL:
        return Delta(delta)
    error = jackknife_error(without - baseline_without)
    return Delta(delta, delta - NORMAL_95 * error, delta + NORMAL_95 * error)


def last_at_each(points: Floats) -> NDArray[np.int64]:
    """Positions of ascending ``points`` [P] that differ from the next: of equal ones, the last."""
    return np.flatnonzero(np.append(np.diff(points) > 0, True))


def interpolate(values: Floats, at: Floats, wanted: float) -> Floats | None:
    """Values [M, P] at ascending points ``at`` [P], linearly at ``wanted`` -> [M]; None outside of the points.

    Where points are equal, the last of them counts.
    """
    last = last_at_each(at)
    values, at = values[:, last], at[last]
    nearest = int(np.abs(at - wanted).argmin())
    # The same rate of two checkpoints, reached by other sums, must be the same point.
    if np.isclose(at[nearest], wanted, rtol=1e-9, atol=0):
        return values[:, nearest]
    if not at[0] < wanted < at[-1]:
        return None
    right = int(np.searchsorted(at, wanted))
    share = (wanted - at[right - 1]) / (at[right] - at[right - 1])
    return (1 - share) * values[:, right - 1] + share * values[:, right]
