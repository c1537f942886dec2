"""The checkpoint and the clips that come with the project, against plain numpy."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from rvq_core import Report, analyze, bundled, load_checkpoint, load_clips
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.inspection import inspect

pytestmark = pytest.mark.xdist_group("bundled")  # analysed once, for all tests of it

HELD_OUT = ("humanoid3d_kick", "humanoid3d_jump", "humanoid3d_walk", "humanoid3d_dance_a", "01_03")


@pytest.fixture(scope="module")
def checkpoint_path() -> Path:
    return bundled_checkpoints() / "healthy.safetensors"


@pytest.fixture(scope="module")
def report(checkpoint_path) -> Report:
    return analyze(load_checkpoint(checkpoint_path), load_clips(bundled_clips()), device="cpu")


@pytest.fixture(scope="module")
def retold(checkpoint_path, report):
    """Per clip: the oracle, raw features, latents [T', C] and the sums of the codes [Q + 1, T', C] that were chosen."""

    def retell(oracle):
        plain = oracle(checkpoint_path)
        clips = {}
        for name, tokens in zip(report.clips["clip"], report.tokens, strict=True):
            raw = plain.features(bundled_clips() / f"{name}.npz")
            latents = plain.encode(plain.normalise(raw))
            clips[name] = raw, latents, plain.quantize(latents, tokens.astype(int))[1], tokens.astype(int)
        return plain, clips

    return retell


def test_in_a_source_tree_they_lie_at_its_top():
    root = Path(bundled.__file__).resolve().parents[1]
    if (Path(bundled.__file__).parent / "_bundled").is_dir():
        pytest.skip("this is an installed package")
    assert bundled_clips() == root / "clips"
    assert bundled_checkpoints() == root / "checkpoints"


def test_an_installed_package_carries_them(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_PACKAGE", tmp_path)
    (tmp_path / "_bundled" / "clips").mkdir(parents=True)
    assert bundled_clips() == tmp_path / "_bundled" / "clips"


def test_the_checkpoint_is_what_its_readme_says(checkpoint_path):
    facts = inspect(load_checkpoint(checkpoint_path))
    assert (facts["num_quantizers"], facts["nb_code"], facts["code_dim"]) == (6, 256, 128)
    assert (facts["input_dim"], facts["config"]["width"], facts["stride"]) == (330, 128, 2)
    assert checkpoint_path.stat().st_size <= 6_000_000
    readme = (checkpoint_path.parent / "README.md").read_text()
    assert hashlib.sha256(checkpoint_path.read_bytes()).hexdigest() in readme
    assert "rvq-lens train" in readme


def test_what_was_held_out_was_never_trained_on(checkpoint_path):
    train, held_out = load_checkpoint(checkpoint_path).trained_on
    assert set(HELD_OUT) <= held_out
    assert not train & held_out
    assert not train & set(HELD_OUT)


def test_the_stored_counts_are_whole(checkpoint_path):
    training = load_checkpoint(checkpoint_path).training
    for corpus in ("train", "held_out"):
        counts = np.array(training["code_counts"][corpus])
        assert counts.shape == (6, 256)
        assert (counts >= 0).all()
        assert len(set(counts.sum(axis=1))) == 1  # each layer sees every token
    assert training["history"][-1]["iteration"] == training["iterations"]


def test_training_and_held_out_clips_are_told_apart(report):
    held_out = report.clips.set_index("clip")["held_out"]
    assert {name.partition("_part")[0] for name in held_out.index[held_out.fillna(False)]} == set(HELD_OUT)


def test_every_token_is_the_nearest_code(report, retold, oracle):
    plain, clips = retold(oracle)
    exact = 0
    for raw, latents, sums, tokens in clips.values():
        assert tokens.shape == (len(raw) // 2, 6)
        for q, codebook in enumerate(plain.codebooks):
            distances = plain.distances(latents - sums[q], codebook)
            chosen = np.take_along_axis(distances, tokens[:, [q]], axis=1)[:, 0]
            np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-3, atol=1e-3)
            exact += int((tokens[:, q] == distances.argmin(axis=1)).sum())
    # float32 latents may decide a near tie otherwise than float64 ones.
    assert exact >= 0.999 * report.layers["tokens"].sum()


def test_usage_is_that_of_plain_numpy(report, retold, oracle):
    _, clips = retold(oracle)
    tokens = np.concatenate([clip[3] for clip in clips.values()])
    layers = report.layers.set_index("layer")
    for q in range(6):
        counts = np.array([(tokens[:, q] == k).sum() for k in range(256)])
        p = counts[counts > 0] / len(tokens)
        row = layers.loc[q + 1]
        assert row["tokens"] == len(tokens)
        assert row["unseen"] == (counts == 0).sum()
        assert row["perplexity"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)
        assert row["ceiling"] == min(256, len(tokens))
        assert row["perplexity_low"] < row["perplexity"] < row["perplexity_high"]
        assert (report.codes.query(f"layer == {q + 1}")["count"].to_numpy() == counts).all()


def test_residual_energy_is_that_of_plain_numpy(report, retold, oracle):
    _, clips = retold(oracle)
    latents = np.concatenate([clip[1] for clip in clips.values()])
    sums = np.concatenate([clip[2] for clip in clips.values()], axis=1)
    spread = np.square(latents - latents.mean(axis=0)).sum()
    expected = [np.square(latents - sums[q + 1]).sum() / spread for q in range(6)]
    np.testing.assert_allclose(report.layers["residual_energy"], expected, rtol=1e-3)


def test_the_error_at_each_number_of_quantizers_is_that_of_plain_numpy(report, retold, oracle):
    plain, clips = retold(oracle)
    weights = [len(clip[0]) for clip in clips.values()]
    table = report.overall.set_index(["metric", "n_active"])
    for n in range(-1, 7):
        errors = [plain.errors(raw, plain.decode(z if n < 0 else sums[n]), 30.0) for raw, z, sums, _ in clips.values()]
        for metric in ("feature_mse", "mpjpe", "velocity_error", "rotation_error"):
            mean = np.average([error[metric] for error in errors], weights=weights)
            found = table.loc[(metric, 0), "reference"] if n < 0 else table.loc[(metric, n), "value"]
            assert found == pytest.approx(mean, rel=1e-3), (metric, n)


def test_mpjpe_never_rises_by_more_than_its_interval(report):
    rows = report.overall.query("metric == 'mpjpe'").set_index("n_active")
    for n in range(1, 7):
        width = rows.loc[n, "high"] - rows.loc[n, "low"]
        assert rows.loc[n, "value"] <= rows.loc[n - 1, "value"] + width
    assert rows.loc[6, "value"] < 0.5 * rows.loc[0, "value"]
    assert (rows["value"] <= rows["high"]).all()
    assert (rows["low"] <= rows["value"]).all()
