"""Numbers at their limits: a right result or a clear refusal, and never a figure that is NaN without a word."""

import json

import numpy as np
import pytest
import torch

from rvq_core import RVQLensError, analyze, load_checkpoint, load_clips
from rvq_core.clips.clip import Clip
from rvq_core.compare import compare

RAW = {"representation": None, "fps": None, "input_dim": 6, "normalizer": False}


def raw(name: str, features: np.ndarray) -> Clip:
    return Clip(name, 30.0, features.astype(np.float32), "raw")


def finite(report) -> None:
    """All figures are numbers or null, and the manifest is JSON without NaN."""
    tables = [report.layers, report.codes, report.reconstruction, report.clips, report.clip_errors]
    for table in [*tables, *report.tables.values()]:
        numbers = table.select_dtypes("number").astype("float64")
        assert not np.isinf(numbers.to_numpy(dtype=float, na_value=0.0)).any()
    json.loads(report.json(), parse_constant=lambda text: pytest.fail(f"{text} in the manifest"))


def test_sixty_four_quantizers(make_checkpoint, make_clip, tmp_path):
    checkpoint = load_checkpoint(make_checkpoint(num_quantizers=64, nb_code=4))
    clips = [make_clip(f"c{i}", seed=i) for i in range(5)]
    report = analyze(checkpoint, clips, device="cpu")
    finite(report)
    assert len(report.layers) == 64 and report.tokens[0].shape[1] == 64
    assert set(report.overall["n_active"]) == set(range(65))
    # The sum of all codes, added up by hand, is what the errors at full depth are of.
    latents = torch.from_numpy(np.stack(report.tokens[0]).astype(np.int64))[None]
    quantized = checkpoint.quantizer.get_codebook_entry(latents)
    by_hand = sum(
        (book[latents[0, :, q]] for q, book in enumerate(checkpoint.codebooks)), start=torch.zeros(len(latents[0]), 8)
    )
    np.testing.assert_allclose(quantized[0].T.detach(), by_hand, atol=1e-5)
    compare([report, report], names=["a", "b"]).save(tmp_path / "comparison")


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_features_that_never_change(make_checkpoint, value):
    checkpoint = load_checkpoint(make_checkpoint(**RAW))
    report = analyze(checkpoint, [raw(f"c{i}", np.full((40, 6), value)) for i in range(5)], device="cpu")
    finite(report)
    tokens = np.concatenate(report.tokens)
    # But at its borders, where the convolutions see zeros, every moment is the same.
    assert (tokens[10:-10].reshape(-1, 3) >= 0).all() and report.layers["perplexity"].between(1, 16).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_features_that_are_no_numbers_are_refused_by_frame_and_column(tmp_path, value):
    features = np.zeros((20, 6))
    features[7, 3] = value
    np.save(tmp_path / "broken.npy", features)
    with pytest.raises(RVQLensError, match=r"frame 7, column 3"):
        load_clips(tmp_path / "broken.npy")


def test_weights_of_half_precision_give_the_figures_of_their_float32_values(make_checkpoint, make_clip, tmp_path):
    path = make_checkpoint()
    whole = load_checkpoint(path).model.state_dict()
    state = {key: value.half() if value.is_floating_point() else value for key, value in whole.items()}
    rounded = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    for name, weights in (("half", state), ("float", rounded)):
        torch.save({"vq_model": weights}, tmp_path / f"{name}.pth")
    reports = [
        analyze(load_checkpoint(tmp_path / f"{name}.pth"), [make_clip()], device="cpu") for name in ("half", "float")
    ]
    np.testing.assert_array_equal(reports[0].tokens[0], reports[1].tokens[0])
    assert reports[0].overall["value"].tolist() == reports[1].overall["value"].tolist()


def test_weights_beyond_half_precision_are_refused(make_checkpoint, tmp_path):
    state = load_checkpoint(make_checkpoint()).model.state_dict()
    key = "quantizer.layers.0.codebook"
    state[key] = (state[key] * 1e6).half()
    torch.save({"vq_model": state}, tmp_path / "overflown.pth")
    with pytest.raises(RVQLensError, match="codebook"):
        load_checkpoint(tmp_path / "overflown.pth")


def test_a_column_without_variance_divides_by_one(make_checkpoint, tmp_path):
    np.save(tmp_path / "mean.npy", np.zeros(6, dtype=np.float32))
    np.save(tmp_path / "std.npy", np.array([1, 1, 1, 0, 0, 1], dtype=np.float32))
    checkpoint = load_checkpoint(make_checkpoint(**RAW), mean=tmp_path / "mean.npy", std=tmp_path / "std.npy")
    features = torch.randn(5, 6)
    assert torch.equal(checkpoint.normalizer.apply(features), features)
    finite(analyze(checkpoint, [raw("c", np.random.default_rng(0).normal(size=(40, 6)))], device="cpu"))


@pytest.mark.slow
def test_ten_hours_are_the_same_as_their_first_minute_there(make_checkpoint):
    """36,000 s at 30 frames a second pass in pieces; away from its end a minute alone has the same tokens."""
    checkpoint = load_checkpoint(make_checkpoint(**RAW, width=4, depth=1, num_quantizers=2))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1_080_000, 6)).cumsum(axis=0) / 100
    long = analyze(checkpoint, [raw("day", np.tanh(features))], device="cpu", detail_frames=0, error_clips=1)
    short = analyze(checkpoint, [raw("minute", np.tanh(features[:1800]))], device="cpu", detail_frames=0)
    finite(long)
    assert long.clips["tokens"].tolist() == [540_000]
    np.testing.assert_array_equal(long.tokens[0][:850], short.tokens[0][:850])
