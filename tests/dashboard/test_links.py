import pytest
from streamlit.testing.v1 import AppTest

from dashboard import links


def script():
    import streamlit as st

    from dashboard import links

    links.remember_opened()
    st.selectbox("Layer", [1, 2], key="layer", bind="query-params")
    st.number_input("Distance", 0.0, 1.0, 0.1, key="distance", bind="query-params")
    st.multiselect("Status", ["used", "unseen"], key="status", bind="query-params")
    for sentence in links.not_followed(told_elsewhere=("checkpoint",)):
        st.warning(sentence)


def opened(**query: str | list[str]) -> AppTest:
    at = AppTest.from_function(script)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def test_a_link_that_is_followed_says_nothing():
    at = opened(layer="2", distance="0.50", status=["unseen", "used"], checkpoint="gone", unknown="x")
    assert at.selectbox[0].value == 2 and at.number_input[0].value == 0.5
    assert not at.warning


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("layer", "99", "1"), ("layer", "-1", "1"), ("distance", "nan", "0.1"), ("distance", "7", "0.1"),
     ("status", "<b>x</b>", ""), ("layer", "x" * 10_000, "1"), ("layer", "", "1"), ("layer", "`**\x00", "1")],
)  # fmt: skip
def test_what_is_not_here_is_told_shortly_and_ignored(key, value, shown):
    at = opened(**{key: value})
    (warning,) = at.warning
    assert warning.value.startswith(f"The link asks for {key} `") and f"`{shown}` is shown" in warning.value
    assert len(warning.value) < 200
    assert warning.value.count("`") == 4


def test_it_is_told_until_something_else_is_chosen():
    at = opened(layer="99", distance="0.2")
    assert at.run().warning
    assert not at.selectbox[0].select(2).run().warning
    assert not at.selectbox[0].select(1).run().warning


def test_a_value_from_a_link_is_no_markup():
    assert links.told("a`b\nc") == "a b c"
    assert len(links.told("y" * 1000)) == links.LONGEST_TOLD + 1
