"""Options of the model in a whole run: resumed to the bit, and opened and analysed as what they are."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_process import random_walks, settings_of, stopped_at

from rvq_core import analyze, load_checkpoint
from rvq_core.errors import CheckpointError
from rvq_core.training import train

OPTIONS = {
    "kmeans_init": True, "reset_every": 7, "cosine_codebooks": True, "orthogonality": 0.3, "dropout_per_sample": True,
    "rotation_trick": True, "grad_clip": 0.01, "precision": "bf16",
}  # fmt: skip


def go(out, **changed):
    return train(random_walks(), out, settings_of(**{"iterations": 45} | changed), quiet=True)


def test_a_run_with_all_of_them_goes_on_to_the_bit(tmp_path):
    with stopped_at(33):
        go(tmp_path / "stopped", **OPTIONS)
    resumed, whole = go(tmp_path / "stopped", **OPTIONS), go(tmp_path / "whole", **OPTIONS)
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, torch.Tensor]:
    """What is learnt without any of them."""
    return load_file(go(tmp_path_factory.mktemp("plain") / "run"))


@pytest.mark.parametrize(("name", "value"), OPTIONS.items())
def test_each_of_them_changes_what_is_learnt(tmp_path, plain, name, value):
    other = load_file(go(tmp_path / "run", **{name: value}))
    assert not all(torch.equal(plain[key], other[key]) for key in plain)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in other.values())


class TestCosineCheckpoints:
    @pytest.fixture
    def path(self, tmp_path):
        return go(tmp_path / "run", cosine_codebooks=True)

    def test_they_say_so(self, path):
        with safe_open(path, framework="np") as opened:
            assert json.loads(opened.metadata()["rvq-lens"])["config"]["cosine_codebooks"] is True
        checkpoint = load_checkpoint(path)
        assert checkpoint.notes == ["all codes have length 1: cosine codebooks, nearest by angle"]
        assert checkpoint.quantizer.ema_layers()[0].options.cosine

    def test_they_are_analysed_by_angle(self, path):
        checkpoint = load_checkpoint(path)
        counts = np.zeros((3, 16), dtype=int)
        for clip in random_walks():
            features = checkpoint.normalizer.apply(torch.from_numpy(clip.features[: clip.frames // 2 * 2]))
            with torch.no_grad():
                residual = checkpoint.model.encode(features[None])[0].T.double().numpy()
            for q, codebook in enumerate(checkpoint.codebooks):
                codes = codebook.double().numpy()
                cosines = residual @ codes.T / np.linalg.norm(codes, axis=1) / np.linalg.norm(residual, axis=1)[:, None]
                nearest = cosines.argmax(axis=1)
                counts[q] += np.bincount(nearest, minlength=16)
                residual = residual - codes[nearest]
        codes = analyze(checkpoint, random_walks(), device="cpu").codes
        np.testing.assert_array_equal(codes["count"].to_numpy().reshape(3, 16), counts)
        np.testing.assert_allclose(codes["norm"], 1, atol=1e-5)

    def test_codes_of_another_length_are_refused(self, path, tmp_path):
        tensors = load_file(path)
        tensors["quantizer.layers.1.codebook"] *= 1.1
        with safe_open(path, framework="pt") as opened:
            save_file(tensors, tmp_path / "other.safetensors", metadata=opened.metadata())
        with pytest.raises(CheckpointError, match=r"layers\.1\.codebook: expected codes of length 1"):
            load_checkpoint(tmp_path / "other.safetensors")
