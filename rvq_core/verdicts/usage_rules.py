"""Rules about codes: which layers are collapsed, dead, dominated or too large, and who can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rvq_core.verdicts.facts import Facts, LayerUse
from rvq_core.verdicts.findings import Finding, layers_in_words

ALIKE = "Tokens of one clip are alike, so they show fewer codes than as many independent ones would."
FEW = "Few tokens: more clips may show more codes."
SHARED = "The codebook is shared: codes that this layer leaves may be used by others, so they are not dead."

REVIVE = (
    "Reset codes whose EMA count falls below 1 (with enough tokens a batch to fill them), initialise from a batch, "
    "lower mu so that codes follow sooner"
)
REVIVE_BY_GRADIENT = (
    "Initialise from a batch, set codes that no token chose for some time onto tokens, or let codes follow by EMA"
)


def collapsed_layer(facts: Facts) -> Iterator[Finding]:
    """Perplexity far below that of even use in as many tokens."""
    limits = facts.thresholds
    low = [use for use in facts.use if use.perplexity_ratio.value < limits.low_perplexity_ratio]
    severe = [use for use in low if _surely_collapsed(use, facts)]
    for severity, found in (("severe", severe), ("warning", [use for use in low if use not in severe])):
        if not found:
            continue
        worst = min(found, key=lambda use: use.perplexity_ratio.value)
        ratio = worst.perplexity_ratio
        where = layers_in_words([use.layer for use in found], facts.layers)
        name = "Collapsed" if severity == "severe" else "Few codes carry most tokens"
        yield Finding(
            rule="collapsed_layer",
            severity=severity,
            layers=tuple(use.layer for use in found),
            finding=f"{name}: {where}. Perplexity {worst.perplexity:.1f} of {worst.codes} codes in layer "
            f"{worst.layer}, {ratio.value:.0%} of what even use would show in {worst.tokens:,} tokens.",
            value=ratio.value,
            threshold=limits.min_perplexity_ratio if severity == "severe" else limits.low_perplexity_ratio,
            low=ratio.low,
            high=ratio.high,
            measured_on=worst.measured_on,
            cause="Codes that lose their tokens early never win them back: no reset of dead codes, an initialisation "
            "far from the latents, or residuals so small that one code serves them all.",
            advice=f"{REVIVE if facts.follows_by_ema else REVIVE_BY_GRADIENT}, check the normalisation of the "
            "features, and try fewer quantizers or a smaller codebook for these layers.",
            caveat="" if worst.stored else ALIKE,
        )


def _surely_collapsed(use: LayerUse, facts: Facts) -> bool:
    """Below the severe threshold, and neither the choice of clips nor their small number explains it."""
    ratio, limits = use.perplexity_ratio, facts.thresholds
    if ratio.value >= limits.min_perplexity_ratio:
        return False
    if ratio.high is not None:
        return ratio.high < limits.min_perplexity_ratio
    return use.stored or use.tokens >= limits.judged_tokens_per_code * use.codes


def unseen_codes(facts: Facts) -> Iterator[Finding]:
    """Many codes that no token chose, though even use would have shown them."""
    limits = facts.thresholds
    many = [use for use in facts.use if use.unseen_share > limits.many_unseen]
    severe = [use for use in many if use.unseen_share > limits.max_unseen and _judges(use, facts)]
    for severity, found in (("severe", severe), ("warning", [use for use in many if use not in severe])):
        if not found:
            continue
        worst = max(found, key=lambda use: use.unseen_share)
        where = layers_in_words([use.layer for use in found], facts.layers)
        yield Finding(
            rule="unseen_codes",
            severity=severity,
            layers=tuple(use.layer for use in found),
            finding=f"Unseen codes in {where}: {worst.unseen} of {worst.codes} in layer {worst.layer} were never "
            f"chosen, {worst.unseen_share:.0%} of those that even use would show in {worst.tokens:,} tokens.",
            value=worst.unseen_share,
            threshold=limits.max_unseen if severity == "severe" else limits.many_unseen,
            measured_on=worst.measured_on,
            cause="Dead codes that are not reset, or reset onto noise that no latent comes near; a codebook larger "
            "than the motion needs." if worst.stored else "Dead codes, or clips that show only part of the motion.",
            advice=("Switch on the reset of dead codes, or raise the tokens per batch so that a code reaches the reset "
            "threshold" if facts.follows_by_ema else REVIVE_BY_GRADIENT)
            + "; else halve the codebook size and compare the reconstruction.",
            caveat=f"Unseen in {worst.tokens:,} tokens is not proof: a code's true share may be up to "
            f"{_percent(3 / worst.tokens)}." + ("" if worst.stored else " " + ALIKE)
            + (" " + SHARED if facts.config.get("shared_codebook") else ""),
        )  # fmt: skip


def _percent(share: float) -> str:
    """Two digits of a share, however small."""
    return f"{np.format_float_positional(100 * min(1.0, share), precision=2, fractional=False, trim='-')} %"


def _judges(use: LayerUse, facts: Facts) -> bool:
    return use.stored or use.tokens >= facts.thresholds.judged_tokens_per_code * use.codes


def dominated_layer(facts: Facts) -> Iterator[Finding]:
    """One code takes a large part of the tokens, far more than its even share."""
    limit = facts.thresholds.max_top1_share
    found = [use for use in facts.use if use.top1_share > limit and use.top1_share * use.codes > 2]
    if found:
        worst = max(found, key=lambda use: use.top1_share)
        yield Finding(
            rule="dominated_layer",
            severity="warning",
            layers=tuple(use.layer for use in found),
            finding=f"One code takes {worst.top1_share:.0%} of the tokens of layer {worst.layer}"
            + (f"; so in {layers_in_words([use.layer for use in found], facts.layers)}." if len(found) > 1 else "."),
            value=worst.top1_share,
            threshold=limit,
            measured_on=worst.measured_on,
            cause="Motion that rests most of the time, or residuals near zero: in deep layers the code nearest to the "
            "origin wins whenever nothing is left to code.",
            advice="Look at which windows the code stands for. If it is rest, balance the clips; if it is the code "
            "nearest to zero, fewer quantizers or more quantize dropout will do.",
            caveat="" if worst.stored else ALIKE,
        )


def duplicate_codes(facts: Facts) -> Iterator[Finding]:
    """Codes that lie on another one."""
    table = facts.report.layers
    table = table[table["duplicates"] > 0]
    if table.empty:
        return
    share = table["duplicates"] / table["codes"]
    worst = table.iloc[int(share.argmax())]
    limit = facts.thresholds.max_duplicates
    where = layers_in_words([int(layer) for layer in table["layer"]], facts.layers)
    yield Finding(
        rule="duplicate_codes",
        severity="warning" if share.max() > limit else "note",
        layers=tuple(int(layer) for layer in table["layer"]),
        finding=f"Duplicate codes in {where}: {int(worst['duplicates'])} of {int(worst['codes'])} in layer "
        f"{int(worst['layer'])} lie on another code.",
        value=float(share.max()),
        threshold=limit,
        measured_on="the codebooks",
        cause="Several codes were reset to the same latent in one step, or never left their initialisation.",
        advice="Reset to different tokens of the batch (a permutation, a little noise); a smaller codebook loses "
        "nothing here.",
    )


def dead_by_ema(facts: Facts) -> Iterator[Finding]:
    """Codes below the reset threshold although the batches hold tokens enough for all."""
    limits = facts.thresholds
    found = [(layer, share) for layer, share, full in _below_reset(facts) if share > limits.max_ema_dead and full]
    if found:
        layer, share = max(found, key=lambda item: item[1])
        where = layers_in_words([layer for layer, _ in found], facts.layers)
        yield Finding(
            rule="dead_by_ema",
            severity="severe" if share > limits.max_unseen else "warning",
            layers=tuple(layer for layer, _ in found),
            finding=f"Dead by EMA count: {where}. {share:.0%} of the codes of layer {layer} have an EMA count below "
            f"{facts.reset_threshold:g}: training had all but stopped choosing them.",
            value=share,
            threshold=limits.max_ema_dead,
            measured_on="the EMA counts in the checkpoint",
            cause="This model was trained without reset: a code that loses its latents never comes back."
            if facts.never_resets
            else "A reset onto points that no latent comes near, or no reset in that code.",
            advice="Switch on the reset (threshold 1 is usual), and look at whether reset codes win tokens afterwards.",
        )


def too_large_for_batch(facts: Facts) -> Iterator[Finding]:
    """Codes below the reset threshold because a batch holds too few tokens for so many codes."""
    limits = facts.thresholds
    found = [(layer, share) for layer, share, full in _below_reset(facts) if share > limits.max_ema_dead and not full]
    if found and facts.ema_counts is not None:
        layer, share = max(found, key=lambda item: item[1])
        counts = facts.ema_counts[layer - 1]
        yield Finding(
            rule="too_large_for_batch",
            severity="warning",
            layers=tuple(layer for layer, _ in found),
            finding=f"The codebook is too large for the batches: {counts.sum():,.0f} tokens a batch are shared by "
            f"{len(counts)} codes, {counts.mean():.1f} each, and {share:.0%} of layer {layer} are below the reset "
            f"threshold of {facts.reset_threshold:g}. Resets keep replacing codes before they settle.",
            value=share,
            threshold=limits.max_ema_dead,
            measured_on="the EMA counts in the checkpoint",
            cause="A reset threshold that suits thousands of tokens a batch, with few tokens a batch.",
            advice="More tokens a batch (longer windows, larger batches), a smaller codebook, or a reset threshold "
            "below a tenth of tokens per batch over codes.",
        )


def _below_reset(facts: Facts) -> Iterator[tuple[int, float, bool]]:
    """Of each layer its number, the share of codes below the reset threshold, and whether batches are full enough.

    Small batches excuse nothing where codes are never reset.
    """
    for layer, counts in enumerate(facts.ema_counts or [], start=1):
        enough = facts.thresholds.batch_tokens_per_code * facts.reset_threshold
        full = facts.never_resets or float(counts.mean()) >= enough
        yield layer, float((counts < facts.reset_threshold).mean()), full


def too_large_for_data(facts: Facts) -> Iterator[Finding]:
    """Fewer training tokens a code than teach one."""
    limit = facts.thresholds.corpus_tokens_per_code
    each = {use.layer: use.tokens / facts.views / use.codes for use in facts.use if use.stored}
    found = [layer for layer, tokens in each.items() if tokens < limit]
    if found:
        worst = min(found, key=lambda layer: each[layer])
        use = next(use for use in facts.use if use.layer == worst)
        yield Finding(
            rule="too_large_for_data",
            severity="warning",
            layers=tuple(found),
            finding=f"The codebook is too large for this data: {use.codes} codes for {use.tokens / facts.views:,.0f} "
            f"different training tokens, {each[worst]:.1f} a code.",
            value=each[worst],
            threshold=limit,
            measured_on=use.measured_on,
            cause="A published codebook size on much less motion than it was published for.",
            advice="Fewer codes (a quarter is a good first try), or more motion; compare the held-out reconstruction, "
            "not the perplexity.",
            caveat=f"{use.tokens / facts.views:,.0f} tokens cannot judge {use.codes} codes: high perplexity is then "
            "no proof of a good codebook, nor unused codes of a bad one."
            + (f" Mirror images and headings are not counted as further motion ({facts.views} views each)."
               if facts.views > 1 else ""),
        )  # fmt: skip


def too_few_tokens(facts: Facts) -> Iterator[Finding]:
    """The clips hold too few tokens to judge so many codes."""
    limit, layers = facts.thresholds.judged_tokens_per_code, facts.report.layers
    few = layers[layers["tokens"] < limit * layers["codes"]]
    if len(few):
        tokens, codes = int(few["tokens"].iloc[0]), int(few["codes"].max())
        mass = float(few["unseen_mass"].max())
        stored = all(use.stored for use in facts.use)
        yield Finding(
            rule="too_few_tokens",
            severity="note",
            layers=tuple(int(layer) for layer in few["layer"]),
            finding=f"{tokens:,} tokens cannot judge {codes} codes: rare codes cannot be told from dead ones under "
            f"{limit * codes:,.0f}; up to {100 * mass:.2g}% of the tokens to come fall on codes not seen yet.",
            value=tokens / codes,
            threshold=limit,
            measured_on=f"{tokens:,} tokens of {len(facts.report.tokens)} clips",
            cause="Few or short clips.",
            advice="Give more clips." + (" Verdicts on usage rest on the stored training counts." if stored else ""),
            caveat="" if stored else FEW,
        )


def shared_codebook(facts: Facts) -> Iterator[Finding]:
    """All layers share one codebook: which part of it each uses."""
    if not facts.config.get("shared_codebook") or not facts.use:
        return
    used = np.stack([use.counts > 0 for use in facts.use])
    alone = used & (used.sum(axis=0) == 1)
    parts = [
        f"layer {use.layer}: {int(mine.sum())} ({int(own.sum())} of them it alone)"
        for use, mine, own in zip(facts.use, used, alone, strict=True)
    ]
    yield Finding(
        rule="shared_codebook",
        severity="note",
        layers=tuple(use.layer for use in facts.use),
        finding=f"One codebook of {used.shape[1]} codes is shared by all layers. Codes in use: {'; '.join(parts)}; "
        f"{int(used.any(axis=0).sum())} in any.",
        value=float(used.any(axis=0).mean()),
        measured_on=facts.use[0].measured_on,
        cause="The setting shared_codebook.",
        advice="Judge a layer by the part that it uses: coarse and fine codes differ in length, so most codes suit "
        "few layers. Codebooks of their own cost memory, and no bits.",
    )


def ema_not_stored(facts: Facts) -> Iterator[Finding]:
    """The file holds no EMA counts, though its codes follow by EMA."""
    if facts.ema_counts is None and facts.follows_by_ema:
        yield Finding(
            rule="ema_not_stored",
            severity="note",
            finding="EMA counts are not in this checkpoint: dead codes can only be told by what clips show.",
            measured_on="the checkpoint",
            cause="Most projects do not register them as buffers, so they are lost on saving.",
            advice="Register code_sum and code_count as buffers; resuming from this file starts them anew.",
        )


USAGE_RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    collapsed_layer,
    unseen_codes,
    dead_by_ema,
    too_large_for_data,
    too_large_for_batch,
    dominated_layer,
    duplicate_codes,
    too_few_tokens,
    shared_codebook,
    ema_not_stored,
)
