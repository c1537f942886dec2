"""What every figure of every page owes its reader: words for those who do not see it, axes, hover, an explanation."""

import json
from collections.abc import Callable
from functools import cache

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import app, docs
from dashboard.explained import WHAT
from dashboard.launch import APP

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("comfort")]

PAGES = [file.removesuffix(".py") for file, *_ in app.PAGES]
UNTITLED = ("parcoords",)
"""Charts without axes of their own: each of their lines is labelled."""


@pytest.fixture(scope="module")
def everything(smplx_of_a_file, save_motion):
    """Motion with joints in two groups, enough clips for intervals, two checkpoints: all figures have data."""
    smplx = smplx_of_a_file
    for seed in range(6):
        save_motion(smplx / f"clip{seed}.npz", 60, seed)
    (smplx / "groups.csv").write_text("clip,group\n" + "".join(f"clip{n},{'ab'[n % 2]}\n" for n in range(6)))


def open_page(page: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=200)
    at.switch_page(f"app_pages/{page}.py").run()
    assert not at.exception and not at.error, [box.value for box in at.error]
    return at


@pytest.fixture(scope="module")
def opened(everything) -> Callable[[str], AppTest]:
    """A page as it is first shown, for those who only look."""
    return cache(open_page)


@pytest.mark.parametrize("page", PAGES)
def test_every_chart_has_words_titled_axes_and_hover(opened, page):
    for chart in opened(page).get("plotly_chart"):
        spec = json.loads(chart.proto.spec)
        assert len(chart.proto.alt) > 20, spec["layout"]
        kinds = {trace["type"] for trace in spec["data"]}
        axes = [part for name, part in spec["layout"].items() if name.startswith(("xaxis", "yaxis"))]
        assert kinds <= set(UNTITLED) or (axes and all(axis["title"]["text"] for axis in axes)), chart.proto.alt
        for trace in spec["data"]:
            assert trace["type"] in UNTITLED or trace.get("hovertemplate") or trace.get("hoverinfo") == "skip", trace


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("docs", "export")])
def test_beside_every_heading_stands_what_it_is_with_a_link_to_the_docs(opened, page):
    at = opened(page)
    texts = {what.text for what in WHAT.values()}
    explained = [element.value for element in at.markdown if element.value in texts]
    assert len(explained) >= len(at.main.subheader) and len(explained) >= 1
    links = [element.value for element in at.markdown if element.value.startswith("[More on this in the docs]")]
    assert len(links) == len(explained)


def test_every_explanation_is_short_and_leads_to_a_section_that_there_is():
    texts = docs.topics()
    for name, what in WHAT.items():
        assert what.topic in texts and what.section in texts[what.topic].sections, name
        assert what.text.count(". ") <= 2 and len(what.text) < 420, name


def test_the_clip_that_was_chosen_is_there_again_on_return(everything):
    at = open_page("clip")
    at.selectbox(key="clip_chosen").select("clip3").run()
    at.switch_page("app_pages/usage.py").run()
    at.switch_page("app_pages/clip.py").run()
    assert at.selectbox(key="clip_chosen").value == "clip3"
    assert at.query_params["clip"] in ("clip3", ["clip3"])
