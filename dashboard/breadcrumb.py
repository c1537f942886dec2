"""The line above every page that tells what is selected, with a button for each kind that clears it."""

from __future__ import annotations

import streamlit as st

from dashboard import components, linked

LONGEST_NAME = 40
"""Characters of a clip's name on a button."""


def show() -> None:
    """What is selected, each with a button that clears it; nothing where nothing is."""
    if gone := linked.told_gone():
        st.info(gone, icon=":material/link_off:")
    chosen = linked.current()
    if not chosen:
        return
    told = named(chosen)
    present = [kind for kind in linked.KINDS if getattr(chosen, kind)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Selected**", width="content")
        for kind in present:
            st.button(
                told[kind], key=f"clear_{kind}", icon=":material/close:", on_click=linked.clear, args=(kind,),
                help="Marked in the charts of all pages. Click to clear.", width="content",
            )  # fmt: skip
        if len(present) > 1:
            st.button(
                "Clear all", key="clear_all", type="tertiary", on_click=linked.clear, args=linked.KINDS, width="content"
            )
    long = [kind for kind in present if len(getattr(chosen, kind)) > linked.MOST_IN_LINK]
    if long:
        st.caption(f"More than {linked.MOST_IN_LINK} {' and '.join(long)} do not fit into a link: it leaves them out.")


def named(chosen: linked.Linked) -> dict[str, str]:
    """What is selected of each kind, in words short enough for a button."""
    layers = ", ".join(map(str, chosen.layers))
    of = ", ".join(map(str, sorted({layer for layer, _ in chosen.codes})))
    if len(chosen.codes) == 1:
        codes = "layer {}, code {}".format(*chosen.codes[0])
    else:
        codes = f"{len(chosen.codes):,} codes of layer{'s' if ',' in of else ''} {of}"
    first = chosen.clips[0] if chosen.clips else ""
    clips = components.escaped(first if len(first) <= LONGEST_NAME else f"{first[:LONGEST_NAME]}…")
    more = len(chosen.clips) - 1
    return {
        linked.LAYERS: f"layer{'s' if len(chosen.layers) > 1 else ''} {layers}",
        linked.CODES: codes,
        linked.CLIPS: f"clip {clips}" if not more else f"{len(chosen.clips):,} clips: {clips} and {more:,} more",
    }
