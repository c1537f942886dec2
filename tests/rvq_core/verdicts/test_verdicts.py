import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reports import make_report

from rvq_core import Report, analyze, load_checkpoint, load_clips
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.clips.clip import Clip
from rvq_core.verdicts import RULES, SEVERITIES, Thresholds, verdicts
from rvq_core.verdicts.findings import layers_in_words

KEYS = {
    "rule", "severity", "layers", "finding", "value", "threshold", "low", "high", "measured_on", "cause", "advice",
    "caveat",
}  # fmt: skip


def check_form(found: list[dict]) -> None:
    json.dumps(found, allow_nan=False)
    assert [SEVERITIES.index(v["severity"]) for v in found] == sorted(SEVERITIES.index(v["severity"]) for v in found)
    for verdict in found:
        assert set(verdict) == KEYS
        for part in ("finding", "cause", "advice"):
            assert verdict[part].endswith((".", "?")), verdict[part]


def test_they_are_json_and_worst_first(tiny, make_clip):
    report = analyze(tiny, [make_clip(f"c{i}", 30, seed=i) for i in range(3)], device="cpu")
    check_form(verdicts(report))


def test_a_saved_report_gives_the_same(tiny, make_clip, tmp_path):
    report = analyze(tiny, [make_clip(f"c{i}", 30, seed=i) for i in range(6)], device="cpu")
    assert verdicts(Report.load(report.save(tmp_path / "out"))) == verdicts(report)


def test_latents_alone_are_judged_by_usage(tiny):
    clip = Clip("z", 30.0, np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), "latents")
    found = verdicts(analyze(tiny, [clip], device="cpu"))
    check_form(found)
    assert "too_few_tokens" in {v["rule"] for v in found}


def test_degenerate_reports_are_judged():
    one = [np.zeros((1, 1), dtype=int)]
    check_form(verdicts(make_report(one, 1)))
    check_form(verdicts(make_report(one, 1, errors={"mpjpe": np.zeros((1, 3))})))
    check_form(verdicts(make_report([*one, *one], 8, errors={"mpjpe": np.full((2, 3), np.nan)})))


def test_thresholds_decide():
    report = make_report([np.arange(200)[:, None] % 16] * 6, 16, ema=[np.full(16, 9.0)])
    assert verdicts(report) == []
    strict = verdicts(report, Thresholds(low_perplexity_ratio=2, judged_tokens_per_code=100))
    assert [v["rule"] for v in strict] == ["collapsed_layer", "too_few_tokens"]


@pytest.mark.parametrize(
    ("layers", "last", "words"),
    [
        ([3], 6, "layer 3"),
        ([1], 1, "layer 1"),
        ([1, 2], 2, "all 2 layers"),
        ([5, 6], 6, "layers 5 to 6 (from layer 5 on)"),
        ([1, 2, 5], 6, "layers 1, 2 and 5"),
    ],
)
def test_layers_in_words(layers, last, words):
    assert layers_in_words(layers, last) == words


def test_what_makes_the_others_void_comes_first():
    """Features off scale: no other figure is about the checkpoint then, however severe it is."""
    clips = [np.zeros((5000, 2), dtype=np.int64)] * 4
    warned = "Normalised features have a root mean square of 7.5: they should be near 1."
    found = verdicts(make_report(clips, 64, warnings=[warned]))
    assert [one["rule"] for one in found[:2]] == ["features_off_scale", "collapsed_layer"]
    assert {one["severity"] for one in found[:2]} == {"severe"}


def test_rules_have_names_of_their_own():
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
    documented = (Path(__file__).resolve().parents[3] / "docs" / "verdicts.md").read_text()
    for rule in RULES:
        assert f"`{rule.__name__}`" in documented
    for name in Thresholds().to_dict():
        assert f"`{name}`" in documented


@pytest.fixture(scope="module")
def found():
    """The verdicts on a bundled checkpoint by its name."""
    clips, known = load_clips(bundled_clips()), {}

    def of(name: str) -> pd.DataFrame:
        path = bundled_checkpoints() / f"{name}.safetensors"
        if name not in known:
            known[name] = pd.DataFrame(verdicts(analyze(load_checkpoint(path), clips, device="cpu")))
        return known[name]

    return of


class TestBundledCheckpoints:
    def test_healthy_has_nothing_severe(self, found):
        assert "severe" not in set(found("healthy")["severity"])

    def test_published_size_is_too_large_for_its_data_and_honest_about_it(self, found):
        table = found("published-size").set_index("rule")
        assert table.loc["too_large_for_data", "severity"] == "warning"
        assert "cannot judge 1024 codes" in table.loc["too_large_for_data", "caveat"]

    def test_collapsed_is_collapsed_from_the_first_layer_on(self, found):
        severe = found("collapsed").query("severity == 'severe'").set_index("rule")
        assert {"collapsed_layer", "unseen_codes", "dead_by_ema"} <= set(severe.index)
        assert severe.loc["unseen_codes", "layers"] == [1, 2, 3, 4, 5, 6]
        assert "without reset" in severe.loc["dead_by_ema", "cause"]

    def test_shared_is_shared(self, found):
        assert "shared_codebook" in set(found("shared")["rule"])
