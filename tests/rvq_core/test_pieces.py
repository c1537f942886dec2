import pytest
import torch

from rvq_core import RVQVAE, RVQVAEConfig, pieces
from rvq_core.pieces import decode_in_pieces, encode_in_pieces


def model(**settings: object) -> RVQVAE:
    sizes = {"input_dim": 5, "width": 8, "code_dim": 4, "nb_code": 8, "num_quantizers": 2} | settings
    return RVQVAE(RVQVAEConfig(**sizes)).double().eval()


def counted(monkeypatch: pytest.MonkeyPatch, target: RVQVAE, name: str) -> list[int]:
    """How long each input of the model's method was."""
    original, lengths = getattr(target, name), []

    def run(x: torch.Tensor) -> torch.Tensor:
        lengths.append(x.shape[1] if name == "encode" else x.shape[2])
        return original(x)

    monkeypatch.setattr(target, name, run)
    return lengths


SETTINGS = [
    {}, {"down_t": 2}, {"down_t": 0}, {"down_t": 3, "depth": 2}, {"norm": "LN"}, {"norm": "BN"}, {"depth": 1},
    {"dilation_growth_rate": 2, "depth": 4, "activation": "gelu"},
]  # fmt: skip


@torch.inference_mode()
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("frames", [512, 520, 1000])
def test_pieces_give_what_one_pass_gives(monkeypatch, settings, frames):
    monkeypatch.setattr(pieces, "PIECE_FRAMES", 128)
    whole = model(**settings)
    features = torch.randn(frames, 5, dtype=torch.float64)
    latents, motion = whole.encode(features[None]), None
    lengths = counted(monkeypatch, whole, "encode")
    torch.testing.assert_close(encode_in_pieces(whole, features), latents, rtol=1e-10, atol=1e-12)
    assert len(lengths) == -(-frames // 128)
    assert max(lengths) < frames
    several = torch.cat([latents, torch.randn_like(latents)])
    motion = whole.decode(several)
    lengths = counted(monkeypatch, whole, "decode")
    torch.testing.assert_close(decode_in_pieces(whole, several), motion, rtol=1e-10, atol=1e-12)
    assert len(lengths) == -(-frames // 128)


@torch.inference_mode()
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_change_is_felt_no_farther_than_the_margin(settings):
    whole = model(**settings)
    margin = pieces._latents_reached(whole.config)
    stride = whole.config.stride
    features = torch.randn(400 * stride, 5, dtype=torch.float64)
    changed = features.clone()
    changed[200 * stride] += 1
    felt = (whole.encode(features[None]) != whole.encode(changed[None])).any(dim=1)[0].nonzero()
    assert 200 - margin <= felt.min()
    assert felt.max() <= 200 + margin
    latents = torch.randn(1, 4, 400, dtype=torch.float64)
    other = latents.clone()
    other[:, :, 200] += 1
    felt = (whole.decode(latents) != whole.decode(other)).any(dim=2)[0].nonzero()
    assert (200 - margin) * stride <= felt.min()
    assert felt.max() < (200 + margin + 1) * stride


@torch.inference_mode()
@pytest.mark.parametrize("settings", [{"norm": "GN", "width": 32}, {}])
def test_a_model_that_looks_at_all_time_and_short_clips_take_one_pass(monkeypatch, settings):
    monkeypatch.setattr(pieces, "PIECE_FRAMES", 128 if settings else 256)
    whole = model(**settings)
    features = torch.randn(256, 5, dtype=torch.float64)
    latents = whole.encode(features[None])
    motion = whole.decode(latents)
    lengths = counted(monkeypatch, whole, "encode")
    assert torch.equal(encode_in_pieces(whole, features), latents)
    assert torch.equal(decode_in_pieces(whole, latents), motion)
    assert lengths == [256]
