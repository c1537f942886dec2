import numpy as np
import pytest
import torch

from rvq_core import analyze, load_checkpoint
from rvq_core.clips.clip import Clip
from rvq_core.layer_value import BEAMS, encoding_errors
from rvq_core.measure import measure_clip
from rvq_core.tokens import Pipeline


@pytest.fixture
def clips(make_clip) -> list:
    return [make_clip(name, frames, seed=seed) for seed, (name, frames) in enumerate((("a", 40), ("b", 64), ("c", 22)))]


def as_dict(rows) -> dict:
    return {tuple(key): value for *key, value in rows.drop(columns="weight").itertuples(index=False)}


def test_leaving_out_the_last_layer_is_one_quantizer_fewer(tiny, clips):
    pipeline = Pipeline(tiny, "cpu")
    found = as_dict(encoding_errors(pipeline, clips))
    for clip in clips:
        for row in measure_clip(pipeline, pipeline.encode(clip)).rows:
            known = {3: ("full", 0), -1: ("unquantised", 0), 2: ("without", 3)}.get(row.n_active)
            if known is not None:
                assert found[clip.name, *known, row.metric] == pytest.approx(row.value, rel=1e-5, nan_ok=True)


def test_a_layer_left_out_is_the_sum_of_all_others(tiny, clips, oracle):
    """The decoder of plain numpy, on the sum of the codes of layers 2 and 3."""
    pipeline = Pipeline(tiny, "cpu")
    truth = oracle(tiny.path)
    found = as_dict(encoding_errors(pipeline, clips))
    encoded = pipeline.encode(clips[0])
    codes = [truth.codebooks[q][encoded.indices[:, q]] for q in range(3)]
    latents = encoded.latents.double().numpy()
    spread = sum(
        np.square(part - mean).sum()
        for mean in [np.concatenate([pipeline.encode(c).latents.double().numpy() for c in clips], axis=1).mean(axis=1)]
        for part in [pipeline.encode(c).latents.double().numpy().T for c in clips]
    )
    tokens = sum(clip.frames // 2 for clip in clips)
    distance = np.square(latents.T - codes[1] - codes[2]).sum(axis=1).mean()
    assert found["a", "without", 1, "latent_distortion"] == pytest.approx(distance / (spread / tokens), rel=1e-5)
    decoded = pipeline.model.decode(torch.from_numpy((codes[1] + codes[2]).T).float()[None])[0]
    error = (decoded.detach().double() - encoded.features.double()).square().mean()
    assert found["a", "without", 1, "feature_mse"] == pytest.approx(float(error), rel=1e-4)


def test_latent_distortion_of_all_layers_is_the_residual_energy(tiny, clips):
    report = analyze(tiny, clips, device="cpu")
    rows = report.tables["headroom"].query("metric == 'latent_distortion'")
    assert rows["greedy"].tolist() == pytest.approx([report.layers["residual_energy"].iloc[-1]] * len(BEAMS), rel=1e-6)
    assert (rows["gain"] >= 0).all()
    assert (rows["reference"] == 0).all()


def test_the_tokens_of_the_report_stay_greedy(tiny, clips):
    with_details, without = analyze(tiny, clips, device="cpu"), analyze(tiny, clips, device="cpu", detail_frames=0)
    for one, other in zip(with_details.tokens, without.tokens, strict=True):
        np.testing.assert_array_equal(one, other)
    assert without.tables["headroom"].empty
    assert without.tables["leave_one_out"].empty
    assert len(without.tables["quantizers_needed"])


def test_latents_alone_have_their_distortion_and_no_error_of_motion(tiny):
    latents = Clip("z", 1.0, np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32), "latents", None)
    report = analyze(tiny, [latents], device="cpu")
    assert report.tables["leave_one_out"]["metric"].unique().tolist() == ["latent_distortion"]
    assert report.tables["headroom"]["metric"].unique().tolist() == ["latent_distortion"]
    assert report.tables["rate_distortion"].empty
    assert report.tables["quantizers_needed"].empty


@pytest.mark.parametrize("settings", [{"nb_code": 1}, {"num_quantizers": 1}, {"nb_code": 1, "num_quantizers": 1}])
def test_one_code_one_quantizer_and_one_token(make_checkpoint, make_clip, settings):
    ckpt = load_checkpoint(make_checkpoint(**settings))
    for clips in ([make_clip(frames=2)], [make_clip("a", frames=2), make_clip("b", frames=2, seed=1)]):
        report = analyze(ckpt, clips, device="cpu")
        depth = settings.get("num_quantizers", 3)
        left = report.tables["leave_one_out"]
        assert left.loc[left["metric"] == "mpjpe", "layer"].tolist() == list(range(1, depth + 1))
        gained = report.tables["headroom"]
        if settings.get("nb_code") == 1 or depth == 1:
            assert (gained["gain"] == 0).all()  # there is nothing to search
        assert ("latent_distortion" in set(left["metric"])) == (len(clips) > 1)


def test_a_subset_is_measured_and_told(tiny, clips):
    report = analyze(tiny, clips, device="cpu", detail_frames=50, seed=3)
    tables = [report.tables["leave_one_out"], report.tables["headroom"]]
    for table in tables:
        frames = table.loc[table["metric"] == "feature_mse", "frames"].unique()
        assert len(frames) == 1
        assert 48 <= frames[0] <= 50
    assert report.manifest["settings"]["detail_frames"] == 50
    (note,) = [note for note in report.manifest["notes"] if note.startswith("Leave-one-out and beam search")]
    assert f"{frames[0]} of 126 frames" in note
    assert report.clips["frames"].sum() == 126
    again = analyze(tiny, clips, device="cpu", detail_frames=50, seed=3)
    for table, same in zip(tables, (again.tables["leave_one_out"], again.tables["headroom"]), strict=True):
        assert table.equals(same)
