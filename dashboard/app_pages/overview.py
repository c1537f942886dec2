"""Overview: what stands out, worst first; the health of each layer; the two figures that tell the story."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import components, obtain, words
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.reconstruction import error_figure
from dashboard.verdict_list import show_verdicts
from rvq_core.loading import Checkpoint
from rvq_core.report import Report


def main() -> None:
    st.title("Overview", anchor=False)
    opened = components.opened_or_stop()
    ckpt = opened.checkpoint
    describe(ckpt)
    report = obtain.report_or_stop(opened)
    components.measured_on(report)
    rows = words.headline_metric(report.overall)
    told_apart = words.split_sentence(report.clips, report.clip_errors, rows)
    st.markdown(
        " ".join(
            filter(
                None,
                [words.summary(report.layers, report.overall, words.is_canonical(report.clips)), told_apart],
            )
        )
    )
    show_verdicts(report.manifest["verdicts"])
    show_numbers(report)
    show_layers(report)
    show_figures(report)
    show_notes(ckpt, report)


def describe(ckpt: Checkpoint) -> None:
    sizes = [len(codes) for codes in ckpt.codebooks]
    same = f"{len(sizes)} × {sizes[0]:,}" if len(set(sizes)) == 1 else " + ".join(f"{size:,}" for size in sizes)
    facts = [f"**{ckpt.name}**", f"format {ckpt.format}", f"{same} codes of {ckpt.codebooks[0].shape[1]} dimensions"]
    if ckpt.config is not None:
        facts.append(f"{ckpt.config.input_dim} features a frame, {ckpt.config.stride} frames a token")
    if ckpt.representation:
        facts.append(ckpt.representation)
    if ckpt.fps:
        facts.append(f"{ckpt.fps:g} fps")
    st.markdown(" · ".join(facts))


def show_numbers(report: Report) -> None:
    layers, rows = report.layers, words.headline_metric(report.overall)
    with st.container(horizontal=True):
        st.metric(
            "Tokens", f"{layers['tokens'].iloc[0]:,}", border=True, help="Latent positions, one for every stride."
        )
        st.metric(
            "Perplexity, mean of layers", f"{layers['perplexity'].mean():.1f}", border=True,
            help=f"On {layers['tokens'].iloc[0]:,} tokens; each layer's own figure stands below.",
        )  # fmt: skip
        st.metric(
            "Codes unseen", f"{layers['unseen'].sum():,} of {layers['codes'].sum():,}", border=True,
            help="Chosen by none of these tokens, all layers together.",
        )  # fmt: skip
        if len(rows):
            full = rows.iloc[-1]
            st.metric(
                "MPJPE, all layers" if full["metric"] == "mpjpe" else "Feature MSE, all layers",
                words.amount(full["value"], str(full["unit"])), border=True,
                help="Mean over all frames; its interval and the error with fewer quantizers stand below.",
            )  # fmt: skip


def show_figures(report: Report) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        components.heading("Perplexity per layer", "perplexity")
        layers = report.layers
        values = ", ".join(f"{value:.0f}" for value in layers["perplexity"])
        components.chart(perplexity_figure(layers), alt=f"Bars of perplexity per layer: {values}", key="perplexity")
    with right:
        components.heading("Error per quantizer", "reconstruction")
        rows = words.headline_metric(report.overall)
        if rows.empty:
            st.info("This checkpoint and these clips give no reconstruction error.")
        else:
            values = ", ".join(f"{value:.3g}" for value in rows["value"])
            components.chart(
                error_figure(rows, words.is_canonical(report.clips)),
                alt=f"Error against active quantizers, from none to all: {values}",
                key="error",
            )


def show_layers(report: Report) -> None:
    components.heading("Health of each layer", "health")
    table = health_table(report.layers)
    st.dataframe(table[[name for name in HEALTH if name in table]], hide_index=True, column_config=HEALTH)
    for note in (
        words.few_tokens_note(report.layers),
        words.corpus_note(report.layers, report.manifest["checkpoint"]["corpora"]),
    ):
        if note:
            st.caption(note)
    show_further(table)


def health_table(layers: pd.DataFrame) -> pd.DataFrame:
    """The columns that are known of these layers, and the interval of perplexity in words."""
    known = layers.dropna(axis="columns", how="all")
    return known.assign(
        interval=[
            interval(low, high) for low, high in zip(layers["perplexity_low"], layers["perplexity_high"], strict=True)
        ]
    )


def interval(low: float, high: float) -> str:
    return "too few clips" if pd.isna(low) else f"{low:.1f} to {high:.1f}"


def show_further(table: pd.DataFrame) -> None:
    with st.expander("Further figures of each layer", icon=":material/table:"):
        st.dataframe(table[[name for name in FURTHER if name in table]], hide_index=True, column_config=FURTHER)


def show_notes(ckpt: Checkpoint, report: Report) -> None:
    notes = [*ckpt.notes, *report.manifest["notes"]]
    with st.expander("Notes and provenance", icon=":material/description:"):
        for note in notes:
            st.markdown(f"- {note}")
        st.markdown(f"- sha256 of the checkpoint `{ckpt.sha256}`")
        st.markdown(f"- fingerprint of the clips `{report.manifest['clips']['fingerprint']}`")


LAYER = st.column_config.NumberColumn("layer", pinned=True, width=44)
HEALTH = {
    "layer": LAYER,
    "perplexity": st.column_config.NumberColumn(
        "perplexity", format="%.1f", help="exp(entropy), exact over all tokens"
    ),
    "interval": st.column_config.TextColumn("with other clips", help="95 % interval over clips (jackknife)"),
    "perplexity_ratio": st.column_config.ProgressColumn(
        "of K codes", format="percent", min_value=0, max_value=1, help="Perplexity / K: 1 where all are used equally"
    ),
    "unseen": st.column_config.NumberColumn("unseen", help="Codes chosen by none of these tokens"),
    "duplicates": st.column_config.NumberColumn("duplicates", help="Codes that lie on another code"),
    "top1_share": st.column_config.NumberColumn("top code", format="percent", help="Share of the most used code"),
    "residual_energy": st.column_config.NumberColumn(
        "variance left", format="percent", help="Part of the latents' variance left after this layer"
    ),
    "train_perplexity": st.column_config.NumberColumn(
        "ppl. training", format="%.1f", help="Perplexity over the whole training corpus, from counts in the checkpoint"
    ),
    "train_unseen": st.column_config.NumberColumn("unseen training", help="Unseen in the whole training corpus"),
}
"""Narrow enough for a page of 1280 pixels."""

FURTHER = {
    "layer": LAYER,
    "tokens": st.column_config.NumberColumn("tokens", format="localized"),
    "ceiling": st.column_config.NumberColumn("ceiling", format="localized", help="min(K, N): no perplexity is higher"),
    "perplexity_corrected": st.column_config.NumberColumn(
        "corrected", format="%.1f", help="Chao-Shen estimate: corrected for codes that these tokens are too few to show"
    ),
    "perplexity_logged": st.column_config.NumberColumn(
        "as logged", format="%.1f", help="As training logs show it: the mean over batches, not that of the whole"
    ),
    "entropy_bits": st.column_config.NumberColumn("bits", format="%.2f", help="Entropy: log2 of the perplexity"),
    "used": st.column_config.NumberColumn("used", help="Codes chosen at least once"),
    "rare": st.column_config.NumberColumn("rare", help="Codes below a tenth of the uniform share; needs 10 K tokens"),
    "unseen_mass": st.column_config.NumberColumn(
        "new-code risk", format="percent", help="Good-Turing: share of further tokens that would fall on unseen codes"
    ),
    "train_tokens": st.column_config.NumberColumn("N training", format="localized", help="Tokens, training corpus"),
    "held_out_tokens": st.column_config.NumberColumn("N held out", format="localized", help="Tokens, held-out corpus"),
    "held_out_perplexity": st.column_config.NumberColumn("ppl. held out", format="%.1f", help="Held-out corpus"),
    "held_out_unseen": st.column_config.NumberColumn("unseen held out", help="Unseen in the held-out corpus"),
}

main()
