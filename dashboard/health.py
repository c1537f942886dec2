"""The health of each layer as tables; of a set of body parts, of each layer of each part."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import components


def show_health(layers: pd.DataFrame) -> None:
    """The figures that tell most, a row a layer; ``layers`` may have a column ``part`` before the others."""
    components.heading("Health of each layer", "health")
    table = _health_table(layers)
    shown = table[[name for name in HEALTH if name in table]]
    st.dataframe(shown, hide_index=True, column_config=HEALTH, height="content" if len(shown) <= MOST_ROWS else "auto")


def show_further(layers: pd.DataFrame) -> None:
    """The other figures, folded away."""
    table = layers.dropna(axis="columns", how="all")
    with st.expander("Further figures of each layer", icon=":material/table:"):
        st.dataframe(table[[name for name in FURTHER if name in table]], hide_index=True, column_config=FURTHER)


def _health_table(layers: pd.DataFrame) -> pd.DataFrame:
    """The columns that are known of these layers, and the interval of perplexity in words."""
    known = layers.dropna(axis="columns", how="all")
    return known.assign(
        interval=[
            _interval(low, high) for low, high in zip(layers["perplexity_low"], layers["perplexity_high"], strict=True)
        ]
    )


def _interval(low: float, high: float) -> str:
    return "too few clips" if pd.isna(low) else f"{low:.1f} to {high:.1f}"


MOST_ROWS = 24
"""Rows that are shown at once; more scroll."""

PART = st.column_config.TextColumn("part", pinned=True, width=64)
LAYER = st.column_config.NumberColumn("layer", pinned=True, width=44)
HEALTH = {
    "part": PART,
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
    "part": PART,
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
