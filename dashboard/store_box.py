"""What is kept on disk, as the sidebar shows it: how much, where, how much it may be, and a button that clears it."""

from __future__ import annotations

import streamlit as st

from dashboard import components, data

NAMES = {
    "reports": ("analysis", "analyses"),
    "part_reports": ("analysis of body parts", "analyses of body parts"),
    "projections": ("map", "maps"),
    "comparisons": ("comparison", "comparisons"),
}
GIGABYTE = 10**9
FEWEST, MOST = 0.5, 1000.0


def show() -> None:
    """Draw the box; what is kept is looked at only while it is open."""
    box = st.expander("Stored results", icon=":material/database:", on_change="rerun", key="stored_results")
    if not box.open:
        return
    with box:
        store = data.store()
        kinds, held = store.held()
        st.caption(
            f"{counted(kinds)}, {size(held)}, in {components.escaped(str(store.folder))}. Nothing is computed twice; "
            "when there is more than may be kept, what was not used for longest goes."
        )
        st.number_input(
            "At most, GB", FEWEST, MOST, max(store.most_bytes / GIGABYTE, FEWEST), 0.5, key="store_limit",
            on_change=_limit, help="For all dashboards of this machine's user.",
        )  # fmt: skip
        st.button("Clear", on_click=_clear, disabled=not held, icon=":material/delete:", key="store_clear")


def counted(kinds: dict[str, int]) -> str:
    """How many results of each kind, in words."""
    told = [
        f"{number:,} {NAMES.get(kind, (kind, kind))[number != 1]}" for kind, number in sorted(kinds.items()) if number
    ]
    return " and ".join(told) if told else "Nothing yet"


def size(amount: int) -> str:
    """Bytes in words."""
    return f"{amount / GIGABYTE:.1f} GB" if amount >= GIGABYTE / 10 else f"{amount / 10**6:.1f} MB"


def _limit() -> None:
    data.store().limit(round(st.session_state["store_limit"] * GIGABYTE))


def _clear() -> None:
    data.store().clear()
    data.forget_results()
