import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from rvq_core import analyze, load_checkpoint, load_clips
from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.errors import ClipError, SettingsError
from rvq_core.loading import Normalizer
from rvq_core.verdicts import Thresholds, verdicts

COLUMNS = {
    "layers": "layer codes tokens used unseen rare perplexity perplexity_low perplexity_high perplexity_ratio ceiling "
    "entropy_bits top1_share unseen_mass duplicates residual_energy",
    "codes": "layer code count share norm nearest_code nearest_distance ema_count status",
    "reconstruction": "n_active metric value low high unit reference",
    "clips": "clip frames fps tokens held_out feature_mse mpjpe velocity_error rotation_error",
    "clip_errors": "clip n_active metric value weight",
}
"""What docs/report.md promises and other programs rely on."""


def test_every_figure_is_that_of_plain_numpy(make_checkpoint, write_clips, oracle):
    path = make_checkpoint()
    folder = write_clips(6)
    report = analyze(load_checkpoint(path), load_clips(folder), device="cpu")
    plain = oracle(path)
    features = {npz.stem: plain.features(npz) for npz in sorted(folder.glob("*.npz"))}
    latents = {name: plain.encode(plain.normalise(raw)) for name, raw in features.items()}
    quantized = {name: plain.quantize(z) for name, z in latents.items()}

    assert report.clips["clip"].tolist() == list(features)
    assert report.clips["frames"].tolist() == [len(raw) for raw in features.values()]
    assert report.clips["tokens"].tolist() == [len(raw) // 2 for raw in features.values()]
    for tokens, (indices, _) in zip(report.tokens, quantized.values(), strict=True):
        assert tokens.dtype == np.uint16
        np.testing.assert_array_equal(tokens, indices)

    z = np.concatenate(list(latents.values()))
    indices = np.concatenate([i for i, _ in quantized.values()])
    sums = np.concatenate([s for _, s in quantized.values()], axis=1)
    for q in range(3):
        row = report.layers.iloc[q]
        counts = np.array([(indices[:, q] == k).sum() for k in range(16)])
        share = counts[counts > 0] / len(z)
        perplexity = np.exp(-(share * np.log(share)).sum())
        assert perplexity > 2, "too few codes are reached for a test"
        assert row["tokens"] == len(z) == counts.sum()
        assert (row["layer"], row["codes"], row["ceiling"]) == (q + 1, 16, 16)
        assert row["unseen"] == (counts == 0).sum() == 16 - row["used"]
        assert row["perplexity"] == pytest.approx(perplexity, rel=1e-9)
        assert row["perplexity_ratio"] == pytest.approx(perplexity / 16, rel=1e-9)
        assert row["entropy_bits"] == pytest.approx(np.log2(perplexity), rel=1e-9)
        assert row["top1_share"] == share.max()
        variances = np.linalg.eigvalsh(np.cov((z - sums[q]).T))
        assert report.tables["geometry"]["residual_dimension"][q] == pytest.approx(
            variances.sum() ** 2 / np.square(variances).sum(), rel=1e-3
        )
        energy = np.square(z - sums[q + 1]).sum() / np.square(z - z.mean(axis=0)).sum()
        assert row["residual_energy"] == pytest.approx(energy, rel=1e-4)
        codes = report.codes[report.codes["layer"] == q + 1]
        assert codes["count"].tolist() == counts.tolist()
        assert ((codes["status"] == "unseen") == (counts == 0)).all()
        assert codes["ema_count"].to_numpy() == pytest.approx(np.linspace(0.2, 5, 16))

    weights = np.array([len(raw) for raw in features.values()])
    table = report.overall.set_index(["metric", "n_active"])
    by_clip = report.clip_errors.set_index(["clip", "n_active", "metric"])["value"]
    for n in [-1, 0, 1, 2, 3]:
        errors = [
            plain.errors(raw, plain.decode(latents[name] if n < 0 else quantized[name][1][n]), 30.0)
            for name, raw in features.items()
        ]
        for metric in ("feature_mse", "mpjpe", "velocity_error", "rotation_error"):
            values = np.array([error[metric] for error in errors])
            overall = np.average(values, weights=weights)
            found = table.loc[metric, "reference"].unique() if n < 0 else [table.loc[(metric, n), "value"]]
            assert found == pytest.approx([overall], rel=2e-4), (metric, n)
            assert [by_clip[name, n, metric] for name in features] == pytest.approx(values, rel=5e-4)
            if n == 3:
                assert report.clips[metric].to_numpy() == pytest.approx(values, rel=5e-4)


def test_tables_have_the_promised_columns(make_checkpoint, write_clips):
    report = analyze(load_checkpoint(make_checkpoint()), load_clips(write_clips(2)), device="cpu")
    for name, columns in COLUMNS.items():
        assert set(columns.split()) <= set(getattr(report, name).columns), name
    assert report.reconstruction["n_active"].unique().tolist() == [0, 1, 2, 3]
    assert sorted(report.clip_errors["n_active"].unique()) == [-1, 0, 1, 2, 3]
    assert report.projections["pca"].columns.tolist()[:4] == ["layer", "code", "x", "y"]


def test_the_manifest_tells_what_was_analysed(make_checkpoint, write_clips):
    checkpoint = load_checkpoint(make_checkpoint())
    clips = load_clips(write_clips(3))
    manifest = analyze(checkpoint, clips, device="cpu", seed=4, command="told").manifest
    assert manifest["checkpoint"]["sha256"] == checkpoint.sha256
    assert manifest["checkpoint"]["config"] == checkpoint.config.to_dict()
    assert manifest["command"] == "told"
    assert manifest["clips"]["count"] == 3
    assert manifest["clips"]["frames"] == 20 + 32 + 46  # of 20, 33 and 46
    assert manifest["clips"]["seconds"] == pytest.approx(98 / 30, abs=1e-6)
    assert manifest["settings"]["seed"] == 4
    assert manifest["settings"]["device"] == "cpu"
    assert manifest["left_out"] == []
    assert any("canonical-skeleton MPJPE" in note for note in manifest["notes"])


def test_verdicts_stand_in_the_manifest_at_the_thresholds_given(tiny, make_clip):
    clips = [make_clip(f"c{i}", 30, seed=i) for i in range(3)]
    plain = analyze(tiny, clips, device="cpu")
    assert plain.manifest["verdicts"] == verdicts(plain)
    assert plain.manifest["settings"]["thresholds"] == Thresholds().to_dict()
    lax = Thresholds(judged_tokens_per_code=0)
    changed = analyze(tiny, clips, device="cpu", thresholds=lax)
    assert changed.manifest["verdicts"] == verdicts(plain, lax)
    assert changed.manifest["settings"]["thresholds"]["judged_tokens_per_code"] == 0
    rules = [{verdict["rule"] for verdict in report.manifest["verdicts"]} for report in (plain, changed)]
    assert rules[0] - rules[1] == {"too_few_tokens"}


def test_the_fingerprint_is_that_of_the_clips_as_analysed(make_checkpoint, make_clip):
    checkpoint = load_checkpoint(make_checkpoint())
    whole, shorter = make_clip(frames=40), make_clip(frames=38)
    found = analyze(checkpoint, [whole], device="cpu").manifest["clips"]["fingerprint"]
    assert found == fingerprint([whole])
    assert found != analyze(checkpoint, [shorter], device="cpu").manifest["clips"]["fingerprint"]


def test_one_clip_has_figures_and_no_interval(tiny, make_clip):
    report = analyze(tiny, [make_clip()], device="cpu")
    assert report.layers[["perplexity_low", "perplexity_high"]].isna().all(axis=None)
    assert report.reconstruction[["low", "high"]].isna().all(axis=None)
    assert report.reconstruction["value"].notna().all()


def test_five_clips_have_intervals(tiny, make_clip):
    four, five = (
        analyze(tiny, [make_clip(f"c{i}", 30, seed=i) for i in range(n)], device="cpu").layers for n in (4, 5)
    )
    assert four["perplexity_low"].isna().all()
    assert (five["perplexity_low"] <= five["perplexity"]).all()
    assert (five["perplexity"] <= five["perplexity_high"]).all()


def test_one_token(tiny, make_clip):
    report = analyze(tiny, [make_clip(frames=3)], device="cpu")
    assert report.clips["frames"].tolist() == [2]
    assert report.layers["tokens"].tolist() == [1, 1, 1]
    assert report.layers["perplexity"].tolist() == [1, 1, 1]
    assert report.layers["unseen_mass"].tolist() == [1, 1, 1]
    assert report.layers["residual_energy"].isna().all()
    assert report.layers["rare"].isna().all()


def test_one_code_and_one_quantizer(make_checkpoint, make_clip):
    checkpoint = load_checkpoint(make_checkpoint(nb_code=1, num_quantizers=1))
    report = analyze(checkpoint, [make_clip(frames=40)], device="cpu")
    row = report.layers.iloc[0]
    assert (row["codes"], row["used"], row["unseen"], row["perplexity"], row["perplexity_ratio"]) == (1, 1, 0, 1, 1)
    assert row["duplicates"] == 0
    assert report.codes["nearest_code"].isna().all()
    assert report.reconstruction["n_active"].unique().tolist() == [0, 1]
    assert all((tokens == 0).all() for tokens in report.tokens)


def test_all_codes_unseen_but_one(make_checkpoint, make_clip):
    def push_away(model):
        for layer in model.quantizer.ema_layers():
            layer.codebook[1:] += 1e3

    report = analyze(load_checkpoint(make_checkpoint(change=push_away)), [make_clip(frames=400)], device="cpu")
    assert report.layers["used"].tolist() == [1, 1, 1]
    assert report.layers["unseen"].tolist() == [15, 15, 15]
    assert report.layers["perplexity"].tolist() == [1, 1, 1]
    assert report.layers["rare"].tolist() == [0, 0, 0]


def test_latents_that_do_not_vary_have_no_residual_energy(make_checkpoint, make_clip):
    def forget_the_input(model):
        list(model.encoder.parameters())[-2].zero_()

    report = analyze(load_checkpoint(make_checkpoint(change=forget_the_input)), [make_clip()], device="cpu")
    assert report.layers["residual_energy"].isna().all()
    assert (report.layers["used"] == 1).all()


def test_single_frames_where_a_token_is_a_frame(make_checkpoint, make_clip):
    checkpoint = load_checkpoint(make_checkpoint(down_t=0))
    report = analyze(checkpoint, [make_clip("a", 1), make_clip("b", 1, seed=1)], device="cpu")
    velocity = report.overall.query("metric == 'velocity_error'")
    assert velocity["n_active"].tolist() == [0, 1, 2, 3]
    assert velocity["value"].isna().all()
    assert report.reconstruction.query("metric == 'mpjpe'")["value"].notna().all()
    assert report.clips["tokens"].tolist() == [1, 1]


def test_a_clip_of_another_frame_rate_is_resampled_and_says_so(tiny, make_clip):
    report = analyze(tiny, [make_clip(frames=61, fps=60.0)], device="cpu")
    row = report.clips.iloc[0]
    assert (row["frames"], row["fps"], row["tokens"]) == (30, 30.0, 15)
    assert "resampled from 60 to 30 fps" in row["notes"]
    assert "cut from 31 to 30 frames" in row["notes"]


def test_clips_that_do_not_fit_are_left_out_and_told(tiny, make_clip):
    other = Clip("other", 30.0, np.zeros((20, 263), dtype=np.float32), "humanml3d")
    clips = [make_clip("good"), other, make_clip("short", 1)]
    with pytest.warns(UserWarning) as caught:
        report = analyze(tiny, clips, device="cpu")
    assert sorted(str(w.message).split(":")[0] for w in caught) == ["left out other", "left out short"]
    assert report.clips["clip"].tolist() == ["good"]
    reasons = {entry["clip"]: entry["reason"] for entry in report.manifest["left_out"]}
    assert "expected D = 330" in reasons["other"]
    assert "found D = 263" in reasons["other"]
    assert "at least 2 frames" in reasons["short"]


def test_nothing_left_is_an_error(tiny, make_clip):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ClipError, match="found 2 and none that fits"):
            analyze(tiny, [make_clip("a", 1), make_clip("b", 1)], device="cpu")
    with pytest.raises(ClipError, match="at least 2 frames"):
        analyze(tiny, [make_clip("a", 1)], device="cpu")
    with pytest.raises(ClipError, match="at least one clip"):
        analyze(tiny, [], device="cpu")


