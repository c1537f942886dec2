"""What is chosen in a player, and where a long clip begins, kept in the address of the page that shows it."""

from __future__ import annotations

import streamlit as st

from dashboard.player.packing import Window
from dashboard.player.view import View


def opened_with(player: str, default: View | None = None) -> View:
    """The view that the player of this key opens with; from then on it keeps its own.

    As the address tells it, else as it was when the page was left, else ``default``.
    """
    kept = f"_{player}_opened_with"
    if player not in st.session_state:
        st.session_state[kept] = View.read(st.query_params, st.session_state.get(_last(player), default))
        _tell(st.session_state[kept], default)
    return st.session_state[kept]


def remember_view(player: str, default: View | None = None) -> None:
    """Put what was chosen in the player of this key into the address, and keep it for the next visit of the page."""
    chosen = View.read(st.session_state[player].get("view") or {}, default)
    st.session_state[_last(player)] = chosen
    _tell(chosen, default)


def _last(player: str) -> str:
    return f"_{player}_left_with"


def _tell(view: View, default: View | None) -> None:
    for name, value in view.address(default).items():
        if value is not None:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]


def choose_start(fits: Window, frames: int, fps: float) -> float:
    """Second from which a clip of ``frames`` is shown; 0 where all of it ``fits``, which is what is sent at once."""
    last = frames - fits.frames
    if last <= 0:
        return 0.0
    return st.slider(
        f"Show {fits.frames / fps:.0f} s from second", 0, int(-(-last // fps)), key="start", bind="query-params",
        width=420, help=f"The clip lasts {frames / fps:.1f} s; so much of it is sent at once.",
    )  # fmt: skip
