import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.spatial.distance import cdist

from rvq_core.stats.geometry import Margins
from rvq_core.stats.tables import LayerFacts, codes_table, layers_table


def facts(by_clip, codebook=None, **more) -> LayerFacts:
    by_clip = np.asarray(by_clip)
    if codebook is None:
        codebook = np.random.default_rng(0).normal(size=(by_clip.shape[1], 3))
    known = {
        "residual_energy": 0.5, "logged_perplexity": 2.0, "ema_count": None, "reset_threshold": 1.0, "corpora": {},
    }  # fmt: skip
    return LayerFacts(codebook=codebook, by_clip=by_clip, **{**known, **more})


def test_a_row_a_layer_with_the_definitions_of_its_columns():
    rng = np.random.default_rng(0)
    by_clip = rng.poisson(0.8, size=(6, 40)) * 10
    by_clip[0, 3] = 1
    counts = by_clip.sum(axis=0)
    row = layers_table([facts(by_clip), facts(by_clip)]).iloc[1]
    n, k = counts.sum(), 40
    perplexity = np.exp(scipy.stats.entropy(counts))
    share = counts / n
    assert (row["layer"], row["codes"], row["tokens"]) == (2, k, n)
    assert (row["used"], row["unseen"]) == ((counts > 0).sum(), (counts == 0).sum())
    assert row["rare"] == sum(0 < p < 1 / (10 * k) for p in share)
    assert row["perplexity"] == pytest.approx(perplexity)
    assert row["perplexity_ratio"] == pytest.approx(perplexity / k)
    assert row["entropy_bits"] == pytest.approx(scipy.stats.entropy(counts, base=2))
    assert row["ceiling"] == 40
    assert row["top1_share"] == share.max()
    assert row["unseen_mass"] == (counts == 1).sum() / n
    assert row["perplexity_low"] < perplexity < row["perplexity_high"]
    assert row["residual_energy"] == 0.5


def test_the_ceiling_is_the_tokens_where_they_are_fewer_than_the_codes():
    row = layers_table([facts([[1, 2, 0, 0, 0, 0, 0]])]).iloc[0]
    assert row["ceiling"] == 3
    assert pd.isna(row["rare"])
    assert pd.isna(row["perplexity_low"])
    assert pd.isna(row["perplexity_high"])


def test_one_token_one_code_and_one_quantizer():
    row = layers_table([facts([[1]], residual_energy=None)]).iloc[0]
    assert (row["perplexity"], row["perplexity_ratio"], row["entropy_bits"]) == (1, 1, 0)
    assert (row["used"], row["unseen"], row["top1_share"], row["unseen_mass"]) == (1, 0, 1, 1)
    assert row["duplicates"] == 0
    assert row[["rare", "perplexity_low", "perplexity_corrected", "residual_energy"]].isna().all()
    code = codes_table([facts([[1]])]).iloc[0]
    assert pd.isna(code["nearest_code"])
    assert pd.isna(code["nearest_distance"])
    assert (code["count"], code["share"], code["status"]) == (1, 1, "used")


def test_all_codes_unseen_but_one():
    row = layers_table([facts([[0, 0, 500, 0]])]).iloc[0]
    assert (row["used"], row["unseen"], row["rare"], row["perplexity"], row["unseen_mass"]) == (1, 3, 0, 1, 0)


def test_a_row_a_code_with_geometry_and_counts():
    by_clip = np.array([[5, 0, 2, 1, 0], [0, 0, 2, 8, 0]])
    one = facts(by_clip)
    table = codes_table([one, facts(by_clip[:, :3])])
    assert table["layer"].tolist() == [1] * 5 + [2] * 3
    assert table["code"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    first = table[table["layer"] == 1]
    distances = cdist(one.codebook, one.codebook) + np.diag(np.full(5, np.inf))
    assert first["count"].tolist() == [5, 0, 4, 9, 0]
    np.testing.assert_allclose(first["share"], np.array([5, 0, 4, 9, 0]) / 18)
    np.testing.assert_allclose(first["norm"], np.linalg.norm(one.codebook, axis=1))
    assert first["nearest_code"].tolist() == distances.argmin(axis=1).tolist()
    np.testing.assert_allclose(first["nearest_distance"], distances.min(axis=1))
    assert first[["ema_count", "train_count", "held_out_count"]].isna().all(axis=None)


def test_status_is_the_first_that_fits_and_its_cause_stands_beside():
    codebook = np.eye(6) * 4
    codebook[[1, 3]] = codebook[0]  # 0, 1 and 3 lie on each other
    counts = np.array([[0, 1, 2, 900, 0, 97]])  # N = 1000, K = 6: rare is below 16.7 tokens
    table = codes_table([facts(counts, codebook)])
    assert table["status"].tolist() == ["unseen", "duplicate", "rare", "duplicate", "unseen", "used"]
    layer = layers_table([facts(counts, codebook)]).iloc[0]
    assert (layer["duplicates"], layer["rare"], layer["unseen"]) == (3, 2, 2)
    assert table["cause"].str.split(":").str[0].fillna("").tolist() == [
        "duplicate", "duplicate", "rare", "duplicate", "unknown", ""
    ]  # fmt: skip


def test_margins_stand_beside_their_codes():
    one = facts([[9, 0, 0]], np.array([[0.0], [2.0], [6.0]]))
    table = codes_table([dataclasses.replace(one, margins=Margins(np.array([np.nan, 4, 8]), np.array([np.nan, 1, 3])))])
    np.testing.assert_array_equal(table["margin"], [np.nan, 4, 8])
    np.testing.assert_array_equal(table["margin_relative"], [np.nan, 0.5, 1.5])  # neighbours: 2, 2 and 4
    assert codes_table([one])[["margin", "margin_l2", "margin_relative"]].isna().all(axis=None)


def test_stored_corpora_stand_beside_the_clips_counts():
    train, held_out = np.array([6, 0, 2, 0]), np.array([0, 0, 7, 1])
    one = facts([[1, 1, 1, 1]], corpora={"train": train, "held_out": held_out}, ema_count=np.arange(4.0))
    row = layers_table([one]).iloc[0]
    assert (row["train_tokens"], row["train_unseen"]) == (8, 2)
    assert (row["held_out_tokens"], row["held_out_unseen"]) == (8, 2)
    assert row["train_perplexity"] == pytest.approx(np.exp(scipy.stats.entropy(train)))
    assert row["held_out_perplexity"] == pytest.approx(np.exp(scipy.stats.entropy(held_out)))
    codes = codes_table([one])
    assert codes["train_count"].tolist() == [6, 0, 2, 0]
    assert codes["held_out_count"].tolist() == [0, 0, 7, 1]
    assert codes["ema_count"].tolist() == [0, 1, 2, 3]


def test_corpora_that_are_not_stored_are_null_not_zero():
    row = layers_table([facts([[1, 2]])]).iloc[0]
    names = [f"{corpus}_{what}" for corpus in ("train", "held_out") for what in ("tokens", "unseen", "perplexity")]
    assert row[names].isna().all()
