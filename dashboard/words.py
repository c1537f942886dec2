"""Sentences about a report, in plain words: the summary, the captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard.figures.reconstruction import metric_name
from rvq_core.stats.reconstruction import errors_by_split
from rvq_core.stats.trustworthiness import NEIGHBOURS

LOW_TRUST = 0.8
"""Trustworthiness of a map below which its clusters are not to be read."""

MAP_MEASURES = ("explained", "trustworthiness")
"""What is measured on a projection, not set."""


def map_note(made_by: Mapping[str, Any]) -> str:
    """How a map of codes was made, and how far its neighbours may be trusted."""
    told = ", ".join(f"{name} = {value}" for name, value in made_by.items() if name not in MAP_MEASURES)
    value = made_by["trustworthiness"]
    if value is None:
        return f"Made by {told}. Too few codes to say how far the map may be trusted."
    caution = " Many neighbours on it are none in truth: do not read clusters into it." if value < LOW_TRUST else ""
    return f"Made by {told}. Trustworthiness {value:.2f} of 1, over the {NEIGHBOURS} nearest codes.{caution}"


def measured_on(manifest: dict[str, Any], clips: pd.DataFrame) -> str:
    """What the figures of a report are measured on."""
    return _measured(f"{int(clips['tokens'].sum()):,} tokens", manifest, clips, bool(manifest["checkpoint"]["corpora"]))


def measured_on_body(manifest: dict[str, Any], clips: pd.DataFrame) -> str:
    """What the figures of a set of body parts are measured on: parts may differ in tokens."""
    return _measured(f"{int(clips['frames'].sum()):,} frames", manifest, clips, tells=False)


def _measured(amount_of: str, manifest: dict[str, Any], clips: pd.DataFrame, tells: bool) -> str:
    """``tells``: whether the checkpoint tells what it was trained on, be it other clips."""
    count, known = len(clips), clips["held_out"].dropna()
    if known.empty and tells:
        told = "none of them is known to this checkpoint, as trained on or held out"
    elif known.empty:
        told = "this checkpoint does not tell training clips from held-out ones"
    else:
        told = f"{int(known.astype(bool).sum())} held out, {int((~known.astype(bool)).sum())} trained on"
        told += f", {count - len(known)} unknown to the checkpoint" if len(known) < count else ""
    seconds = float(manifest["clips"]["seconds"])
    measured = manifest["settings"].get("error_clips")
    errors = f" Errors are of a random **{measured:,}** of these clips." if measured and measured < count else ""
    return f"Measured on **{amount_of}** of {many(count, 'clip')} ({seconds:,.1f} s): {told}.{errors}"


def summary(layers: pd.DataFrame, reconstruction: pd.DataFrame, canonical: bool = False) -> str:
    """One paragraph that a reader without time can take away."""
    first, last = layers.iloc[0], layers.iloc[-1]
    codes, depth = int(first["codes"]), int(last["layer"])
    parts = [
        f"Layer 1 uses its {codes:,} codes as if **{first['perplexity']:.0f}** of them were used equally"
        + (f", layer {depth} as if **{last['perplexity']:.0f}** were" if len(layers) > 1 else "")
        + f"; **{layers['unseen'].sum() / layers['codes'].sum():.0%}** of all codes are unseen in these tokens."
    ]
    rows = headline_metric(reconstruction)
    if len(rows):
        parts.append(depth_sentence(rows, canonical))
    return " ".join(parts)


def split_sentence(clips: pd.DataFrame, clip_errors: pd.DataFrame, rows: pd.DataFrame) -> str | None:
    """Error at full depth of held-out and of training clips, each weighted as the table is; None where not both are."""
    if rows.empty:
        return None
    full = rows.iloc[-1]
    split = errors_by_split(clips, clip_errors)
    means = split[split["metric"] == full["metric"]].set_index("held_out")["value"]
    if len(means) < len((True, False)):
        return None
    unit = str(full["unit"])
    return (
        f"Told apart: **{amount(means[True], unit)}** on held-out clips, {amount(means[False], unit)} on those it was "
        "trained on; only the first says how it does on motion it has not seen."
    )


def is_canonical(clips: pd.DataFrame) -> bool:
    """Whether joints of these clips were posed on the canonical skeleton, so that their errors must be called so."""
    return bool(clips["representation"].str.startswith("smplx_rot6d").any())


def headline_metric(reconstruction: pd.DataFrame) -> pd.DataFrame:
    """Rows of the metric that tells most: joint positions where there is a skeleton, else features."""
    present = set(reconstruction["metric"])
    metric = next((name for name in ("mpjpe", "feature_mse") if name in present), None)
    return reconstruction[reconstruction["metric"] == metric].sort_values("n_active")


def corpus_note(layers: pd.DataFrame, corpora: dict[str, str]) -> str | None:
    """Why the counts stored in the checkpoint differ from those of these clips; None where it stores none."""
    if layers["train_tokens"].isna().all():
        return None
    tokens, trained = int(layers["tokens"].iloc[0]), int(layers["train_tokens"].dropna().iloc[0])
    train, held_out = corpora.get("train", "its clips"), corpora.get("held_out", "nothing")
    return (
        f"The checkpoint stores how often each code was chosen over its whole training corpus ({trained:,} tokens: "
        f"{train}) and over what was held out ({held_out}); these clips have {tokens:,} tokens. So few cannot show "
        f"all of {int(layers['codes'].max()):,} codes in their true proportion: one unseen here may be well used there."
    )


def few_tokens_note(layers: pd.DataFrame) -> str | None:
    """Say that rare codes cannot be told with so few tokens; None where they can."""
    if layers["rare"].notna().all():
        return None
    tokens, codes = int(layers["tokens"].iloc[0]), int(layers["codes"].max())
    return (
        f"{tokens:,} tokens are too few to call codes of {codes:,} rare: that takes {10 * codes:,}. Codes unseen in "
        f"{tokens:,} tokens have a true share below {3 / max(tokens, 1):.2%} each (95 %)."
    )


def unseen_note(layers: pd.DataFrame) -> str | None:
    """What "unseen" says and does not; None where every code was seen."""
    tokens, unseen = int(layers["tokens"].max()), int(layers["unseen"].sum())
    if not unseen or not tokens:
        return None
    return (
        f"{many(unseen, 'code')} unseen in {tokens:,} tokens: the true share of each is below "
        f"3/N = {min(1.0, 3 / tokens):.2%} (95 %; tokens of one clip are alike, so it "
        "may be higher)."
    )


def path_note(travels: bool, from_clip: bool, canonical: bool) -> str:
    """Where the figures of a clip stand, and who says so; ``canonical``: on the canonical skeleton."""
    if not travels:
        path = "Neither the features nor the file tell where the body goes: the root stays in its place."
    elif from_clip:
        path = "The features hold rotations alone: the clip's own path moves both figures alike."
    else:
        path = "Each figure follows the path that its own features tell, from the same start."
    return f"{path} Both stand on one skeleton of 1.70 m, so feet may float or sink a little." if canonical else path


def amount(value: float, unit: str) -> str:
    """A value with its unit, rounded for reading."""
    return f"{value:.3g}" if unit == "1" else f"{value:,.1f} {unit}"


def depth_sentence(rows: pd.DataFrame, canonical: bool) -> str:
    """What all quantizers together bring, and what the last one does."""
    full, none = rows.iloc[-1], rows.iloc[0]
    name, unit = metric_name(str(full["metric"]), canonical).split(",")[0], str(full["unit"])
    text = (
        f"All {full['n_active']} quantizers bring the {name} from {amount(none['value'], unit)} to "
        f"**{amount(full['value'], unit)}**"
    )
    if pd.notna(full["reference"]):
        text += f" (without quantization {amount(full['reference'], unit)})"
    worse = rows.loc[rows["worse"].astype(bool), "n_active"].tolist()
    if worse:
        named = ", ".join(map(str, worse))
        return f"{text}; quantizer{'s' * (len(worse) > 1)} {named} make{'s' * (len(worse) == 1)} it worse."
    return f"{text}; the last one buys {amount(full['gain'], unit)}."


def many(count: int, noun: str) -> str:
    """A count with its noun, plural where it is one."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
