"""Who may see the pages: Streamlit's own login (OpenID Connect), where its secrets say who is asked.

Without a section ``[auth]`` in Streamlit's ``secrets.toml`` nothing is asked. ``[rvq_lens] emails`` there names those
who may come in; without it, whoever the provider lets log in.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import streamlit as st

WHO = "Checkpoints and clips of this machine are shown to those who have logged in."


def ask() -> None:
    """Stop the run until somebody has logged in who may come in; nothing where no login is set up."""
    who: dict[str, Any] = st.user.to_dict()
    if "is_logged_in" not in who:
        return
    if not who["is_logged_in"]:
        st.title("RVQ Lens", anchor=False)
        st.write(WHO)
        if find_spec("authlib") is None:
            st.error("Expected the package authlib, which the login needs, found none; install `streamlit[auth]`.")
        else:
            st.button("Log in", type="primary", on_click=st.login)
        st.stop()
    if not _may_come_in(who):
        st.title("RVQ Lens", anchor=False)
        st.error("Your address is not among those that this server shows its pages to; ask whoever started it.")
        st.button("Log out", on_click=st.logout)
        st.stop()
    with st.sidebar:
        st.button("Log out", on_click=st.logout, width="stretch")


def _may_come_in(who: dict[str, Any]) -> bool:
    """Whether the address is one that is named; one that the provider calls unverified is nobody's."""
    if "emails" not in st.secrets.get("rvq_lens", {}):
        return True
    named = [str(email).casefold() for email in st.secrets["rvq_lens"]["emails"]]
    return who.get("email_verified", True) is True and str(who.get("email", "")).casefold() in named