def test_clips_of_equal_names_are_refused(tiny, make_clip):
    with pytest.raises(ClipError, match="clips: walk: expected clips of different names, found 2"):
        analyze(tiny, [make_clip("walk"), make_clip("run"), make_clip("walk", seed=1)], device="cpu")


def test_a_negative_seed_is_refused(tiny, make_clip):
    with pytest.raises(SettingsError, match=r"seed: expected an integer >= 0, found -1"):
        analyze(tiny, [make_clip()], device="cpu", seed=-1)


class TestTrainingSummary:
    @pytest.fixture
    def summary(self) -> dict[str, object]:
        rng = np.random.default_rng(0)
        counts = {name: rng.integers(1, 90, size=(3, 16)) for name in ("train", "held_out")}
        counts["held_out"][:, :4] = 0
        return {
            "train_clips": ["a", "b"],
            "held_out_clips": ["c"],
            "code_counts": {name: value.tolist() for name, value in counts.items()},
            "settings": {"batch_size": 3, "window": 8},
        }

    def test_held_out_clips_are_told_from_training_clips_and_strangers(self, make_checkpoint, make_clip, summary):
        checkpoint = load_checkpoint(make_checkpoint(training=summary))
        clips = [make_clip(name, seed=i) for i, name in enumerate("abcd")]
        held_out = analyze(checkpoint, clips, device="cpu").clips["held_out"]
        assert held_out.tolist()[:3] == [False, False, True]
        assert held_out[3] is pd.NA

    def test_without_a_summary_nothing_is_known(self, tiny, make_clip):
        report = analyze(tiny, [make_clip("a")], device="cpu")
        assert report.clips["held_out"].isna().all()
        assert report.layers[["train_tokens", "held_out_perplexity"]].isna().all(axis=None)

    def test_stored_counts_stand_beside_those_of_the_clips(self, make_checkpoint, make_clip, summary):
        checkpoint = load_checkpoint(make_checkpoint(training=summary))
        report = analyze(checkpoint, [make_clip()], device="cpu")
        for corpus in ("train", "held_out"):
            counts = np.array(summary["code_counts"][corpus])
            assert report.layers[f"{corpus}_tokens"].tolist() == counts.sum(axis=1).tolist()
            assert report.layers[f"{corpus}_unseen"].tolist() == (counts == 0).sum(axis=1).tolist()
            assert report.codes[f"{corpus}_count"].tolist() == counts.ravel().tolist()

    def test_a_corpus_without_tokens_is_null_not_unseen(self, make_checkpoint, make_clip, summary):
        summary["code_counts"]["held_out"] = np.zeros((3, 16), dtype=int).tolist()
        report = analyze(load_checkpoint(make_checkpoint(training=summary)), [make_clip()], device="cpu")
        assert report.layers[["held_out_tokens", "held_out_unseen"]].isna().all(axis=None)
        assert report.codes["held_out_count"].isna().all()

    def test_the_logged_perplexity_is_of_batches_as_the_training_had(self, make_checkpoint, make_clip, summary):
        checkpoint = load_checkpoint(make_checkpoint(training=summary))
        report = analyze(checkpoint, [make_clip("a", 40), make_clip("b", 50, seed=1)], device="cpu")
        assert report.manifest["settings"]["log_batch_tokens"] == 12
        tokens = np.concatenate(report.tokens)
        for q in range(3):
            logged = []
            for start in range(0, len(tokens), 12):
                p = np.bincount(tokens[start : start + 12, q], minlength=16) / len(tokens[start : start + 12])
                logged.append(np.exp(-(p * np.log(p + 1e-7)).sum()))
            assert report.layers["perplexity_logged"][q] == pytest.approx(np.mean(logged))


