"""What each figure is: the text behind its "what is this?", and where the docs say more."""

from __future__ import annotations

from typing import NamedTuple


class What(NamedTuple):
    """``text``: two sentences or so; ``topic``: a file of docs/ that says more, in ``section`` where one is meant."""

    text: str
    topic: str
    section: str = ""


_MAP = (
    "Every code vector as a point: principal components keep distances as far as two axes can, UMAP keeps who is "
    "whose neighbour but not distances. All layers share one space, so deeper ones lie closer to the origin."
)

WHAT = {
    "perplexity": What(
        "Perplexity is the number of equally used codes that would carry as much as the real, uneven use. It can "
        "exceed neither K, the codes there are, nor N, the tokens measured; the bar's line says how far it would "
        "move with other clips of the same number.",
        "metrics",
        "Usage",
    ),
    "reconstruction": What(
        "The decoder gets the sum of the first n codes of every token, for n = 0 to all, and its motion is compared "
        "with the clip. The dashed line is the same decoder without quantization: the gap to it is the price of codes.",
        "metrics",
        "Reconstruction",
    ),
    "status": What(
        "Every code counts once: unseen (no token chose it), else duplicate (it lies on another code), else rare (less "
        "than a tenth of the uniform share), else used. Unseen means unseen in these N tokens; such a code's true "
        "share is below 3 / N with 95 % confidence.",
        "metrics",
        "Usage",
    ),
    "certainty": What(
        "Perplexity cannot exceed its ceiling, and few tokens make it too low: the corrected figure stands beside it, "
        "and the interval says how far it would move with other clips. Unseen mass is the share of tokens to come that "
        "will fall on codes not seen yet (Good-Turing).",
        "metrics",
        "How much the tokens can show",
    ),
    "discovery": What(
        "How many different codes so many tokens show on average; dotted, what twice the data is expected to show. "
        "Still steep at the end, more clips would show more codes; flat far below K, those codes stay unused on such "
        "motion.",
        "metrics",
        "How much the tokens can show",
    ),
    "counting": What(
        "A training log shows one perplexity: of each batch, averaged over batches and layers. It cannot exceed the "
        "tokens of a batch, and its mean hides the layer that has collapsed: compare it with your log, judge by the "
        "exact one.",
        "metrics",
        "How much the tokens can show",
    ),
    "sequences": What(
        "A run is a stretch of tokens on one code within a clip. Long runs say that the layer codes something slow, or "
        "that the stride could be larger; 'next' far below 'any' says that a code tells much about the one after it, "
        "though few tokens make it too low.",
        "metrics",
        "Sequences",
    ),
    "group_usage": What(
        "How many codes each group of clips uses, as a perplexity, with the interval over its clips; the open mark is "
        "corrected for having few tokens, and the line is all clips together. Groups of few tokens look poorer than "
        "they are: compare the corrected marks.",
        "metrics",
        "Usage",
    ),
    "group_errors": What(
        "The error of the clips of each group with all quantizers, the largest on top, with intervals over its clips; "
        "the grey mark is the same without quantization, the line all clips together. A group of one clip has no "
        "interval, and one of few clips a rough one.",
        "metrics",
        "Reconstruction",
    ),
    "image": What(
        "Each row is a layer, each cell a code or a few of them, and its colour says how often it is chosen compared "
        "with equal use of all codes. A row that is bright on the left and orange on the right lives on few codes.",
        "metrics",
        "Usage",
    ),
    "curves": What(
        "The codes of each layer, sorted from the most to the least used, with the share of tokens each gets. A curve "
        "that stays near the dotted line uses its codes evenly; one that ends early leaves the rest unseen.",
        "metrics",
        "Usage",
    ),
    "map": What(
        _MAP,
        "metrics",
        "Maps of codes",
    ),
    "map_density": What(
        f"{_MAP} The grey behind them is what the encoder gives, in the least areas with 50, 75, 90 and 99 % of "
        "it: codes far from all of it are never chosen.",
        "metrics",
        "Maps of codes",
    ),
    "geometry": What(
        "Effective dimension is in how many directions vectors really vary (participation ratio): 1 for a line, C for "
        "a ball. Where what reaches a layer has many and its codes have few, the codebook does not cover what it has "
        "to code. Norms and distances are medians, with the middle 90 % of the codes.",
        "metrics",
        "Geometry",
    ),
    "gain": What(
        "How much the error falls when one more quantizer is used, with the interval of that difference over the same "
        "clips; a bar below zero makes it worse. Quantizers whose line reaches zero cost bits and buy nothing sure.",
        "metrics",
        "What layers are worth",
    ),
    "leave_one_out": What(
        "The decoder gets the sum of all codes but those of one layer, and the bar is the error that this adds. Near "
        "zero it hardly listens to that layer; deeper layers were chosen to mend what this one left, so the first bars "
        "are more than the layer's own worth.",
        "metrics",
        "What layers are worth",
    ),
    "residual": What(
        "What each layer leaves of the variance of the encoder's latents; where it rises, codes point away from what "
        "is left. The dashed line is what an ideal code of as many bits would leave of Gaussian latents that vary "
        "alike, a bound that no code of single latents reaches.",
        "metrics",
        "What layers are worth",
    ),
    "headroom": What(
        "The same codebooks and decoder, but codes chosen by a search that keeps 4 or 16 candidates a layer instead "
        "of the nearest: what better encoding alone would buy at the same bits. Latents come nearer in any case; where "
        "the error does not follow, the decoder cannot use it.",
        "metrics",
        "What layers are worth",
    ),
    "rate_distortion": What(
        "The error with 1, 2, ... quantizers against what their codes cost: log2 K each, or as an entropy coder would "
        "store them, or one that knows the layer above. A curve further left and lower is the better code.",
        "metrics",
        "Rate",
    ),
    "redundancy": What(
        "How much the code of one layer tells of another's, beyond chance: 0 is nothing, 1 everything. Residual layers "
        "should share the work, so a high figure means that the deeper one codes what could be told from the other.",
        "metrics",
        "Redundancy of layers",
    ),
    "body_errors": What(
        "The first n quantizers of every part, decoded and put together on one skeleton: the error of the whole body, "
        "and of each part's own joints in it. What the hips do moves all joints, so a part errs more together than "
        "alone, with all other joints at rest.",
        "representations",
        "Body parts together",
    ),
    "joints": What(
        "The error of each joint alone with all quantizers, the largest on top; the grey mark is the same without "
        "quantization. Positions err more the further a joint is from the pelvis, where both motions are aligned.",
        "metrics",
        "Reconstruction",
    ),
    "clips": What(
        "The error of every clip with all quantizers, the worst on top. Clips that the model was trained on flatter "
        "it: judge by the held-out ones.",
        "metrics",
        "Reconstruction",
    ),
    "clip_tokens": What(
        "Which code each layer chose at each time of the clip; the colour tells how common it is among all tokens "
        "of its layer.",
        "clip_page",
    ),
    "clip_error": What(
        "The error of each frame of the clip with the first quantizers, with all, and without quantization; joints are "
        "taken with the pelvises together.",
        "clip_page",
    ),
    "clip": What(
        "The clip as it is and as the decoder makes it of the codes, at the clip's own speed; below them, which code "
        "each layer chose at each time, and the error of each frame. Errors are taken in every frame with the pelvises "
        "together, so a path that drifts is seen but not counted.",
        "clip_page",
    ),
    "compared": What(
        "Each checkpoint against the baseline on the same clips. The interval is of the difference, both drawn alike: "
        "it is 'better' or 'worse' where all of it lies on one side of 0, which with other clips would hardly turn.",
        "metrics",
        "Comparing checkpoints",
    ),
    "compared_curves": What(
        "Error with the first n quantizers, or with the bits that these cost. Larger codebooks win at equal n as a "
        "matter of course; at equal bits per second they must earn it.",
        "metrics",
        "Comparing checkpoints",
    ),
    "compared_perplexity": What(
        "The number of equally used codes that would carry as much as the real use of each layer, with its interval. "
        "More is not better in itself: larger codebooks can use more codes, and need more bits for them.",
        "metrics",
        "Usage",
    ),
    "parallel": What(
        "Every line is a checkpoint, every axis a setting or a figure. Drag along an axis to keep only the lines that "
        "pass there, and an axis by its name to stand beside another.",
        "metrics",
        "Comparing checkpoints",
    ),
    "sweep": What(
        "Every line is a checkpoint, every axis a setting in which they differ or a figure; the last one, the error, "
        "colours the lines.",
        "metrics",
        "Comparing checkpoints",
    ),
    "agreement": What(
        "How much two layers say the same (adjusted mutual information): 1 where both split the moments alike, 0 where "
        "they know nothing of each other.",
        "metrics",
        "Comparing checkpoints",
    ),
    "matching": What(
        "Left, how much two layers say the same: 1 where both split the moments alike, 0 where they know nothing of "
        "each other. Right, codes paired so that they share the most moments; a clear diagonal means that they do.",
        "metrics",
        "Comparing checkpoints",
    ),
    "moments": What(
        "Codes of both checkpoints paired so that they share the most moments, the pairs with the most of them first. "
        "A clear diagonal means that the two say the same with other numbers.",
        "metrics",
        "Comparing checkpoints",
    ),
    "pair": What(
        "The clip as it is, as the baseline has it with all its quantizers, and as the other checkpoint has it, in "
        "step. Joint error colours both reconstructions on one scale.",
        "clip_page",
    ),
    "code": What(
        "One code of one layer: what the decoder makes of it, where in the clips it was chosen, and which codes lie "
        "near it or come with it. Codes of deep layers refine what the layers above chose, so alone they say little.",
        "code_page",
    ),
    "code_poses": What(
        "The decoder gets this one code for 12 tokens, with nothing of the other layers, or with the average of their "
        "codes by use. Grey is the same without the code: what differs is what the code stands for, though no clip "
        "ever held it so.",
        "code_page",
    ),
    "code_windows": What(
        "Of each run of tokens on this code the one whose residual lay nearest to it, from different clips where there "
        "are. In context means a real window with all its codes: beside the reconstruction plays the same with this "
        "code alone taken out of the sum, and what differs is what it does there.",
        "metrics",
        "Sequences",
    ),
    "code_clips": What(
        "The share of each clip's tokens that is on this code, the largest first. A code that one clip alone uses may "
        "stand for that clip's way of moving, or for its recording.",
        "code_page",
    ),
    "code_neighbours": What(
        "The nearest other codes of the layer, by L2 distance. Select a row to go there.",
        "code_page",
    ),
    "code_partners": What(
        "The codes of the layers above and below that come with this one most often. Lift says how many times more "
        "often than if the layers were independent: near 1, they do not care. Select a row to go there.",
        "metrics",
        "Sequences",
    ),
    "code_line": What(
        "What the decoder makes of points along the straight line between two codes, or between what the encoder makes "
        "of two clips. A smooth way through possible poses says that the space between them means something to the "
        "decoder.",
        "code_page",
    ),
    "config": What(
        "What the files say of their models and runs, a row each, and only rows in which not all are alike. A setting "
        "that a file does not tell is not the same as one that is off.",
        "compare",
        "compare",
    ),
    "settings": What(
        "What the file says of its model and of the run that made it, as the command line and the defaults set it. A "
        "setting that another file does not tell stays empty.",
        "metrics",
        "Training history",
    ),
    "codes": What(
        "Every code of the layer with its count, norm and nearest other code, the most used first. The status is the "
        "first that fits of unseen, duplicate, rare and used; the last column says why, as far as the file tells.",
        "metrics",
        "Why a code is not used",
    ),
    "verdicts": What(
        "Rules look at the report and say what stands out, the worst first: each with its figure, what it was measured "
        "on, what usually causes it and what to try. No finding means that no rule passed its threshold, not that all "
        "is well beyond them.",
        "verdicts",
    ),
    "health": What(
        "One row a layer, on the tokens named above. Hover over the name of a column for what it counts; the further "
        "figures stand below the table.",
        "metrics",
        "Usage",
    ),
    "training": What(
        "The error of all quantizers on whole clips that were held out, as the run measured it every few hundred "
        "iterations; the star is the lowest. Where it rises while the losses fall, the model learns its clips by "
        "heart.",
        "metrics",
        "Training history",
    ),
    "losses": What(
        "Means over the training batches since the point before, with quantizers dropped at random as in training. The "
        "scale is logarithmic; the commitment loss may rise in a healthy run, since the latents grow.",
        "metrics",
        "Training history",
    ),
    "survival": What(
        "Between two snapshots of a run a code may have been reset, or have moved with its tokens. The left "
        "figure counts codes that were reset; the right one is the median move of those that were not, in distances "
        "from a code to its nearest neighbour: a code that moved by several of them means something else now.",
        "training",
        "Which codes survive",
    ),
    "trends": What(
        "What the checkpoints of this folder tell by themselves, over the iterations in their names: how long codes "
        "are, how far apart neighbours lie, and how many lie on another one.",
        "training",
        "Other people's training loops",
    ),
    "training_usage": What(
        "Perplexity and unseen codes of each layer over the whole training clips. A layer whose unseen codes stay many "
        "has codes that no reset brought back; one whose perplexity falls is collapsing.",
        "metrics",
        "Training history",
    ),
}
"""Every explanation by the name that pages and exports give it."""
