"""Links: what of an opened link could not be followed is told, and a button copies the link to what is shown."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.components.v2 import component

LONGEST_TOLD = 60
"""Characters of a link's value that are repeated: links can hold anything."""

_NOT_FOLLOWED, _PENDING = "_links_not_followed", "_link_pending"


def remember_opened() -> None:
    """Keep what the address said when the session began: widgets take away what they cannot use."""
    if _PENDING not in st.session_state:
        st.session_state[_PENDING] = {name: st.query_params.get_all(name) for name in st.query_params}


def told(value: str) -> str:
    """A value from a link as it may stand on a page: short, and no markup."""
    short = value if len(value) <= LONGEST_TOLD else f"{value[:LONGEST_TOLD]}…"
    return "".join(character if character.isprintable() and character != "`" else " " for character in short)


def lost() -> dict[str, str]:
    """What the sidebar tells that the link named and is not here, by key; it is told until something is chosen."""
    return st.session_state.setdefault("_lost_links", {})


def forget_lost(key: str) -> None:
    """Something was chosen for this key."""
    lost().pop(key, None)


def not_followed(*, told_elsewhere: tuple[str, ...] = ()) -> list[str]:
    """Sentences on what the link asked for and the page does not show; gone once something else is chosen.

    To be asked after the page has run. Every widget is looked at in the first run that it appears in.
    """
    pending: dict[str, list[str]] = st.session_state.get(_PENDING, {})
    kept: dict[str, tuple[str, Any]] = st.session_state.setdefault(_NOT_FOLLOWED, {})
    for key in [key for key in pending if key in st.session_state]:
        wanted, shown = pending.pop(key), st.session_state[key]
        if key not in told_elsewhere and not _same(wanted, shown):
            kept[key] = (", ".join(wanted), shown)
    here = {key: wanted for key, (wanted, shown) in kept.items() if st.session_state.get(key, _PENDING) == shown}
    st.session_state[_NOT_FOLLOWED] = {key: kept[key] for key in here}
    return [
        f"The link asks for {key} `{told(wanted)}`, which is not here; `{told(_text(kept[key][1]))}` is shown."
        for key, wanted in here.items()
    ]


def _same(wanted: list[str], shown: object) -> bool:
    """Whether a widget shows what the address asked for."""
    values = [str(value) for value in shown] if isinstance(shown, list | tuple) else [str(shown)]
    return sorted(values) == sorted(wanted) or _number(values) == _number(wanted) is not None


def _number(values: list[str]) -> float | None:
    try:
        return float(values[0]) if len(values) == 1 else None
    except ValueError:
        return None


def _text(shown: object) -> str:
    return ", ".join(map(str, shown)) if isinstance(shown, list | tuple) else str(shown)


_HTML = """<div class="link"><button type="button">Copy link to this view</button>
<input type="text" readonly hidden aria-label="Link to this view"></div>"""

_CSS = """
.link button { font: inherit; font-size: 0.875rem; width: 100%; padding: 0.4rem 0.75rem; cursor: pointer;
  color: var(--st-text-color); background: transparent; border-radius: var(--st-button-radius, 0.4rem);
  border: 1px solid var(--st-border-color, color-mix(in srgb, var(--st-text-color) 25%, transparent)); }
.link button:hover, .link button:focus-visible { border-color: var(--st-primary-color);
  color: var(--st-primary-color); }
.link input { font: inherit; font-size: 0.8rem; width: 100%; box-sizing: border-box; margin-top: 0.4rem;
  padding: 0.3rem; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-primary-color); }
"""

# The address leaves defaults out; a copied link names them, so that it means the same where others are chosen.
_JS = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button"), field = parentElement.querySelector("input");
  const name = button.textContent;
  button.onclick = async () => {
    const link = new URL(window.location.href);
    for (const [key, value] of Object.entries(data)) if (!link.searchParams.has(key)) link.searchParams.set(key, value);
    try {
      await navigator.clipboard.writeText(link.href);
      button.textContent = "Copied";
    } catch (refused) { // by a browser's settings, or a page that is neither https nor of this machine
      field.value = link.href;
      field.hidden = false;
      field.select();
      button.textContent = "Copy it from here:";
    }
    setTimeout(() => { button.textContent = name; }, 2000);
  };
}
"""

_button = component("rvq_lens_copy_link", html=_HTML, css=_CSS, js=_JS)


def copy_button(defaults: dict[str, str]) -> None:
    """Draw the button; ``defaults`` are put into the link where the address leaves them out."""
    _button(key="copy_link", data=defaults)
