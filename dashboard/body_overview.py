"""What the Overview shows of a set of body parts: verdicts by part, the body's error, the health of every layer."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import body_errors, components, health, obtain, words
from dashboard.figures.compare import overlaid_perplexity
from dashboard.verdict_list import show_verdicts
from rvq_core.loading import Checkpoint
from rvq_core.parts import PartSet, PartsReport


def show(part_set: PartSet) -> None:
    """The page below its title."""
    facts = [f"**{components.escaped(part_set.name)}**, a set of body parts"]
    facts += [_described(part, checkpoint) for part, checkpoint in part_set.parts.items()]
    st.markdown(" · ".join(facts))
    report = obtain.analysed_or_stop(part_set)
    components.measured_on(report)
    rows = words.headline_metric(report.of_body)
    st.markdown(words.depth_sentence(rows, canonical=True))
    show_verdicts(report.manifest["verdicts"])
    _show_numbers(report, rows)
    layers = pd.concat([own.layers.assign(part=part) for part, own in report.parts.items()], ignore_index=True)
    health.show_health(layers)
    health.show_further(layers)
    left, right = st.columns(2, gap="medium")
    with left:
        components.heading("Perplexity per layer", "perplexity")
        alt = f"Perplexity of each layer, a line each for {', '.join(report.parts)}"
        lines = layers.assign(checkpoint=layers["part"], low=layers["perplexity_low"], high=layers["perplexity_high"])
        components.chart(overlaid_perplexity(lines), alt=alt, key="perplexity")
    with right:
        body_errors.show_curves(report)
    body_errors.show_table(report)
    _show_notes(part_set, report)


def _described(part: str, checkpoint: Checkpoint) -> str:
    sizes = [len(codes) for codes in checkpoint.codebooks]
    return f"{part}: {checkpoint.format}, {len(sizes)} × {sizes[0]:,} codes of {checkpoint.codebooks[0].shape[1]}"


def _show_numbers(report: PartsReport, rows: pd.DataFrame) -> None:
    full = rows.iloc[-1]
    with st.container(horizontal=True):
        st.metric(
            "MPJPE, whole body", words.amount(full["value"], str(full["unit"])), border=True,
            help="All quantizers of every part, over the 22 joints of the body.",
        )  # fmt: skip
        for part, own in report.parts.items():
            layers = own.layers
            st.metric(
                f"Codes unseen, {part}", f"{layers['unseen'].sum():,} of {layers['codes'].sum():,}", border=True,
                help=f"Chosen by none of {layers['tokens'].iloc[0]:,} tokens, all layers together.",
            )  # fmt: skip


def _show_notes(part_set: PartSet, report: PartsReport) -> None:
    with st.expander("Notes and provenance", icon=":material/description:"):
        for note in report.manifest["notes"]:
            st.markdown(f"- {components.escaped(note)}")
        for part, checkpoint in part_set.parts.items():
            for note in checkpoint.notes:
                st.markdown(f"- {part}: {components.escaped(note)}")
            st.markdown(f"- sha256 of {components.escaped(checkpoint.path.name)} `{checkpoint.sha256}`")
        st.markdown(f"- fingerprint of the clips `{report.manifest['clips']['fingerprint']}`")
