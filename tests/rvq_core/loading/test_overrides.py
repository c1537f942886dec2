"""What is given beside files of other formats, and how files of no format are told apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from published_checks import DIM, emage_state, saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError
from rvq_core.loading.convert import convert

BOOKS = {"layers.0.codebook": torch.ones(4, 3)}


def test_settings_need_a_model_of_the_convolutional_family(tmp_path: Path):
    for state, found in ((BOOKS, "codebooks only"), (emage_state(DIM, 8, 10), "emage")):
        path = saved(tmp_path / "x.pt", state)
        with pytest.raises(CheckpointError) as told:
            load_checkpoint(path, activation="gelu", norm="LN")
        assert (told.value.found, told.value.do) == (found, "leave activation, norm out")


def test_mean_and_std_of_any_length_beside_codebooks(tmp_path: Path):
    path = saved(tmp_path / "x.pt", BOOKS)
    assert load_checkpoint(path, mean=np.zeros(7), std=np.ones(7)).normalizer.mean.shape == (7,)
    with pytest.raises(CheckpointError, match=r"mean: expected D values, found shape \(2, 2\)"):
        load_checkpoint(path, mean=np.zeros((2, 2)), std=np.ones(7))


def test_an_emage_model_takes_mean_and_std_of_its_length(tmp_path: Path):
    path = saved(tmp_path / "x.pt", emage_state(DIM, 8, 10))
    with pytest.raises(CheckpointError, match=rf"std: expected {DIM} values"):
        load_checkpoint(path, mean=np.zeros(DIM), std=np.ones(DIM + 1))


@pytest.mark.parametrize("key", ["my_codebook_of_words", "embedding.weight"])
def test_a_model_with_codes_of_its_own_is_not_called_lookup_free(tmp_path: Path, key: str):
    state = {"encoder.weight": torch.ones(2, 2), key: torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match="expected a checkpoint of a known format"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


def test_another_model_without_codebooks_is_not_called_lookup_free(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"found 1 tensors such as linear\.weight"):
        load_checkpoint(saved(tmp_path / "x.pt", {"linear.weight": torch.ones(2, 2)}))


def test_other_models_are_not_converted(tmp_path: Path):
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", emage_state(DIM, 8, 10)))
    with pytest.raises(CheckpointError, match="found a model of emage"):
        convert(ckpt, tmp_path / "out.safetensors")
