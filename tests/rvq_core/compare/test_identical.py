"""Identical checkpoints: every difference is exactly 0."""

import numpy as np
import pytest
from compared import CLIPS, errors_of, made, tokens_of

from rvq_core.compare import compare


def test_every_difference_is_0():
    comparison = compare([made("a"), made("b")])
    for name in ("metrics", "layers", "equal_rate"):
        table = comparison.tables[name]
        assert len(table)
        assert (table["delta"] == 0).all()
        known = table.dropna(subset=["low"])
        assert (known[["low", "high"]] == 0).all(axis=None)
        assert set(table["words"]) == {"no difference"}
        assert not table["significant"].fillna(False).any()
    assert len(comparison.tables["config"]) == 0
    assert comparison.refused == []
    assert comparison.manifest["summary"][0].startswith("b: no difference. mpjpe ")


def test_every_token_stands_on_its_own_code():
    tables = compare([made("a"), made("b")]).tables
    equal = tables["matching"].query("layer == baseline_layer")
    np.testing.assert_allclose(equal["ami"], 1)
    assert (equal[["match_share", "index_share"]] == 1).all(axis=None)
    matches = tables["code_matches"]
    assert (matches["code"] == matches["baseline_code"]).all()
    assert (matches[["share", "baseline_share"]] == 1).all(axis=None)
    assert set(matches["by"]) == {"number"}


def test_layers_that_cost_nothing_change_nothing():
    """A collapsed layer stands at the rate of the one before it: the points are taken alike for both."""
    tokens = [np.where(np.arange(3) == 1, 0, each) for each in tokens_of()]
    table = compare([made("a", tokens=tokens), made("b", tokens=tokens)]).tables["equal_rate"]
    assert (table["delta"] == 0).all()
    assert table.query("rate == 'effective'")["n_active"].tolist() == [2, 3]


def test_one_clip_alone():
    one = {"tokens": tokens_of()[:1], "errors": {"mpjpe": errors_of()[:1]}}
    comparison = compare([made("a", **one), made("b", **one)])
    assert (comparison.tables["metrics"]["delta"] == 0).all()
    assert comparison.tables["metrics"]["low"].isna().all()


@pytest.mark.parametrize(("tokens", "codes"), [(np.zeros((1, 1), dtype=int), 1), (np.array([[2, 0]]), 3)])
def test_one_token_one_code(tokens, codes):
    depth = tokens.shape[1]
    given = {"codes": codes, "depth": depth, "tokens": [tokens] * CLIPS}
    comparison = compare([made("a", **given), made("b", **given)])
    assert (comparison.tables["layers"]["delta"] == 0).all()
    assert (comparison.tables["metrics"]["delta"] == 0).all()
