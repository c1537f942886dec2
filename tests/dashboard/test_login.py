"""Before the login nothing is shown, after it everything is, and only to those who are named."""

from pathlib import Path

import pytest
import streamlit as st
from browser import serving
from streamlit.testing.v1 import AppTest

from dashboard import login
from dashboard.launch import APP

pytestmark = pytest.mark.usefixtures("own_places")

AUTH = {
    "redirect_uri": "http://127.0.0.1:8501/oauth2callback",
    "cookie_secret": "not a secret, and long enough for a test",
    "client_id": "a",
    "client_secret": "b",
    "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration",
}


def opened(monkeypatch, who: dict | None, emails: list[str] | None = None) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    monkeypatch.setattr("streamlit.user_info.get_secrets_auth_section", lambda: AUTH)
    at.secrets["auth"] = AUTH
    if emails is not None:
        at.secrets["rvq_lens"] = {"emails": emails}
    if who is not None:
        monkeypatch.setattr(type(st.user), "to_dict", lambda _: {"is_logged_in": True, **who})
    at.run()
    assert not at.exception, at.exception
    return at


def shown(at: AppTest) -> bool:
    return bool(at.sidebar.selectbox) or "Overview" in [title.value for title in at.title]


def buttons(at: AppTest) -> list[str]:
    return [button.label for button in at.button if "Log" in button.label]


def test_nothing_is_asked_where_no_login_is_set_up():
    at = AppTest.from_file(str(APP), default_timeout=60).run()
    assert shown(at) and buttons(at) == []


@pytest.mark.parametrize("installed", [True, False])
def test_before_the_login_nothing_is_shown(monkeypatch, installed):
    monkeypatch.setattr(login, "find_spec", lambda _: object() if installed else None)
    at = opened(monkeypatch, None)
    assert not shown(at)
    assert [title.value for title in at.title] == ["RVQ Lens"]
    assert buttons(at) == (["Log in"] if installed else [])
    assert ["streamlit[auth]" in error.value for error in at.error] == ([] if installed else [True])


@pytest.mark.parametrize(
    ("who", "emails", "comes_in"),
    [
        ({"email": "ada@example.org"}, None, True),
        ({"email": "Ada@Example.org", "email_verified": True}, ["ada@example.org"], True),
        ({"email": "eve@example.org"}, ["ada@example.org"], False),
        ({"email": "ada@example.org", "email_verified": False}, ["ada@example.org"], False),
        ({}, ["ada@example.org"], False),
        ({"email": "ada@example.org"}, [], False),
    ],
)
def test_those_who_are_named_come_in(monkeypatch, who, emails, comes_in):
    at = opened(monkeypatch, who, emails)
    assert shown(at) == comes_in
    assert buttons(at) == ["Log out"]
    assert bool(at.error) != comes_in


@pytest.mark.browser
@pytest.mark.slow
def test_secrets_close_a_real_server(page, tmp_path: Path, checkpoints: Path, clips: Path):
    (tmp_path / ".streamlit").mkdir()
    lines = [f'{name} = "{value}"' for name, value in AUTH.items()]
    (tmp_path / ".streamlit" / "secrets.toml").write_text("\n".join(["[auth]", *lines]), encoding="utf-8")
    with serving(tmp_path, checkpoints, clips) as (address, _):
        for path in ("", "/training", "/export?checkpoint=a.safetensors"):
            page.goto(address + path)
            page.get_by_text(login.WHO).wait_for()
            assert page.get_by_role("heading").all_inner_texts() == ["RVQ Lens"]
            assert page.get_by_test_id("stSidebar").count() == 0
            assert page.locator(".js-plotly-plot").count() == 0
            assert (
                "authlib" in page.get_by_test_id("stAlertContentError").inner_text()
                or page.get_by_role("button", name="Log in").is_visible()
            )
