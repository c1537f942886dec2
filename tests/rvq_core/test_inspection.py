import json
import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from rvq_core import load_checkpoint
from rvq_core.files import sha256_of
from rvq_core.inspection import describe, inspect


def test_the_facts_of_a_native_checkpoint(make_checkpoint):
    path = make_checkpoint(down_t=2)
    facts = json.loads(json.dumps(inspect(load_checkpoint(path)), allow_nan=False))
    assert facts["format"] == "rvq-lens"
    assert facts["sha256"] == sha256_of(path)
    assert (facts["num_quantizers"], facts["nb_code"], facts["code_dim"]) == (3, 16, 8)
    assert (facts["input_dim"], facts["stride"], facts["shared_codebook"]) == (330, 4, False)
    assert (facts["representation"], facts["fps"], facts["normalizer"]) == ("smplx_rot6d", 30.0, True)
    assert facts["config"]["width"] == 16
    assert facts["notes"] == []
    assert facts["corpora"] is None
    assert facts["training"] is None


def test_codebook_geometry_is_scipys(tiny):
    for codebook, layer in zip(tiny.codebooks, inspect(tiny)["layers"], strict=True):
        distances = squareform(pdist(codebook.numpy().astype(float))) + np.diag(np.full(16, np.inf))
        assert layer["codes"] == 16
        assert layer["median_nearest_distance"] == pytest.approx(np.median(distances.min(axis=1)))
        assert layer["median_norm"] == pytest.approx(np.median(np.linalg.norm(codebook.numpy(), axis=1)), rel=1e-6)
        assert layer["duplicates"] == 0


def test_ema_counts_and_who_would_be_reset(tiny):
    counts = np.linspace(0.2, 5, 16, dtype=np.float32)
    for layer in inspect(tiny)["ema_counts"]:
        assert layer["min"] == pytest.approx(0.2)
        assert layer["max"] == pytest.approx(5)
        assert layer["median"] == pytest.approx(np.median(counts), abs=0.2)
        assert layer["below_reset_threshold"] == (counts < 1).sum()


def test_ema_counts_that_are_not_in_the_file_are_null(make_checkpoint):
    checkpoint = load_checkpoint(make_checkpoint(ema=False))
    assert inspect(checkpoint)["ema_counts"] is None
    assert re.search(r"EMA counts +not in this checkpoint", describe(inspect(checkpoint)))


def test_duplicates_are_counted(make_checkpoint):
    def double(model):
        model.quantizer.ema_layers()[1].codebook[5] = model.quantizer.ema_layers()[1].codebook[2]

    layers = inspect(load_checkpoint(make_checkpoint(change=double)))["layers"]
    assert [layer["duplicates"] for layer in layers] == [0, 2, 0]


def test_one_code_has_no_neighbour(make_checkpoint):
    facts = inspect(load_checkpoint(make_checkpoint(nb_code=1, num_quantizers=1)))
    assert facts["layers"][0]["median_nearest_distance"] is None
    assert "none" in describe(facts)


def test_a_shared_codebook_is_told(make_checkpoint):
    facts = inspect(load_checkpoint(make_checkpoint(shared_codebook=True)))
    assert facts["shared_codebook"] is True
    assert facts["layers"][0] == facts["layers"][2]
    assert "one shared codebook" in describe(facts)


def test_stored_corpora_are_summed_up_and_empty_ones_left_out(make_checkpoint):
    counts = torch.arange(48).reshape(3, 16).tolist()
    training = {
        "iterations": 7, "history": [{"iteration": 1}], "train_clips": ["a"],
        "code_counts": {"train": counts, "held_out": [[0] * 16] * 3},
    }  # fmt: skip
    facts = inspect(load_checkpoint(make_checkpoint(training=training)))
    assert list(facts["corpora"]) == ["train"]
    p = np.arange(16) / 120
    first = facts["corpora"]["train"][0]
    assert (first["tokens"], first["unseen"]) == (120, 1)
    assert first["perplexity"] == pytest.approx(np.exp(-(p[1:] * np.log(p[1:])).sum()))
    assert facts["training"] == {"iterations": 7, "train_clips": ["a"]}
    assert "train: perplexity, unseen, tokens" in describe(facts)


def test_without_a_normalizer_the_text_says_so(make_checkpoint):
    facts = inspect(load_checkpoint(make_checkpoint(normalizer=False, representation=None, fps=None)))
    assert (facts["normalizer"], facts["representation"], facts["fps"]) == (False, None, None)
    text = describe(facts)
    assert re.search(r"mean and std +not in this checkpoint", text)
    assert "330 features (unknown), unknown fps, 2 frames a token" in text
