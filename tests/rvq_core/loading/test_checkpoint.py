"""What a checkpoint tells of its training, and when two normalise alike."""

import hashlib
from pathlib import Path

import pytest
import torch

from rvq_core.loading.checkpoint import Checkpoint, Normalizer
from rvq_core.quantizer import ResidualVQ


def checkpoint(**training: object) -> Checkpoint:
    return Checkpoint(Path("x"), "x", "rvq-lens", "0", ResidualVQ(1, nb_code=4, code_dim=2), training=training)


def test_corpora_are_those_that_counts_are_stored_of():
    assert checkpoint(train_clips=["a"], held_out_clips=["b"]).corpora == {}
    told = checkpoint(train_clips=["a", "b"], code_counts={"train": [[1]]}, mirrored=True, headings_counted=8)
    assert told.corpora == {"train": "2 clips and their mirror images, each in 8 headings"}
    told = checkpoint(held_out_clips=["b"], code_counts={"held_out": [[1]], "train": [[1]]}, mirrored=True)
    assert told.corpora == {"train": "0 clips and their mirror images", "held_out": "1 clip"}
    assert checkpoint(code_counts={"train": [[1]]}, headings_counted=2).corpora == {
        "train": "0 clips, each in 2 headings"
    }


@pytest.mark.parametrize("clip", ["a/b/c/take", "take.NPZ", "a/take_part12.txt#3"])
def test_clips_are_known_by_their_take(clip: str):
    assert checkpoint(train_clips=[clip]).held_out("other/take") is False
    assert checkpoint(held_out_clips=["take"]).held_out(clip) is True
    assert checkpoint(held_out_clips=["b", "a/b"]).held_out(clip) is None


def test_normalizers_are_alike_by_what_they_do():
    mean, std = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1e-5])
    expected = hashlib.sha256(mean.numpy().tobytes() + torch.tensor([3.0, 1.0]).numpy().tobytes()).hexdigest()
    assert Normalizer(mean, std).sha256 == Normalizer(mean.double(), torch.tensor([3.0, 0.0])).sha256 == expected
    assert Normalizer(mean + 1, std).sha256 != expected


def test_a_feature_of_just_1e_4_is_scaled():
    assert Normalizer(torch.zeros(1), torch.tensor([1e-4])).scale.item() == pytest.approx(1e-4)
