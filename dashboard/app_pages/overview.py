"""Overview: what stands out, worst first; the health of each layer; the two figures that tell the story."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import body_overview, components, health, linked, obtain, words
from dashboard.figures.marking import mark_layers
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.reconstruction import error_figure
from dashboard.verdict_list import show_verdicts
from rvq_core.inspection import stored_usage
from rvq_core.loading import Checkpoint
from rvq_core.parts import PartSet
from rvq_core.report import Report


def main() -> None:
    st.title("Overview", anchor=False)
    ckpt = components.subject_or_stop()
    if isinstance(ckpt, PartSet):
        body_overview.show(ckpt)
        return
    describe(ckpt)
    report = obtain.analysed_or_none(ckpt)
    if report is None:
        show_stored(ckpt)
        return
    assert isinstance(report, Report)
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


def show_stored(ckpt: Checkpoint) -> None:
    """While the clips are analysed: the usage that the checkpoint stores of its own corpora, if it does."""
    stored = stored_usage(ckpt)
    if not stored:
        return
    table = pd.DataFrame({"codes": [len(codebook) for codebook in ckpt.codebooks]})
    table.insert(0, "layer", range(1, len(table) + 1))
    for corpus, layers in stored.items():
        for figure in ("tokens", "perplexity"):
            table[f"{corpus}_{figure}"] = [layer[figure] for layer in layers]
    components.heading("Perplexity per layer, as the checkpoint stores it", "perplexity")
    values = ", ".join(f"{value:.0f}" for value in table[f"{next(iter(stored))}_perplexity"])
    alt = f"Marks of perplexity per layer over the corpora that the checkpoint tells of: {values}"
    components.chart(perplexity_figure(table), alt=alt, key="stored_perplexity")
    told = ", ".join(f"{name.replace('_', '-')}: {clips}" for name, clips in ckpt.corpora.items() if name in stored)
    st.caption(f"Counts that the checkpoint stores ({told}), not those of the chosen clips: these need the analysis.")


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
    chosen = linked.current().layers
    left, right = st.columns(2, gap="medium")
    with left:
        components.heading("Perplexity per layer", "perplexity")
        layers = report.layers
        values = ", ".join(f"{value:.0f}" for value in layers["perplexity"])
        figure = mark_layers(perplexity_figure(layers), chosen)
        components.selectable_chart(figure, alt=f"Bars of perplexity per layer: {values}", view="perplexity")
    with right:
        components.heading("Error per quantizer", "reconstruction")
        rows = words.headline_metric(report.overall)
        if rows.empty:
            st.info("This checkpoint and these clips give no reconstruction error.")
        else:
            values = ", ".join(f"{value:.3g}" for value in rows["value"])
            components.selectable_chart(
                mark_layers(error_figure(rows, words.is_canonical(report.clips)), chosen),
                alt=f"Error against active quantizers, from none to all: {values}",
                view="error_by_layer",
            )
    st.caption("Click a layer to mark it on all pages.")


def show_layers(report: Report) -> None:
    health.show_health(report.layers)
    for note in (
        words.few_tokens_note(report.layers),
        words.corpus_note(report.layers, report.manifest["checkpoint"]["corpora"]),
    ):
        if note:
            st.caption(note)
    health.show_further(report.layers)


def show_notes(ckpt: Checkpoint, report: Report) -> None:
    notes = [*ckpt.notes, *report.manifest["notes"]]
    with st.expander("Notes and provenance", icon=":material/description:"):
        for note in notes:
            st.markdown(f"- {note}")
        st.markdown(f"- sha256 of the checkpoint `{ckpt.sha256}`")
        st.markdown(f"- fingerprint of the clips `{report.manifest['clips']['fingerprint']}`")


main()
