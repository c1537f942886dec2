import dataclasses
import json
import re

import plotly.graph_objects as go
import pytest

from dashboard.export.build import Choice, export_files
from dashboard.export.registry import REPORT_FIGURES

EVIL = "<script>alert(1)</script>"


def page_of(report, **choice) -> str:
    return export_files(report, Choice(("html",), **choice), f"rvq-lens export {EVIL}")["report.html"].decode()


def without_plotly(page: str) -> str:
    """The page without the library, which is the first script."""
    return re.sub(r"<script>.*?</script>\n</head>", "</head>", page, count=1, flags=re.DOTALL)


@pytest.fixture
def hostile(report):
    """A report whose every text is markup."""
    verdict = {
        "rule": EVIL, "severity": "severe", "layers": [1], "finding": EVIL, "value": 1.0, "threshold": 1.0, "low": None,
        "high": None, "measured_on": EVIL, "cause": EVIL, "advice": EVIL, "caveat": EVIL,
    }  # fmt: skip
    manifest = report.manifest | {"verdicts": [verdict], "warnings": [EVIL], "notes": [EVIL], "command": EVIL}
    manifest["checkpoint"] = manifest["checkpoint"] | {"name": EVIL, "file": EVIL}
    renamed = report.clips.assign(clip=[f"{EVIL}{i}" for i in range(len(report.clips))])
    names = dict(zip(report.clips["clip"], renamed["clip"], strict=True))
    errors = report.clip_errors.assign(clip=report.clip_errors["clip"].map(names))
    return dataclasses.replace(report, manifest=manifest, clips=renamed, clip_errors=errors)


def test_nothing_of_a_report_becomes_markup(hostile):
    page = without_plotly(page_of(hostile))
    assert "alert(1)" in page
    assert EVIL not in page
    assert page.count("<script") == page.count("</script>")


def test_it_is_small_holds_plotly_once_and_fetches_nothing(report):
    page = page_of(report)
    assert len(page.encode()) < 8_000_000
    assert page.count("plotly.js v") <= page.count("plotly.js") and len(re.findall(r"plotly\.js v\d", page)) == 1
    rest = without_plotly(page)
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", rest)
    assert "default-src 'none'" in rest


def test_figures_that_are_too_large_together_are_left_out_and_told(report, monkeypatch):
    whole = page_of(report, figures=("perplexity", "usage_image", "residual"))
    sizes = {
        name: len(part) for name, part in re.findall(r"<h3>([^<]+)</h3>\n(<figure>.*?</figure>)", whole, re.DOTALL)
    }
    plotly = len(whole) - len(without_plotly(whole))
    monkeypatch.setattr("dashboard.export.html.MOST_BYTES", plotly + sum(sizes.values()) - 100)
    page = page_of(report, figures=("perplexity", "usage_image", "residual"))
    shown = re.findall(r'id="figure-(\w+)"', page)
    assert len(shown) == 2
    largest = max(sizes, key=sizes.get)
    assert f"as files of their own: {largest}." in page
    assert f"<h3>{largest}</h3>" not in page


def test_it_has_a_dark_scheme_in_which_figures_take_the_page_s_ink(report):
    page = without_plotly(page_of(report))
    assert "color-scheme: light dark" in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert not re.findall(r'"(?:paper|plot)_bgcolor":"(?!rgba\(0,0,0,0\))', page.split("template")[0])


def test_figures_verdicts_tables_and_provenance_stand_in_it(report):
    page = without_plotly(page_of(report, figures=("perplexity", "clips")))
    assert re.findall(r'id="figure-(\w+)"', page) == ["perplexity", "clips"]
    for text in ("Verdicts", "No rule passed its threshold", "Health of each layer", "0" * 64, "1" * 64, "300 tokens"):
        assert text in page


def test_the_figures_hold_the_numbers_of_the_report(report):
    page = without_plotly(page_of(report, figures=("residual",)))
    (data,) = re.findall(r'Plotly\.newPlot\(\s*"figure-residual",\s*(\[.*?\]),\s*\{', page, re.DOTALL)
    trace = json.loads(data)[0]
    assert trace["y"] == pytest.approx([1.0, *report.layers["residual_energy"]])


def test_how_a_figure_was_made_stands_below_it(report):
    entry = dataclasses.replace(REPORT_FIGURES[0], name="other", note=lambda: "Made with seed = 7 & care.")
    files = export_files(report, Choice(("html",), ()), "x", further=[entry])
    page = without_plotly(files["report.html"].decode())
    (figcaption,) = re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", page)
    assert figcaption.endswith("Made with seed = 7 &amp; care.")
    told = json.loads(files["manifest.json"])["figures"][0]["caption"]
    assert "Made with seed = 7 & care." in told


def test_few_figures_are_drawn_by_webgl_and_the_others_as_svg(report):
    """Browsers hold 16 contexts, of which a figure takes up to three, and blank the first ones beyond."""
    cloud = go.Figure(go.Scattergl(x=[0.0, 1.0], y=[0.0, 1.0], mode="markers"))
    more = [
        dataclasses.replace(REPORT_FIGURES[0], name=f"cloud{i}", title=f"Cloud {i}", draw=lambda *_: cloud)
        for i in range(7)
    ]
    page = without_plotly(export_files(report, Choice(("html",), ()), "x", further=more)["report.html"].decode())
    kinds = re.findall(r'"mode":"markers",.*?"type":"(scatter\w*)"', page)
    assert kinds == ["scattergl"] * 4 + ["scatter"] * 3
    assert cloud.data[0].type == "scattergl"  # what is exported is left as it is
