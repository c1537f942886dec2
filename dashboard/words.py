"""Sentences about a report, in plain words: the summary, the captions, what each figure is."""

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

_MAP = (
    "Every code vector as a point: principal components keep distances as far as two axes can, UMAP keeps who is "
    "whose neighbour but not distances. All layers share one space, so deeper ones lie closer to the origin."
)

WHAT = {
    "perplexity": (
        "Perplexity is the number of equally used codes that would carry as much as the real, uneven use. It can "
        "exceed neither K, the codes there are, nor N, the tokens measured; the bar's line says how far it would "
        "move with other clips of the same number."
    ),
    "reconstruction": (
        "The decoder gets the sum of the first n codes of every token, for n = 0 to all, and its motion is compared "
        "with the clip. The dashed line is the same decoder without quantization: the gap to it is the price of codes."
    ),
    "status": (
        "Every code counts once: unseen (no token chose it), else duplicate (it lies on another code), else rare (less "
        "than a tenth of the uniform share), else used. Unseen means unseen in these N tokens; such a code's true "
        "share is below 3 / N with 95 % confidence."
    ),
    "certainty": (
        "Perplexity cannot exceed its ceiling, and few tokens make it too low: the corrected figure stands beside it, "
        "and the interval says how far it would move with other clips. Unseen mass is the share of tokens to come that "
        "will fall on codes not seen yet (Good-Turing)."
    ),
    "discovery": (
        "How many different codes so many tokens show on average; dotted, what twice the data is expected to show. "
        "Still steep at the end, more clips would show more codes; flat far below K, those codes stay unused on such "
        "motion."
    ),
    "counting": (
        "A training log shows one perplexity: of each batch, averaged over batches and layers. It cannot exceed the "
        "tokens of a batch, and its mean hides the layer that has collapsed: compare it with your log, judge by the "
        "exact one."
    ),
    "sequences": (
        "A run is a stretch of tokens on one code within a clip. Long runs say that the layer codes something slow, or "
        "that the stride could be larger; 'next' far below 'any' says that a code tells much about the one after it, "
        "though few tokens make it too low."
    ),
    "group_usage": (
        "How many codes each group of clips uses, as a perplexity, with the interval over its clips; the open mark is "
        "corrected for having few tokens, and the line is all clips together. Groups of few tokens look poorer than "
        "they are: compare the corrected marks."
    ),
    "group_errors": (
        "The error of the clips of each group with all quantizers, the largest on top, with intervals over its clips; "
        "the grey mark is the same without quantization, the line all clips together. A group of one clip has no "
        "interval, and one of few clips a rough one."
    ),
    "image": (
        "Each row is a layer, each cell a code or a few of them, and its colour says how often it is chosen compared "
        "with equal use of all codes. A row that is bright on the left and orange on the right lives on few codes."
    ),
    "curves": (
        "The codes of each layer, sorted from the most to the least used, with the share of tokens each gets. A curve "
        "that stays near the dotted line uses its codes evenly; one that ends early leaves the rest unseen."
    ),
    "map": _MAP,
    "map_density": (
        f"{_MAP} The grey behind them is what the encoder gives, in the least areas with 50, 75, 90 and 99 % of "
        "it: codes far from all of it are never chosen."
    ),
    "geometry": (
        "Effective dimension is in how many directions vectors really vary (participation ratio): 1 for a line, C for "
        "a ball. Where what reaches a layer has many and its codes have few, the codebook does not cover what it has "
        "to code. Norms and distances are medians, with the middle 90 % of the codes."
    ),
    "gain": (
        "How much the error falls when one more quantizer is used, with the interval of that difference over the same "
        "clips; a bar below zero makes it worse. Quantizers whose line reaches zero cost bits and buy nothing sure."
    ),
    "leave_one_out": (
        "The decoder gets the sum of all codes but those of one layer, and the bar is the error that this adds. Near "
        "zero it hardly listens to that layer; deeper layers were chosen to mend what this one left, so the first bars "
        "are more than the layer's own worth."
    ),
    "residual": (
        "What each layer leaves of the variance of the encoder's latents; where it rises, codes point away from what "
        "is left. The dashed line is what an ideal code of as many bits would leave of Gaussian latents that vary "
        "alike, a bound that no code of single latents reaches."
    ),
    "headroom": (
        "The same codebooks and decoder, but codes chosen by a search that keeps 4 or 16 candidates a layer instead "
        "of the nearest: what better encoding alone would buy at the same bits. Latents come nearer in any case; where "
        "the error does not follow, the decoder cannot use it."
    ),
    "rate_distortion": (
        "The error with 1, 2, ... quantizers against what their codes cost: log2 K each, or as an entropy coder would "
        "store them, or one that knows the layer above. A curve further left and lower is the better code."
    ),
    "redundancy": (
        "How much the code of one layer tells of another's, beyond chance: 0 is nothing, 1 everything. Residual layers "
        "should share the work, so a high figure means that the deeper one codes what could be told from the other."
    ),
    "body_errors": (
        "The first n quantizers of every part, decoded and put together on one skeleton: the error of the whole body, "
        "and of each part's own joints in it. What the hips do moves all joints, so a part errs more together than "
        "alone, with all other joints at rest."
    ),
    "joints": (
        "The error of each joint alone with all quantizers, the largest on top; the grey mark is the same without "
        "quantization. Positions err more the further a joint is from the pelvis, where both motions are aligned."
    ),
    "clips": (
        "The error of every clip with all quantizers, the worst on top. Clips that the model was trained on flatter "
        "it: judge by the held-out ones."
    ),
    "clip_tokens": (
        "Which code each layer chose at each time of the clip; the colour tells how common it is among all tokens "
        "of its layer."
    ),
    "clip_error": (
        "The error of each frame of the clip with the first quantizers, with all, and without quantization; joints are "
        "taken with the pelvises together."
    ),
    "clip": (
        "The clip as it is and as the decoder makes it of the codes, at the clip's own speed; below them, which code "
        "each layer chose at each time, and the error of each frame. Errors are taken in every frame with the pelvises "
        "together, so a path that drifts is seen but not counted."
    ),
    "compared": (
        "Each checkpoint against the baseline on the same clips. The interval is of the difference, both drawn alike: "
        "it is 'better' or 'worse' where all of it lies on one side of 0, which with other clips would hardly turn."
    ),
    "compared_curves": (
        "Error with the first n quantizers, or with the bits that these cost. Larger codebooks win at equal n as a "
        "matter of course; at equal bits per second they must earn it."
    ),
    "compared_perplexity": (
        "The number of equally used codes that would carry as much as the real use of each layer, with its interval. "
        "More is not better in itself: larger codebooks can use more codes, and need more bits for them."
    ),
    "parallel": (
        "Every line is a checkpoint, every axis a setting or a figure. Drag along an axis to keep only the lines that "
        "pass there, and an axis by its name to stand beside another."
    ),
    "sweep": (
        "Every line is a checkpoint, every axis a setting in which they differ or a figure; the last one, the error, "
        "colours the lines."
    ),
    "agreement": (
        "How much two layers say the same (adjusted mutual information): 1 where both split the moments alike, 0 where "
        "they know nothing of each other."
    ),
    "matching": (
        "Left, how much two layers say the same: 1 where both split the moments alike, 0 where they know nothing of "
        "each other. Right, codes paired so that they share the most moments; a clear diagonal means that they do."
    ),
    "moments": (
        "Codes of both checkpoints paired so that they share the most moments, the pairs with the most of them first. "
        "A clear diagonal means that the two say the same with other numbers."
    ),
    "pair": (
        "The clip as it is, as the baseline has it with all its quantizers, and as the other checkpoint has it, in "
        "step. Joint error colours both reconstructions on one scale."
    ),
    "code": (
        "One code of one layer: what the decoder makes of it, where in the clips it was chosen, and which codes lie "
        "near it or come with it. Codes of deep layers refine what the layers above chose, so alone they say little."
    ),
    "code_poses": (
        "The decoder gets this one code for 12 tokens, with nothing of the other layers, or with the average of their "
        "codes by use. Grey is the same without the code: what differs is what the code stands for, though no clip "
        "ever held it so."
    ),
    "code_windows": (
        "Of each run of tokens on this code the one whose residual lay nearest to it, from different clips where there "
        "are. In context means a real window with all its codes: beside the reconstruction plays the same with this "
        "code alone taken out of the sum, and what differs is what it does there."
    ),
    "code_clips": (
        "The share of each clip's tokens that is on this code, the largest first. A code that one clip alone uses may "
        "stand for that clip's way of moving, or for its recording."
    ),
    "code_neighbours": ("The nearest other codes of the layer, by L2 distance. Select a row to go there."),
    "code_partners": (
        "The codes of the layers above and below that come with this one most often. Lift says how many times more "
        "often than if the layers were independent: near 1, they do not care. Select a row to go there."
    ),
    "code_line": (
        "What the decoder makes of points along the straight line between two codes, or between what the encoder makes "
        "of two clips. A smooth way through possible poses says that the space between them means something to the "
        "decoder."
    ),
    "config": (
        "What the files say of their models and runs, a row each, and only rows in which not all are alike. A setting "
        "that a file does not tell is not the same as one that is off."
    ),
    "settings": (
        "What the file says of its model and of the run that made it, as the command line and the defaults set it. A "
        "setting that another file does not tell stays empty."
    ),
    "codes": (
        "Every code of the layer with its count, norm and nearest other code, the most used first. The status is the "
        "first that fits of unseen, duplicate, rare and used; the last column says why, as far as the file tells."
    ),
    "verdicts": (
        "Rules look at the report and say what stands out, the worst first: each with its figure, what it was measured "
        "on, what usually causes it and what to try. No finding means that no rule passed its threshold, not that all "
        "is well beyond them."
    ),
    "health": (
        "One row a layer, on the tokens named above. Hover over the name of a column for what it counts; the further "
        "figures stand below the table."
    ),
    "training": (
        "The error of all quantizers on whole clips that were held out, as the run measured it every few hundred "
        "iterations; the star is the lowest. Where it rises while the losses fall, the model learns its clips by heart."
    ),
    "losses": (
        "Means over the training batches since the point before, with quantizers dropped at random as in training. The "
        "scale is logarithmic; the commitment loss may rise in a healthy run, since the latents grow."
    ),
    "training_usage": (
        "Perplexity and unseen codes of each layer over the whole training clips. A layer whose unseen codes stay many "
        "has codes that no reset brought back; one whose perplexity falls is collapsing."
    ),
}
"""What a figure is, in two sentences or so."""

