"""Rules about reconstruction: what layers buy, what the model loses before them, and what it never learned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.stats.metrics import UNITS
from rvq_core.stats.reconstruction import DRAWS, UNQUANTISED, bootstrap_interval, weighted_mean
from rvq_core.verdicts.facts import Facts
from rvq_core.verdicts.findings import Finding, layers_in_words

Values = NDArray[np.float64]

ONE_CLIP = "one clip tells no interval of that"

FEATURE_SIZE = re.compile(r"root mean square of ([0-9.e+-]+)")


def features_off_scale(facts: Facts) -> Iterator[Finding]:
    """Normalised features far from unit variance, or no mean and std at all: the analysis warned of it."""
    for text in facts.report.manifest["warnings"]:
        size = FEATURE_SIZE.search(text)
        if size or text.startswith("No mean and std"):
            yield Finding(
                rule="features_off_scale",
                severity="severe" if size else "warning",
                finding=f"Normalised features have a root mean square of {size.group(1)}, not about 1: no figure here "
                "is about this checkpoint as it was trained." if size else "No mean and std are known for this "
                "checkpoint: the clips were taken as normalised already.",
                value=float(size.group(1)) if size else None,
                threshold=1.0 if size else None,
                measured_on=_on_clips(facts),
                cause="The mean and std of the training are missing, or of other motion.",
                advice="Give the model's own with --mean and --std.",
            )  # fmt: skip


class Gains(NamedTuple):
    """What each layer takes off the error [Q], with its paired interval over clips; None where one clip tells none."""

    mean: Values
    low: Values | None
    high: Values | None

    def bounds(self, q: int) -> tuple[float | None, float | None]:
        """Of layer ``q`` (from 0)."""
        if self.low is None or self.high is None:
            return None, None
        return float(self.low[q]), float(self.high[q])


def last_layers_buy_nothing(facts: Facts) -> Iterator[Finding]:
    """The last layers take nothing off the error that the choice of clips would not explain."""
    gains = None if facts.metric is None else _gains(facts, facts.metric)
    if facts.metric is None or gains is None:
        return
    gain, one_clip = gains.mean, gains.low is None
    # One clip tells no interval: only a gain that is none can be called so.
    buys = np.flatnonzero((gain if gains.low is None else gains.low) > 0)
    first = int(buys[-1]) + 2 if len(buys) else 1
    layers = tuple(range(first, len(gain) + 1))
    if not layers:
        return
    low, high = gains.bounds(first - 1)
    changed = f"{-float(gain[first - 1 :].sum()):+.3g}{_unit(facts.metric)}"
    yield Finding(
        rule="last_layers_buy_nothing",
        severity="note" if one_clip else "warning",
        layers=layers,
        finding=f"Nothing measurable is bought by {layers_in_words(layers, len(gain))}: "
        f"{'together they change' if len(layers) > 1 else 'it changes'} the {_named(facts.metric)} by {changed}, and "
        + (ONE_CLIP if one_clip else "each gain's interval includes 0 or lies below") + ".",
        value=float(gain[first - 1]),
        threshold=0.0,
        low=low,
        high=high,
        measured_on=_on_clips(facts),
        cause="The residual left is noise to the decoder, or the decoder has learned to do without these layers "
        "(quantize dropout high, few codes in use)." if first > 1 else
        "The decoder does not hear the codes, or these clips are nothing like what it was trained on.",
        advice=f"Try {first - 1} quantizer{'s' * (first > 2)}, less quantize dropout, or a decoder that can use the "
        "detail; compare at equal bits." if first > 1 else
        "Look at a clip and at the normalisation first: a model whose codes change nothing is not about them.",
        caveat="Other clips may show the gain." if one_clip else "With other clips the gain may show: the interval is "
        "over these.",
    )  # fmt: skip


def worse_layer(facts: Facts) -> Iterator[Finding]:
    """A layer that adds error instead of taking it off."""
    for metric in dict.fromkeys(name for name in (facts.metric, "feature_mse") if name is not None):
        gains = _gains(facts, metric)
        if gains is None or not (gains.mean < 0).any():
            continue
        mean = gains.mean
        layers = tuple(int(q) + 1 for q in np.flatnonzero(mean < 0))
        worst = int(mean.argmin())
        low, high = gains.bounds(worst)
        sure = high is not None and high < 0
        explained = f"{'more than' if sure else 'within what'} the choice of clips explains"
        yield Finding(
            rule="worse_layer",
            severity="warning" if sure else "note",
            layers=layers,
            finding=f"The {_named(metric)} rises with {layers_in_words(layers, len(mean))}: "
            f"by {-mean[worst]:.3g}{_unit(metric)} at layer {worst + 1}, {ONE_CLIP if high is None else explained}.",
            value=float(mean[worst]),
            threshold=0.0,
            low=low,
            high=high,
            measured_on=_on_clips(facts),
            cause="Each layer brings the latent nearer, not the motion: on clips unlike the training the decoder may "
            "read a nearer latent worse.",
            advice="Look at the clips for which it rises; held-out clips alone point to overfitting of the decoder.",
        )


def held_out_gap(facts: Facts) -> Iterator[Finding]:
    """Held-out clips are reconstructed much worse than training clips."""
    limit = facts.thresholds.max_held_out_ratio
    if facts.metric is None:
        return
    wide, weights = facts.errors(facts.metric)
    held_out = facts.report.clips.set_index("clip")["held_out"].reindex(wide.index)
    split = [(held_out == flag).fillna(False).to_numpy(dtype=bool) for flag in (True, False)]
    full, free = wide[facts.layers].to_numpy(), wide[UNQUANTISED].to_numpy()
    if not all(part.any() for part in split) or not float(weighted_mean(full[split[1]], weights[split[1]])) > 0:
        return
    ratio = _ratio(full, weights, split)
    if ratio <= limit:
        return
    low, high = _ratio_interval(full, weights, split, int(facts.report.manifest["settings"]["seed"]))
    known = float(weighted_mean(free[split[1]], weights[split[1]])) > 0
    unquantised = _ratio(free, weights, split) if known else 1.0
    # Whose most of the gap is: what of it is there without quantization.
    models = unquantised - 1 >= (ratio - 1) / 2
    whose = (
        f"{'mostly the model' if models else 'mostly the quantizer'}'s, {unquantised:.1f} times without quantization"
    )
    counts = [int(part.sum()) for part in split]
    yield Finding(
        rule="held_out_gap",
        severity="warning",
        finding=f"The {_named(facts.metric)} of the {counts[0]} held-out clips is {ratio:.1f} times that of the "
        f"{counts[1]} training clips: the gap is {whose}.",
        value=ratio,
        threshold=limit,
        low=low,
        high=high,
        measured_on=_on_clips(facts),
        cause="Overfitting: too little motion for the size of the model."
        if models
        else "Codes of the training motion alone: what is new lies far from all of them.",
        advice="More or more varied motion, augmentation (mirror, heading), a smaller width; stop at the lowest "
        "held-out error."
        if models
        else "More or more varied motion, augmentation (mirror, heading); fewer codes, or quantize dropout.",
        caveat=f"{counts[0]} held-out clips are few; which ones they are decides much." if counts[0] < 10 else "",
    )  # fmt: skip


def quantizer_is_no_bottleneck(facts: Facts) -> Iterator[Finding]:
    """Nearly all of the error is there without quantization."""
    limit = facts.thresholds.quantizer_share
    if facts.metric is None:
        return
    wide, weights = facts.errors(facts.metric)
    if wide.empty:
        return
    full, free = wide[facts.layers].to_numpy(), wide[UNQUANTISED].to_numpy()
    total, rest = float(weighted_mean(full, weights)), float(weighted_mean(free, weights))
    # Far worse without quantization, the decoder knows nothing but codes, and `rest` is no floor of the error.
    if total <= 0 or abs(total - rest) / total >= limit:
        return
    interval = bootstrap_interval((full - free)[:, None], weights, int(facts.report.manifest["settings"]["seed"]))
    yield Finding(
        rule="quantizer_is_no_bottleneck",
        severity="note",
        finding=f"The quantizer is not the bottleneck: of {total:.3g}{_unit(facts.metric)} {_named(facts.metric)}, "
        f"{rest:.3g} are there without quantization.",
        value=(total - rest) / total,
        threshold=limit,
        low=None if interval is None else float(interval[0][0]) / total,
        high=None if interval is None else float(interval[1][0]) / total,
        measured_on=_on_clips(facts),
        cause="The encoder and decoder lose the motion, not the codes.",
        advice="More codes or quantizers will not help: widen the model, lower the stride, train longer, or give more "
        "motion.",
    )


def _gains(facts: Facts, metric: str) -> Gains | None:
    wide, weights = facts.errors(metric)
    if wide.empty:
        return None
    values = wide[list(range(facts.layers + 1))].to_numpy()
    by_clip = -np.diff(values, axis=1)
    interval = bootstrap_interval(by_clip, weights, int(facts.report.manifest["settings"]["seed"]))
    mean = np.asarray(weighted_mean(by_clip, weights), dtype=np.float64)
    if interval is None:
        return Gains(mean, None, None)
    return Gains(mean, np.asarray(interval[0], dtype=np.float64), np.asarray(interval[1], dtype=np.float64))


def _ratio(values: Values, weights: Values, split: list[NDArray[np.bool_]]) -> float:
    held_out, training = (float(weighted_mean(values[part], weights[part])) for part in split)
    return held_out / training


def _ratio_interval(
    values: Values, weights: Values, split: list[NDArray[np.bool_]], seed: int
) -> tuple[float | None, float | None]:
    """95 % percentile bootstrap of the ratio, over clips of each part; None where one has a single clip."""
    if any(part.sum() < 2 for part in split):
        return None, None
    rng = np.random.default_rng(seed)
    means: list[Values] = []
    for part in split:
        count = int(part.sum())
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS) * weights[part]
        means.append(drawn @ values[part] / drawn.sum(axis=1))
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return float(low), float(high)


def _named(metric: str) -> str:
    return {"mpjpe": "MPJPE", "feature_mse": "feature MSE"}.get(metric, metric)


def _unit(metric: str) -> str:
    return "" if UNITS[metric] == "1" else f" {UNITS[metric]}"


def _on_clips(facts: Facts) -> str:
    clips = facts.report.manifest["clips"]
    return f"{clips['count']} clip{'s' * (clips['count'] != 1)}, {clips['frames']:,} frames"


ERROR_RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    last_layers_buy_nothing,
    held_out_gap,
    worse_layer,
    quantizer_is_no_bottleneck,
)
