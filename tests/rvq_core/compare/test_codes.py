"""Codes of two checkpoints: which stand for the same moments."""

import numpy as np
import pytest
from compared import K, made, tokens_of

from rvq_core.compare import compare


def test_renamed_codes_are_matched_by_moments():
    tokens, rng = tokens_of(), np.random.default_rng(9)
    renamed = np.stack([rng.permutation(K) for _ in range(3)], axis=1)
    other = [np.take_along_axis(renamed, each, axis=0) for each in tokens]
    comparison = compare([made("a", tokens=tokens), made("b", tokens=other)])
    matches = comparison.tables["code_matches"]
    assert set(matches["by"]) == {"moments"}
    assert (matches["code"] == renamed[matches["baseline_code"], matches["layer"] - 1]).all()
    assert (matches["share"] == 1).all()
    assert comparison.tables["matching"].query("layer == baseline_layer")["ami"].tolist() == pytest.approx([1] * 3)
    assert any("mean nothing across" in note for note in comparison.manifest["notes"])


def test_two_steps_of_one_run_are_matched_by_number():
    tokens, rng = tokens_of(), np.random.default_rng(9)
    moved = [np.where(rng.random(each.shape) < 0.3, rng.integers(K, size=each.shape), each) for each in tokens]
    comparison = compare([made("a", tokens=tokens), made("b", tokens=moved)])
    matches = comparison.tables["code_matches"]
    assert set(matches["by"]) == {"number"}
    assert (matches["code"] == matches["baseline_code"]).all()
    assert matches.groupby("layer")["tokens"].sum().tolist() == [
        sum((a[:, q] == b[:, q]).sum() for a, b in zip(tokens, moved, strict=True)) for q in range(3)
    ]
    assert any("by number" in note for note in comparison.manifest["notes"])


def test_shared_moments_are_the_contingency_table_of_the_most_frequent_pairs():
    first, second = tokens_of(), tokens_of(seed=3)
    tables = compare([made("a", tokens=first), made("b", tokens=second)]).tables
    cells = tables["shared_moments"]
    own, theirs = np.concatenate(second)[:, 1], np.concatenate(first)[:, 1]
    some = cells[cells["layer"] == 2]
    for row in some.itertuples():
        assert row.tokens == ((own == row.code) & (theirs == row.baseline_code)).sum() > 0
        assert row.share == pytest.approx(row.tokens / (own == row.code).sum())
    pairs = tables["code_matches"].query("layer == 2").set_index("code")["baseline_code"]
    assert some[some["matched"]].set_index("code")["baseline_code"].to_dict() == pairs.to_dict()
    inside = np.isin(own, pairs.index) & np.isin(theirs, pairs.to_numpy())
    assert some["tokens"].sum() == inside.sum()
    assert set(cells["checkpoint"]) == {"b"}


def test_of_many_pairs_the_most_frequent_keep_their_moments(monkeypatch):
    monkeypatch.setattr("rvq_core.compare.codes.MOST_PAIRS", 3)
    tables = compare([made("a"), made("b", tokens=tokens_of(seed=3))]).tables
    for layer, matches in tables["code_matches"].groupby("layer"):
        cells = tables["shared_moments"]
        cells = cells[(cells["layer"] == layer) & cells["matched"]]
        assert sorted(cells["tokens"]) == sorted(matches["tokens"])[-3:]


def test_every_pair_of_layers_has_its_agreement():
    table = compare([made("a"), made("b", depth=2, seed=4)]).tables["matching"]
    assert table[["layer", "baseline_layer"]].to_numpy().tolist() == [[a, b] for a in (1, 2) for b in (1, 2, 3)]
    assert table["ami"].abs().max() < 0.1
    assert table["match_share"].notna().tolist() == [True, False, False, False, True, False]


def test_other_strides_are_matched_at_the_nearest_time():
    tokens = tokens_of()
    doubled = made("fast", tokens=[np.repeat(each, 2, axis=0) for each in tokens], stride=1)
    comparison = compare([made("a", tokens=tokens), doubled])
    assert comparison.tables["matching"].query("layer == baseline_layer")["ami"].tolist() == pytest.approx([1] * 3)
    assert any("nearest time" in note for note in comparison.manifest["notes"])


def test_they_may_be_left_out():
    tables = compare([made("a"), made("b")], codes=False).tables
    assert len(tables["matching"]) == len(tables["code_matches"]) == 0
    assert len(tables["metrics"])
