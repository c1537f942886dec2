"""What is said of one code: its status in words, its figures, and the bones of its poses."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rvq_core.clips.representations import get_representation
from rvq_core.clips.skeleton import Skeleton
from rvq_core.stats.discovery import unseen_share_bound

STATUS_COLOURS = {"used": "blue", "rare": "gray", "duplicate": "violet", "unseen": "orange"}


def sentence(code: pd.Series, layers: pd.DataFrame) -> str:
    """Status and cause of a row of the codes table, as Markdown."""
    status = str(code["status"])
    tokens = int(layers.set_index("layer")["tokens"][code["layer"]])
    words = f":{STATUS_COLOURS[status]}-badge[{status}] "
    if status == "unseen":
        bound = unseen_share_bound(tokens)
        words += f"in {tokens:,} tokens" + (f" (true share below {bound:.2%}, 95 %). " if bound else ". ")
    cause = code["cause"]
    return words + ("" if pd.isna(cause) else str(cause)[:1].upper() + str(cause)[1:] + ".")


def numbers(code: pd.Series) -> list[tuple[str, str, str]]:
    """Label, value and meaning of the figures of a row of the codes table; those that are not known are left out."""
    told: list[tuple[str, Any, str, str]] = [
        ("Tokens", code["count"], ",.0f", "Tokens of these clips on this code."),
        ("Share", code["share"], ".2%", "Of all tokens of the layer."),
        ("Training tokens", code["train_count"], ",.0f", "Counted over the training corpus, stored in the checkpoint."),
        ("EMA count", code["ema_count"], ".2f", "Tokens a batch, as the training averaged them."),
        ("Norm", code["norm"], ".3g", "L2 norm of the code."),
        ("Nearest code at", code["nearest_distance"], ".3g", "L2 distance to the nearest other code of the layer."),
        ("Margin", code.get("margin_l2"), ".3g", "How much nearer it would have to come to win its first latent (L2)."),
        ("Margin, relative", code.get("margin_relative"), ".2f", "The margin over the usual distance of neighbours."),
    ]  # fmt: skip
    return [(label, f"{value:{form}}", meaning) for label, value, form, meaning in told if not pd.isna(value)]


def window_label(window: pd.Series) -> str:
    """A row of the windows table as a button says it."""
    if pd.isna(window["seconds"]):
        return f"{window['clip']}, token {window['token']}"
    return f"{window['clip']} at {window['seconds']:.1f} s"


def bones(representation: str, skeleton: Skeleton | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and parents of the joints that a representation tells, or the clip's own skeleton."""
    kind = get_representation(representation)
    own = kind.default_skeleton() or skeleton
    names = kind.joint_names or (own.names if own else ())
    return tuple(names), tuple(kind.parents or (own.parents if own else ()))
