import dataclasses

import numpy as np
import pytest
import torch

from rvq_core import Report, analyze, load_clips, tokens
from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.errors import CheckpointError, ClipError, SettingsError
from rvq_core.loading import load_checkpoint
from rvq_core.stats.reconstruction import UNQUANTISED
from rvq_core.tokens import Pipeline, choose_device


@pytest.mark.parametrize(
    "settings",
    [{}, {"down_t": 2, "depth": 2}, {"down_t": 0}, {"num_quantizers": 1, "nb_code": 1}, {"shared_codebook": True}],
    ids=str,
)
def test_latents_tokens_and_reconstructions_are_those_of_plain_numpy(make_checkpoint, make_clip, oracle, settings):
    path = make_checkpoint(**settings)
    pipeline = Pipeline(load_checkpoint(path), "cpu")
    plain = oracle(path)
    clip = pipeline.fit(make_clip(frames=41))
    encoded = pipeline.encode(clip)
    latents = plain.encode(plain.normalise(clip.features.astype(np.float64)))
    np.testing.assert_allclose(encoded.latents.numpy().T, latents, atol=2e-4)
    indices, sums = plain.quantize(latents)
    np.testing.assert_array_equal(encoded.indices, indices)
    np.testing.assert_allclose(encoded.partial.numpy().transpose(0, 2, 1), sums, atol=1e-5)
    decoded = dict(pipeline.decode(encoded))
    assert list(decoded) == [*range(len(plain.codebooks) + 1), UNQUANTISED]
    for n, partial in enumerate(sums):
        np.testing.assert_allclose(decoded[n].numpy(), plain.decode(partial), atol=2e-4)
    np.testing.assert_allclose(decoded[UNQUANTISED].numpy(), plain.decode(latents), atol=2e-4)


def test_without_quantizers_the_decoder_sees_zeros(tiny, make_clip):
    pipeline = Pipeline(tiny, "cpu")
    encoded = pipeline.encode(pipeline.fit(make_clip()))
    assert not encoded.partial[0].any()
    expected = tiny.model.decode(torch.zeros(1, 8, 20))[0]
    torch.testing.assert_close(dict(pipeline.decode(encoded))[0], expected)


def test_the_sum_of_all_codes_is_the_quantizers_output_bit_for_bit(make_checkpoint, make_clip):
    checkpoint = load_checkpoint(make_checkpoint(num_quantizers=9))
    pipeline = Pipeline(checkpoint, "cpu")
    encoded = pipeline.encode(pipeline.fit(make_clip()))
    quantized = checkpoint.quantizer(encoded.latents[None])[0][0]
    assert torch.equal(encoded.partial[-1], quantized)


def test_long_clips_are_decoded_in_parts_with_the_same_result(tiny, make_clip, monkeypatch):
    pipeline = Pipeline(tiny, "cpu")
    encoded = pipeline.encode(pipeline.fit(make_clip(frames=40)))
    whole = dict(pipeline.decode(encoded))
    for frames in (1, 100):  # one depth at once, and two
        monkeypatch.setattr(tokens, "FRAMES_AT_ONCE", frames)
        parts = dict(pipeline.decode(encoded))
        assert list(parts) == list(whole)
        for n in whole:
            torch.testing.assert_close(parts[n], whole[n])


@pytest.mark.parametrize(("down", "frames"), [(0, 1), (1, 2), (2, 4)])
def test_a_clip_of_one_token(make_checkpoint, make_clip, down, frames):
    pipeline = Pipeline(load_checkpoint(make_checkpoint(down_t=down)), "cpu")
    clip = pipeline.fit(make_clip(frames=frames))
    encoded = pipeline.encode(clip)
    assert encoded.indices.shape == (1, 3)
    assert all(decoded.shape == (frames, 330) for _, decoded in pipeline.decode(encoded))
    if frames > 1:
        with pytest.raises(ClipError, match=rf"at least {frames} frames .* found {frames - 1} frame"):
            pipeline.fit(make_clip(frames=frames - 1))


