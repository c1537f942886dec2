import numpy as np
import pytest
import torch

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.clips import Clip
from rvq_core.errors import ClipError
from rvq_core.loading import load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native
from rvq_core.residuals import residual_sample


@pytest.fixture
def ckpt(tmp_path):
    torch.manual_seed(0)
    config = RVQVAEConfig(input_dim=12, width=8, code_dim=4, nb_code=16, num_quantizers=3, depth=1)
    model = RVQVAE(config)
    for layer in model.quantizer.ema_layers():
        layer.codebook.copy_(torch.randn(16, 4))
        layer.init.fill_(True)
    save_native(tmp_path / "m.safetensors", model, None, NativeHeader(config, None, 30.0, {}))
    return load_checkpoint(tmp_path / "m.safetensors")


def clip(name: str, frames: int, width: int = 12) -> Clip:
    rng = np.random.default_rng(frames)
    return Clip(name, 30.0, rng.normal(size=(frames, width)).astype(np.float32), "raw", None)


def test_each_layer_gets_what_the_ones_before_left(ckpt):
    one = clip("one", 40)
    first, *deeper = residual_sample(ckpt, [one])
    latents = ckpt.model.encode(torch.from_numpy(one.features)[None])[0].T.detach().numpy()
    assert np.allclose(first, latents, atol=1e-6)
    left = latents
    for codebook, found in zip(ckpt.codebooks, deeper, strict=False):
        codes = codebook.numpy()
        left = left - codes[((left[:, None] - codes) ** 2).sum(-1).argmin(1)]
        assert np.allclose(found, left, atol=1e-5)
    assert len(deeper) == 2


def test_it_stops_at_the_number_of_tokens_and_leaves_out_what_does_not_fit(ckpt):
    clips = [clip("a", 40), clip("wide", 40, 7), clip("b", 60), clip("c", 80)]
    sample = residual_sample(ckpt, clips, tokens=33)
    assert [layer.shape for layer in sample] == [(33, 4)] * 3
    assert len(residual_sample(ckpt, clips)[0]) == (40 + 60 + 80) // 2


def test_with_very_many_codes_fewer_tokens_are_taken(ckpt, monkeypatch):
    monkeypatch.setattr("rvq_core.residuals.MOST_DISTANCES", 3 * 16 * 7 + 1)
    assert [layer.shape for layer in residual_sample(ckpt, [clip("a", 40)])] == [(7, 4)] * 3


def test_indices_tell_no_latents(ckpt):
    indices = Clip("tokens", 15.0, np.zeros((20, 3), np.float32), "tokens")
    assert len(residual_sample(ckpt, [indices, clip("a", 40)])[0]) == 20
    with pytest.raises(ClipError, match="motion or latents"):
        residual_sample(ckpt, [indices])


def test_no_clip_that_fits_is_an_error(ckpt):
    with pytest.raises(ClipError, match="none of 1"):
        residual_sample(ckpt, [clip("wide", 40, 7)])
