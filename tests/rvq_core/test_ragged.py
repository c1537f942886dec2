"""Clips in one batch come out as each alone: the reference is the model on one clip at a time."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from rvq_core import RVQVAE, RVQVAEConfig, analyze, one_pass, ragged
from rvq_core.clips.clip import Clip
from rvq_core.ragged import bucketed, encode_clips
from rvq_core.tokens import Pipeline

SETTINGS = [
    {}, {"down_t": 2}, {"down_t": 0}, {"down_t": 3, "depth": 2}, {"norm": "LN"}, {"norm": "BN"}, {"norm": "GN"},
    {"dilation_growth_rate": 2, "depth": 4, "activation": "gelu"}, {"stride_t": 3},
]  # fmt: skip
STRIDE = 24
"""A multiple of every stride above."""


def model(**settings: object) -> RVQVAE:
    sizes = {"input_dim": 5, "width": 32, "code_dim": 4, "nb_code": 8, "num_quantizers": 2} | settings
    return RVQVAE(RVQVAEConfig(**sizes)).double().eval()


@torch.inference_mode()
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_batch_gives_what_each_clip_gives_alone(settings):
    whole = model(**settings)
    clips = [torch.randn(STRIDE * length, 5, dtype=torch.float64) for length in (9, 8, 10, 3, 9, 40, 1, 9)]
    for clip, found in zip(clips, encode_clips(whole, clips), strict=True):
        torch.testing.assert_close(found, whole.encode(clip[None])[0], rtol=1e-10, atol=1e-12)


@torch.inference_mode()
def test_padding_alone_would_not_do():
    whole, clips = model(), [torch.randn(length, 5, dtype=torch.float64) for length in (24, 20)]
    padded = whole.encode(pad_sequence(clips, batch_first=True))[1, :, :10]
    assert (padded - whole.encode(clips[1][None])[0]).abs().max() > 1e-3


@torch.inference_mode()
def test_single_precision_agrees_to_rounding():
    whole = model(width=128).float()
    clips = [torch.randn(length, 5) for length in (96, 88, 80, 80, 96, 92)]
    for clip, found in zip(clips, encode_clips(whole, clips), strict=True):
        alone = whole.encode(clip[None])[0]
        assert (found - alone).abs().max() <= 1e-6 * alone.abs().max()


def test_groupnorm_sees_one_clip_at_a_time(monkeypatch):
    whole, lengths = model(norm="GN"), []
    encode = whole.encode
    monkeypatch.setattr(whole, "encode", lambda x: lengths.append(x.shape[:2]) or encode(x))
    encode_clips(whole, [torch.randn(24, 5, dtype=torch.float64)] * 3)
    assert lengths == [(1, 24)] * 3


def test_like_lengths_share_a_batch():
    frames = np.random.default_rng(0).integers(1, 3000, 200).tolist()
    batches = bucketed(frames)
    assert sorted(number for batch in batches for number in batch) == list(range(200))
    for batch in batches:
        lengths = [frames[number] for number in batch]
        assert len(batch) == 1 or max(lengths) * len(batch) <= ragged.FRAMES_TOGETHER
        assert min(lengths) >= ragged.LEAST_SHARE * max(lengths)
    assert len(bucketed([64] * 160)) == 10
    assert bucketed([]) == []


def test_kinds_of_clips_keep_their_order(tiny, make_clip):
    pipeline = Pipeline(tiny, "cpu")
    motion = [pipeline.fit(make_clip(f"m{i}", 30 + 2 * i, seed=i)) for i in range(4)]
    latents = Clip("z", 15.0, np.random.default_rng(1).normal(size=(7, 8)).astype(np.float32), "latents")
    tokens = Clip("k", 15.0, np.zeros((5, len(tiny.codebooks)), np.float32), "tokens")
    clips = [motion[0], pipeline.fit(tokens), motion[1], pipeline.fit(latents), *motion[2:]]
    for clip, found in zip(clips, pipeline.encode_all(clips), strict=True):
        alone = pipeline.encode(clip)
        assert found.clip is clip
        assert np.array_equal(found.indices, alone.indices)
        torch.testing.assert_close(found.latents, alone.latents, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.partial, alone.partial, rtol=0, atol=0)
        assert (found.features is None) == (clip.representation in ("latents", "tokens"))


def test_reports_tell_the_same(tiny, make_clip, monkeypatch):
    clips = [make_clip(f"c{i}", 20 + 2 * (i % 7), seed=i) for i in range(30)]
    together = analyze(tiny, clips, device="cpu")
    monkeypatch.setattr(one_pass, "FRAMES_AT_ONCE", 1)
    alone = analyze(tiny, clips, device="cpu")
    assert all(np.array_equal(a, b) for a, b in zip(together.tokens, alone.tokens, strict=True))
    assert together.layers["perplexity"].equals(alone.layers["perplexity"])
    columns = ["clip", "n_active", "metric"]
    assert together.clip_errors[columns].equals(alone.clip_errors[columns])
    np.testing.assert_allclose(together.clip_errors["value"], alone.clip_errors["value"], rtol=1e-5)
