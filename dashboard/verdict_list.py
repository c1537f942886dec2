"""The verdicts of a report as a calm list, worst first."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import streamlit as st

from dashboard import components


class Mark(NamedTuple):
    """How a severity looks; the word says it too, for those who do not see the colour."""

    colour: Literal["red", "orange", "blue"]
    icon: str


MARKS = {
    "severe": Mark("red", ":material/error:"),
    "warning": Mark("orange", ":material/warning:"),
    "note": Mark("blue", ":material/info:"),
}


def show_verdicts(verdicts: list[dict[str, Any]]) -> None:
    """What is severe and what to look at, open; notes folded away below them."""
    components.heading("Verdicts", "verdicts")
    worst = [verdict for verdict in verdicts if verdict["severity"] != "note"]
    notes = [verdict for verdict in verdicts if verdict["severity"] == "note"]
    if not worst:
        st.markdown(":green-badge[:material/check_circle: no warning] No rule passed its threshold.")
    for verdict in worst:
        with st.container(border=True, gap="xsmall"):
            _verdict(verdict)
    if notes:
        with st.expander(f"{len(notes)} note{'s' * (len(notes) != 1)}: good to know", icon=":material/info:"):
            for verdict in notes:
                with st.container(gap="xsmall"):
                    _verdict(verdict)


def figure_of(verdict: dict[str, Any]) -> str:
    """The figure behind a verdict with its threshold and uncertainty; empty where it has none."""
    value, threshold, low, high = (verdict[name] for name in ("value", "threshold", "low", "high"))
    if value is None:
        return ""
    text = f"Figure {value:.3g}"
    text += f" (95 %: {low:.3g} to {high:.3g})" if low is not None and high is not None else " (no interval)"
    return text + ("," if threshold is None else f", threshold {threshold:.3g},")


def _verdict(verdict: dict[str, Any]) -> None:
    mark, escaped = MARKS[verdict["severity"]], components.escaped
    part = f" :gray-badge[{verdict['part']}]" if "part" in verdict else ""  # of a set of body parts
    st.markdown(f":{mark.colour}-badge[{mark.icon} {verdict['severity']}]{part} **{escaped(verdict['finding'])}**")
    left, right = st.columns(2, gap="medium")
    left.markdown(f":small[**Usual cause.** {escaped(verdict['cause'])}]")
    right.markdown(f":small[**What to try.** {escaped(verdict['advice'])}]")
    told = (figure_of(verdict), f"measured on {verdict['measured_on']}.", verdict["caveat"])
    st.caption(escaped(" ".join(filter(None, told))))
