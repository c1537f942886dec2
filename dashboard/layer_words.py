"""Sentences about what layers are worth, what they cost and how they repeat each other."""

from __future__ import annotations

import pandas as pd

from dashboard import words

NOT_MEASURED = "Not measured in this report: rvq-lens analyze was told to leave it out (--detail-frames 0)."


def needed_sentence(needed: pd.DataFrame) -> str:
    """How many quantizers bring most of the gain of one metric, and how sure that is."""
    known = needed.dropna(subset=["quantizers"])
    if known.empty:
        return "All quantizers together bring no gain on this metric."
    parts = [
        f"{row['share']:.0%} with **{words.many(int(row['quantizers']), 'quantizer')}**{_how_sure(row)}"
        for _, row in known.iterrows()
    ]
    return "Of the full gain these clips have " + ", ".join(parts) + "."


def _how_sure(row: pd.Series) -> str:
    if pd.isna(row["agreement"]):
        return ""
    agree = f"{row['agreement']:.0%} of draws of clips agree"
    if pd.isna(row["high"]):
        return f" ({agree}, some show no gain)"
    return f" ({agree})" if row["low"] == row["high"] else f" ({agree}, 95 % say {row['low']} to {row['high']})"


def detail_note(table: pd.DataFrame) -> str:
    """On how much a table of leave-one-out or beam search was measured."""
    clips, frames = int(table["clips"].max()), int(table["frames"].max())
    interval = "; intervals are of the difference on the same clips" if clips > 1 else "; no interval for one clip"
    return f"Measured on {frames:,} frames of {words.many(clips, 'clip')}{interval}."


def rate_sentence(bits: pd.DataFrame) -> str:
    """What the codes of all layers cost, in each way of counting."""
    full = bits.sort_values("n_active").iloc[-1]
    suffix, unit = ("bps", "bits a second") if pd.notna(full["nominal_bps"]) else ("bits", "bits a latent")
    named = ", ".join(f"{full[f'{way}_{suffix}']:.0f} {way}" for way in ("nominal", "effective", "conditional"))
    return f"All layers: {named} {unit}."


def rate_note(rate: pd.DataFrame) -> str:
    """Why conditional bits are not to be trusted where tokens are few; empty where they are enough."""
    if rate["conditional_reliable"].all():
        return ""
    return " The conditional ones are too low: so few tokens do not show all pairs of codes."


def tuples_sentence(tuples: pd.DataFrame) -> str:
    """How soon the codes of the first layers tell every moment from every other."""
    last = tuples.iloc[min(1, len(tuples) - 1)]
    which = "first two layers show" if last["layers"] > 1 else "first layer shows"
    return (
        f"Beyond chance: independent layers show 0. The {which} "
        f"{int(last['distinct']):,} different tuples in {int(last['tokens']):,} tokens; {last['unique_share']:.0%} of "
        "the tokens have one that occurs only once."
    )
