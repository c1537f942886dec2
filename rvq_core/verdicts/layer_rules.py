"""Rules about what layers are worth to each other: better codes at the same bits, repetition, layers not missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from rvq_core.stats.metrics import UNITS
from rvq_core.verdicts.facts import Facts
from rvq_core.verdicts.findings import Finding, layers_in_words


def better_encoding_helps(facts: Facts) -> Iterator[Finding]:
    """Beam search takes off the error what greedy encoding leaves there, with the same codebooks."""
    limit, rows = facts.thresholds.beam_gain, _of_metric(facts, "headroom")
    if rows.empty:
        return
    best = rows.sort_values("beam").iloc[-1]
    # One clip has no interval: then the gain speaks for itself, and the caveat says so.
    if not best["gain_share"] > limit or best["gain_low"] <= 0:
        return
    yield Finding(
        rule="better_encoding_helps",
        severity="note",
        finding=f"Better encoding alone would take {best['gain_share']:.0%} off {best['metric']}: "
        f"{best['greedy']:.3g} becomes {best['value']:.3g}{_unit(best)} with a beam search of {best['beam']}, same "
        "codebooks, same bits.",
        value=float(best["gain_share"]),
        threshold=limit,
        low=float(best["gain_low"] / best["greedy"]),
        high=float(best["gain_high"] / best["greedy"]),
        measured_on=_measured_on(best),
        cause="Greedy encoding commits to the nearest code of a layer without a look at the next ones.",
        advice="Encode the motion by beam search where codes are stored or shown to a generator, and train that "
        "generator on such codes.",
        caveat="No interval for one clip." if np.isnan(best["gain_low"]) else "",
    )


def layers_repeat(facts: Facts) -> Iterator[Finding]:
    """The code of one layer tells much of another's."""
    limit, pairs = facts.thresholds.max_layer_ami, facts.report.tables.get("layer_pairs", pd.DataFrame())
    found = pairs[pairs["ami"] > limit] if len(pairs) else pairs
    if found.empty:
        return
    worst = found.sort_values("ami").iloc[-1]
    layers = sorted({int(layer) for layer in [*found["layer"], *found["other_layer"]]})
    reliable = bool(worst["reliable"])
    yield Finding(
        rule="layers_repeat",
        severity="warning" if reliable else "note",
        layers=tuple(layers),
        finding=f"Layers repeat each other: the codes of layers {worst['layer']} and {worst['other_layer']} share "
        f"{worst['mi_corrected_bits']:.1f} bits beyond chance, an adjusted mutual information of {worst['ami']:.2f}.",
        value=float(worst["ami"]),
        threshold=limit,
        measured_on=f"{int(worst['tokens']):,} tokens of {len(facts.report.tokens)} clips",
        cause="Few latents that differ: once the first code is known, so is what is left over. A small set of motion, "
        "learnt by heart, or a layer that is nearly collapsed.",
        advice="More varied motion or fewer codes in the first layer; code the deeper layer given the upper one where "
        "bits matter.",
        caveat="" if reliable else "So few tokens do not show all pairs of codes: chance is taken off, but tokens of "
        "one clip are alike, so some of this may be the clips.",
    )  # fmt: skip


def layer_not_missed(facts: Facts) -> Iterator[Finding]:
    """A layer whose codes can be left out, alone, without an error that the choice of clips would not explain."""
    rows = _of_metric(facts, "leave_one_out")
    found = rows[rows["rise_low"] <= 0] if len(rows) else rows
    if found.empty:
        return
    worst = found.sort_values("rise").iloc[0]
    layers = tuple(int(layer) for layer in found["layer"].sort_values())
    yield Finding(
        rule="layer_not_missed",
        severity="note",
        layers=layers,
        finding=f"The decoder does not miss {layers_in_words(layers, facts.layers)} where one is left out alone: "
        f"{worst['metric']} changes by {worst['rise']:+.3g}{_unit(worst)} without layer {worst['layer']}.",
        value=float(worst["rise"]),
        threshold=0.0,
        low=float(worst["rise_low"]),
        high=float(worst["rise_high"]),
        measured_on=_measured_on(worst),
        cause="What the layer adds is below what the decoder can use, or codes of few distinct values.",
        advice="Try one quantizer fewer, or a decoder that can use the detail; compare at equal bits.",
        caveat="With other clips the layer may be missed: the interval is over these.",
    )


def _of_metric(facts: Facts, table: str) -> pd.DataFrame:
    """Rows of a table about the metric that judges reconstruction; none where it was not measured."""
    rows = facts.report.tables.get(table)
    return pd.DataFrame() if rows is None else rows[rows["metric"] == facts.metric]


def _unit(row: pd.Series) -> str:
    unit = UNITS[str(row["metric"])]
    return "" if unit == "1" else f" {unit}"


def _measured_on(row: pd.Series) -> str:
    return f"{int(row['clips'])} clips, {int(row['frames']):,} frames"


LAYER_RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    layers_repeat,
    better_encoding_helps,
    layer_not_missed,
)