MORE: dict[str, tuple[str] | tuple[str, str]] = {
    "perplexity": ("metrics", "Usage"),
    "reconstruction": ("metrics", "Reconstruction"),
    "status": ("metrics", "Usage"),
    "certainty": ("metrics", "How much the tokens can show"),
    "discovery": ("metrics", "How much the tokens can show"),
    "counting": ("metrics", "How much the tokens can show"),
    "sequences": ("metrics", "Sequences"),
    "group_usage": ("metrics", "Usage"),
    "group_errors": ("metrics", "Reconstruction"),
    "image": ("metrics", "Usage"),
    "curves": ("metrics", "Usage"),
    "map": ("metrics", "Maps of codes"),
    "map_density": ("metrics", "Maps of codes"),
    "geometry": ("metrics", "Geometry"),
    "gain": ("metrics", "What layers are worth"),
    "leave_one_out": ("metrics", "What layers are worth"),
    "residual": ("metrics", "What layers are worth"),
    "headroom": ("metrics", "What layers are worth"),
    "rate_distortion": ("metrics", "Rate"),
    "redundancy": ("metrics", "Redundancy of layers"),
    "body_errors": ("representations", "Body parts together"),
    "joints": ("metrics", "Reconstruction"),
    "clips": ("metrics", "Reconstruction"),
    "clip_tokens": ("clip_page",),
    "clip_error": ("clip_page",),
    "clip": ("clip_page",),
    "compared": ("metrics", "Comparing checkpoints"),
    "compared_perplexity": ("metrics", "Usage"),
    "compared_curves": ("metrics", "Comparing checkpoints"),
    "agreement": ("metrics", "Comparing checkpoints"),
    "matching": ("metrics", "Comparing checkpoints"),
    "moments": ("metrics", "Comparing checkpoints"),
    "pair": ("clip_page",),
    "code": ("code_page",),
    "code_poses": ("code_page",),
    "code_clips": ("code_page",),
    "code_neighbours": ("code_page",),
    "code_line": ("code_page",),
    "code_windows": ("metrics", "Sequences"),
    "code_partners": ("metrics", "Sequences"),
    "parallel": ("metrics", "Comparing checkpoints"),
    "sweep": ("metrics", "Comparing checkpoints"),
    "config": ("compare", "compare"),
    "settings": ("metrics", "Training history"),
    "codes": ("metrics", "Why a code is not used"),
    "verdicts": ("verdicts",),
    "health": ("metrics", "Usage"),
    "training": ("metrics", "Training history"),
    "losses": ("metrics", "Training history"),
    "training_usage": ("metrics", "Training history"),
}
"""Where the docs say more of a figure: the name of a file of docs/, and a section of it where one is meant."""


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