def test_a_checkpoint_without_normalizer_takes_features_as_they_are(make_checkpoint, make_clip):
    pipeline = Pipeline(load_checkpoint(make_checkpoint(normalizer=False)), "cpu")
    clip = pipeline.fit(make_clip())
    assert torch.equal(pipeline.encode(clip).features, torch.from_numpy(clip.features))


def test_nothing_of_the_checkpoint_changes(tiny, make_clip):
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    pipeline = Pipeline(tiny, "cpu")
    list(pipeline.decode(pipeline.encode(pipeline.fit(make_clip()))))
    assert not tiny.model.training
    assert all(torch.equal(before[key], value) for key, value in tiny.model.state_dict().items())


def test_codebooks_alone_encode_nothing(tiny, make_clip):
    codebooks_only = dataclasses.replace(tiny, model=None, config=None)
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors: expected a whole model.*found codebooks only"):
        Pipeline(codebooks_only).fit(make_clip())


def test_codebooks_alone_quantize_latents(tiny, tmp_path):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(6, 8, 11)).astype(np.float32)
    np.save(tmp_path / "latents.npy", latents)
    clips = load_clips(tmp_path / "latents.npy")
    assert [clip.name for clip in clips] == [f"latents[{i}]" for i in range(6)]
    report = analyze(dataclasses.replace(tiny, model=None, config=None), clips)
    books = [book.numpy().astype(np.float64) for book in tiny.codebooks]
    for found, truth in zip(report.tokens, latents, strict=True):
        residual = truth.T.astype(np.float64)
        for q, book in enumerate(books):
            index = ((residual[:, None] - book) ** 2).sum(-1).argmin(1)
            assert np.array_equal(found[:, q], index)
            residual = residual - book[index]
    assert (report.layers["tokens"] == 66).all() and report.layers["perplexity_low"].notna().all()
    assert report.reconstruction.empty and report.clip_errors.empty
    assert list(report.reconstruction.columns)[:6] == ["n_active", "metric", "value", "low", "high", "unit"]
    report.save(tmp_path / "report")
    assert Report.load(tmp_path / "report").reconstruction.empty
    whole = analyze(tiny, clips)  # a whole model takes latents too
    assert all(np.array_equal(a, b) for a, b in zip(whole.tokens, report.tokens, strict=True))


def test_latents_of_another_width_are_refused(tiny, tmp_path):
    np.save(tmp_path / "latents.npy", np.zeros((1, 9, 5), dtype=np.float32))
    with pytest.raises(ClipError, match=r"expected D = 8 .*found D = 9"):
        analyze(tiny, load_clips(tmp_path / "latents.npy"))


@pytest.mark.parametrize("stride", [3, 4])
def test_a_decoder_of_another_stride_is_refused(make_checkpoint, stride):
    checkpoint = load_checkpoint(make_checkpoint(stride_t=stride))
    with pytest.raises(CheckpointError, match=rf"stride_t = 2\), found {stride} frames a token, 2 decoded"):
        Pipeline(checkpoint)


def test_more_codes_than_uint16_tells_apart_are_refused(tiny):
    config = RVQVAEConfig(input_dim=2, width=1, code_dim=1, nb_code=65537, num_quantizers=1)
    model = RVQVAE(config)
    with pytest.raises(CheckpointError, match=r"at most 65536 codes.*found 65537"):
        Pipeline(dataclasses.replace(tiny, config=config, model=model, quantizer=model.quantizer))


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta", "cpu cpu"])
def test_a_device_that_is_not_there_is_told(name):
    with pytest.raises(SettingsError, match="device: expected auto, cpu or an available device"):
        choose_device(name)


def test_auto_is_a_gpu_where_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_latents_and_leaves_the_checkpoint_on_the_cpu(tiny, make_clip):
    on_cpu, on_gpu = Pipeline(tiny, "cpu"), Pipeline(tiny, "cuda")
    clip = on_cpu.fit(make_clip())
    torch.testing.assert_close(on_gpu.encode(clip).latents.cpu(), on_cpu.encode(clip).latents, atol=1e-3, rtol=1e-3)
    assert {parameter.device.type for parameter in tiny.model.parameters()} == {"cpu"}