def test_what_the_file_does_not_hold_is_null(make_checkpoint, make_clip):
    report = analyze(load_checkpoint(make_checkpoint(ema=False)), [make_clip()], device="cpu")
    assert report.codes["ema_count"].isna().all()
    assert report.manifest["checkpoint"]["ema_counts"] is False


def test_progress_is_told_clip_by_clip(tiny, make_clip):
    told = []
    clips = [make_clip("a"), make_clip("b", seed=1)]
    analyze(tiny, clips, device="cpu", progress=lambda *step: told.append(step))
    assert told == [(0, 2, "a"), (1, 2, "b"), (2, 2, "tables")]


def test_the_state_of_torchs_generator_stays(tiny, make_clip):
    before = torch.get_rng_state()
    analyze(tiny, [make_clip()], device="cpu", max_frames=20)
    assert torch.equal(before, torch.get_rng_state())


def test_features_far_from_unit_size_are_warned_about(make_checkpoint, make_clip):
    ckpt = load_checkpoint(make_checkpoint())
    usual = analyze(ckpt, [make_clip()])
    far = dataclasses.replace(ckpt, normalizer=Normalizer(ckpt.normalizer.mean, ckpt.normalizer.std / 20))
    (warning,) = analyze(far, [make_clip()]).manifest["warnings"]
    assert usual.manifest["warnings"] == []
    features = far.normalizer.apply(make_clip().features[: usual.manifest["clips"]["frames"]])
    size = np.sqrt(np.square(features.astype(np.float64)).mean())
    assert f"{size:.2g}, not about 1" in warning
