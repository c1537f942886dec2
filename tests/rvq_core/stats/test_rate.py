from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from rvq_core.stats import usage
from rvq_core.stats.keyed import Joint
from rvq_core.stats.rate import rate_distortion, rate_table

CODES = [16, 8, 8]


def facts(tokens: np.ndarray, codes: list[int]) -> tuple[list[np.ndarray], list[Joint]]:
    """Counts of each layer and of each two adjacent ones, from tokens [N, Q]."""
    joints = []
    for q in range(len(codes) - 1):
        met = sorted(Counter(map(tuple, tokens[:, q : q + 2].tolist())).items())
        columns = np.array([(*pair, times) for pair, times in met], dtype=np.int64).reshape(-1, 3)
        joints.append(Joint(*columns.T))
    return [np.bincount(tokens[:, q], minlength=size) for q, size in enumerate(codes)], joints


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    rng = np.random.default_rng(0)
    first = rng.zipf(1.6, size=4000) % 16
    second = np.where(rng.random(4000) < 0.6, first % 8, rng.integers(0, 8, size=4000))
    return np.stack([first, second, rng.integers(0, 8, size=4000)], axis=1)


def test_bits_of_each_layer_are_its_entropies(tokens):
    table = rate_table(*facts(tokens, CODES), seconds=100.0)
    assert table["layer"].tolist() == [1, 2, 3]
    assert table["nominal_bits"].tolist() == [4, 3, 3]
    for q in range(3):
        wanted = scipy.stats.entropy(np.bincount(tokens[:, q]), base=2)
        assert table["effective_bits"][q] == pytest.approx(wanted)
        corrected = usage.chao_shen_perplexity(np.bincount(tokens[:, q]))
        assert table["effective_bits_corrected"][q] == pytest.approx(min(np.log2(corrected), np.log2(CODES[q])))


def test_conditional_bits_are_the_mean_entropy_given_the_layer_above(tokens):
    table = rate_table(*facts(tokens, CODES), seconds=100.0)
    assert table["conditional_bits"][0] == table["effective_bits"][0]
    for q in (1, 2):
        given = [tokens[tokens[:, q - 1] == code, q] for code in np.unique(tokens[:, q - 1])]
        wanted = sum(len(part) / 4000 * scipy.stats.entropy(np.bincount(part), base=2) for part in given)
        assert table["conditional_bits"][q] == pytest.approx(wanted)
    assert table["conditional_bits"][1] < table["effective_bits"][1] - 0.5
    assert table["conditional_reliable"].tolist() == [True, True, True]


def test_bits_add_up_over_layers_and_are_told_by_second(tokens):
    table = rate_table(*facts(tokens, CODES), seconds=200.0)
    for kind in ("nominal", "effective", "conditional"):
        np.testing.assert_allclose(table[f"{kind}_total"], np.cumsum(table[f"{kind}_bits"]))
        # 4,000 tokens in 200 seconds: 20 a second.
        np.testing.assert_allclose(table[f"{kind}_bps"], 20 * table[f"{kind}_total"])


def test_on_few_tokens_the_conditional_bits_are_too_low_and_said_to_be():
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 64, size=(600, 2))  # independent: H(second | first) is 6 bits
    row = rate_table(*facts(tokens, [64, 64]), seconds=None).iloc[1]
    assert row["conditional_bits"] < 4
    assert abs(row["conditional_bits_corrected"] - 6) < 0.5
    assert not row["conditional_reliable"]


def test_without_seconds_there_are_no_bits_a_second(tokens):
    table = rate_table(*facts(tokens, CODES), seconds=None)
    assert table[["nominal_bps", "effective_bps", "conditional_bps"]].isna().all(axis=None)
    assert table["nominal_total"].notna().all()


def test_one_quantizer_of_one_code_costs_nothing():
    table = rate_table([np.array([5])], [], seconds=1.0)
    assert table[["nominal_bits", "effective_bits", "conditional_bits", "effective_bps"]].to_numpy().tolist() == [
        [0] * 4
    ]


def test_no_tokens_cost_what_is_nominal():
    nothing = np.empty(0, dtype=np.int64)
    table = rate_table([np.zeros(4, dtype=int)] * 2, [Joint(nothing, nothing, nothing)], seconds=None)
    assert table["nominal_total"].tolist() == [2, 4]
    assert table[["effective_bits", "conditional_bits", "conditional_bits_corrected"]].isna().all(axis=None)
    assert not table["conditional_reliable"].any()


def test_error_stands_beside_what_its_quantizers_cost(tokens):
    rate = rate_table(*facts(tokens, CODES), seconds=200.0)
    reconstruction = pd.DataFrame(
        [
            {
                "n_active": n,
                "metric": metric,
                "value": 9.0 - n,
                "low": 8.5 - n,
                "high": 9.5 - n,
                "unit": "mm",
                "gain": 1,
            }
            for metric in ("mpjpe", "feature_mse")
            for n in range(4)
        ]
    )
    table = rate_distortion(rate, reconstruction)
    mpjpe = table[table["metric"] == "mpjpe"]
    assert mpjpe["n_active"].tolist() == [0, 1, 2, 3]
    assert mpjpe["value"].tolist() == [9, 8, 7, 6]
    assert mpjpe["nominal_bits"].tolist() == [0, 4, 7, 10]
    assert mpjpe["nominal_bps"].tolist() == [0, 80, 140, 200]
    np.testing.assert_allclose(mpjpe["effective_bits"], [0, *rate["effective_total"]])
    np.testing.assert_allclose(mpjpe["conditional_bps"], [0, *rate["conditional_bps"]])
    assert len(table) == 8


def test_error_against_bits_a_second_needs_seconds(tokens):
    rate = rate_table(*facts(tokens, CODES), seconds=None)
    reconstruction = pd.DataFrame(
        {"n_active": [0, 1], "metric": "mpjpe", "value": 1.0, "low": np.nan, "high": np.nan, "unit": "mm"}
    )
    table = rate_distortion(rate, reconstruction)
    assert table["nominal_bits"].tolist() == [0, 4]
    assert table["nominal_bps"].isna().all()
