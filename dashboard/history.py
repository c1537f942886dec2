"""The browser's Back: one press leads to the page before, as it was when it was left.

Streamlit enters every address that the server writes into the browser's history and, on a change of page, takes the
old page's choices out of its address before it enters the new one. Back would find an entry without choices, behind
others that look alike. Here an address of the same page takes the place of its entry, as one that a widget writes does,
and the entry of a page that is left is put back to what it said when its reader last did something.

Two pages must not bind one key to the address: Streamlit takes it for the other page's, and Back loses it.
"""

from __future__ import annotations

from streamlit.components.v2 import component

_JS = """
function keepEntries() {
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  let said = location.href; // of the page shown, when its reader last did something
  const look = () => { said = location.href; };
  history.replaceState = (...entry) => { replace(...entry); look(); };
  history.pushState = (state, unused, url) => {
    if (new URL(url, location.href).pathname === location.pathname) return replace(state, unused, url);
    replace(history.state, unused, said);
    push(state, unused, url);
    look();
  };
  for (const deed of ["pointerdown", "keydown"]) window.addEventListener(deed, look, true);
  // By an aid to the blind, without a pointer: of a pointer's own the answer may be here before its click is.
  window.addEventListener("click", (event) => { if (event.detail === 0) look(); }, true);
  window.addEventListener("popstate", look, true);
}
export default function () {
  if (window.rvqLensEntries) return;
  window.rvqLensEntries = true;
  keepEntries();
}
"""

_keeper = component("rvq_lens_history", html="<span hidden></span>", js=_JS)


def keep_entries() -> None:
    """Have the browser keep one entry a page; draws nothing that can be seen."""
    _keeper(key="history")
