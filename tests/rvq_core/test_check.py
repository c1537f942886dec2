import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
from reports import make_report, spread

from rvq_core.check import Limits, check, read_limits
from rvq_core.errors import SettingsError
from rvq_core.verdicts import Thresholds

K = 32
CURVE = np.tile([100.0, 60, 40, 30], (6, 1))


def report(*used: int, **more):
    tokens = [np.stack([spread(100, K, n) for n in used], axis=1) for _ in range(6)]
    return make_report(tokens, K, **more)


def failures(result) -> list[tuple[str, int | None]]:
    return [(failed.check, failed.layer) for failed in result.failed]


def test_a_good_codebook_passes():
    result = check(report(K, K))
    assert result.passed
    assert len(result.checks) == 4
    assert result.failed == []


def test_the_failing_layer_is_named():
    result = check(report(K, 10, 1))
    assert not result.passed
    assert failures(result) == [("max_unseen", 2), ("max_unseen", 3), ("min_perplexity_ratio", 3)]
    assert result.failed[0].value == pytest.approx(22 / K, abs=1e-3)
    assert "failed: max_unseen in layer 2: 0.6875, at most 0.5 (on 600 tokens of 6 clips)" in result.failed[0].line


def test_a_limit_itself_still_passes():
    exact = check(report(K), Limits(min_perplexity_ratio=None)).checks[0]
    assert (exact.value, exact.passed) == (0.0, True)
    assert check(report(K), Limits(max_unseen=0.0)).passed


def test_stored_training_counts_decide_where_there_are_any():
    even, dead = (np.bincount(spread(5_000, K, n), minlength=K) for n in (K, 3))
    assert check(report(3, 3, train=[even, even])).passed
    assert failures(check(report(K, K, train=[even, dead]))) == [("max_unseen", 2), ("min_perplexity_ratio", 2)]


def test_few_tokens_do_not_fail_a_large_codebook():
    rng = np.random.default_rng(0)
    few = make_report([rng.integers(1024, size=(50, 2)) for _ in range(4)], 1024)
    assert (few.layers["unseen"] > 0.5 * 1024).all()
    assert check(few).passed
    assert not check(make_report([rng.integers(40, size=(50, 2)) for _ in range(4)], 1024)).passed


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_top1_share": 0.1}, [("max_top1_share", 2)]),
        ({"max_duplicates": 0.0}, [("max_duplicates", 1)]),
        ({"max_ema_dead": 0.4}, [("max_ema_dead", 2)]),
        ({"max_mpjpe": 39.9}, [("max_mpjpe", None)]),
        ({"max_mpjpe": 40.1}, []),
        ({"max_held_out_ratio": 1.4}, [("max_held_out_ratio", None)]),
        ({"max_held_out_ratio": 1.6}, []),
    ],
    ids=str,
)
def test_every_limit_fails_what_is_beyond_it(limits, expected):
    codebooks = [np.random.default_rng(q).normal(size=(K, 4)) for q in range(2)]
    codebooks[0][1] = codebooks[0][0]
    errors = CURVE * np.array([1.2, 1.2, 1.2, 0.8, 0.8, 0.8])[:, None]
    made = report(
        K, 7, codebooks=codebooks, ema=[np.full(K, 9.0), np.where(np.arange(K) < 16, 0, 9.0)],
        errors={"mpjpe": errors}, held_out=[True] * 3 + [False] * 3,
    )  # fmt: skip
    base = {"max_unseen": None, "min_perplexity_ratio": None}
    assert failures(check(made, Limits(**(base | limits)))) == expected


@pytest.mark.parametrize("limits", [{"max_mpjpe": 1.0}, {"max_ema_dead": 0.5}, {"max_held_out_ratio": 2.0}], ids=str)
def test_a_limit_on_what_was_not_measured_is_refused(limits):
    with pytest.raises(SettingsError, match=next(iter(limits))):
        check(report(K, errors={"feature_mse": CURVE[:, 1:]}), Limits(**limits))


def test_verdicts_fail_where_they_are_told_to():
    made = report(K, K, errors={"mpjpe": np.tile([100.0, 60, 70, 30], (6, 1))})
    assert check(made).passed
    assert check(made, Limits(fail_on="severe")).passed
    result = check(made, Limits(fail_on="warning"))
    assert not result.passed
    assert {verdict["rule"] for verdict in result.failing_verdicts} == {"worse_layer", "last_layers_buy_nothing"}


def test_the_json_is_as_documented():
    result = check(report(K, 1, errors={"mpjpe": CURVE}), Limits(max_mpjpe=50.0))
    told = json.loads(result.json())
    assert set(told) == {
        "schema", "rvq_lens", "passed", "checkpoint", "clips", "limits", "checks", "failed", "failing_verdicts",
        "verdicts",
    }  # fmt: skip
    assert (told["schema"], told["passed"]) == (1, False)
    assert told["limits"] == asdict(Limits(max_mpjpe=50.0))
    assert told["failed"] == [entry for entry in told["checks"] if not entry["passed"]]
    assert set(told["checks"][0]) == {"check", "layer", "passed", "value", "threshold", "measured_on"}
    assert told["verdicts"] == result.verdicts


def test_scalars_for_a_training_log_need_no_logger():
    scalars = check(report(K, K, errors={"mpjpe": CURVE}), Limits(max_mpjpe=50.0)).scalars()
    assert set(scalars) == {f"{n}/layer_{q}" for n in ("max_unseen", "min_perplexity_ratio") for q in (1, 2)} | {
        "max_mpjpe"
    }
    assert scalars["max_mpjpe"] == pytest.approx(40)
    assert not {"tensorboard", "wandb"} & set(sys.modules)


def test_the_limits_are_those_of_the_severe_verdicts():
    result = check(report(K, 20), Limits(max_unseen=0.3))
    assert [v["severity"] for v in result.verdicts if v["rule"] == "unseen_codes"] == ["severe"]


class TestFile:
    def test_limits_and_thresholds(self, tmp_path):
        path = tmp_path / "limits.toml"
        path.write_text('max_unseen = 0.25\nfail_on = "severe"\n[verdicts]\nquantizer_share = 0.2\n')
        limits, thresholds = read_limits(path)
        assert limits == Limits(max_unseen=0.25, fail_on="severe")
        assert thresholds == Thresholds(quantizer_share=0.2)

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("max_unsen = 1", "max_unsen"),
            ("max_unseen = true", "max_unseen"),
            ("max_mpjpe = -1", "max_mpjpe"),
            ('fail_on = "always"', "fail_on"),
            ("verdicts = 3", "verdicts"),
            ("[verdicts]\nmax = 3", "verdicts: max"),
        ],
    )
    def test_what_does_not_fit_is_named(self, tmp_path, text, named):
        path = tmp_path / "limits.toml"
        path.write_text(text)
        with pytest.raises(SettingsError, match=rf"limits\.toml: {named}"):
            read_limits(path)
