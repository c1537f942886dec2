from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rvq_core import analyze, load_checkpoint
from rvq_core.autoencoder import RVQVAE
from rvq_core.clips.clip import Clip
from rvq_core.errors import ClipError, SettingsError
from rvq_core.training import run as run_module
from rvq_core.training import train as run_training
from rvq_core.training.batches import Batch, fit_normalizer, mirrored
from rvq_core.training.corpus import split_corpus
from rvq_core.training.records import Records
from rvq_core.training.run import Run
from rvq_core.training.run_folder import CHECKPOINT, HISTORY, LOCK, SETTINGS, STATE


@pytest.fixture
def clips(make_clip) -> list[Clip]:
    """Four clips, shorter and longer than a window of 32 frames, one of an odd length."""
    return [make_clip(name, frames, seed=i) for i, (name, frames) in enumerate([("a", 50), ("b", 21), ("c", 33)])]


@pytest.fixture
def train(tmp_path):
    def call(clips, settings, name="run", **more):
        return run_training(clips, tmp_path / name, settings, quiet=True, **more)

    return call


def test_a_run_writes_a_checkpoint_that_opens_and_works(train, clips, small):
    checkpoint = load_checkpoint(train(clips, small(held_out=("c",)), command="the command"))
    assert checkpoint.model is not None
    assert checkpoint.normalizer is not None
    assert (checkpoint.representation, checkpoint.fps) == ("smplx_rot6d", 30.0)
    assert checkpoint.config.nb_code == 16
    training = checkpoint.training
    assert (training["iterations"], training["command"]) == (10, "the command")
    assert (training["train_clips"], training["held_out_clips"]) == (["a", "b"], ["c"])
    assert training["settings"]["batch_size"] == 4
    report = analyze(checkpoint, clips, device="cpu")
    assert report.clips["held_out"].tolist() == [False, False, True]


def test_rotations_have_a_floor_of_std_and_other_features_none(train, clips, small):
    floored = load_checkpoint(train(clips, small(rotation_std_floor=0.8))).normalizer.scale
    as_measured = load_checkpoint(train(clips, small(rotation_std_floor=0.0), name="none")).normalizer.scale
    assert as_measured.min() < 0.8
    torch.testing.assert_close(floored, as_measured.clamp(min=0.8))
    plain = [replace(clip, representation="raw", skeleton=None) for clip in clips]
    other = load_checkpoint(train(plain, small(rotation_std_floor=0.8, position=0.0), name="raw")).normalizer.scale
    assert other.min() < 0.8


def test_the_history_has_a_row_an_evaluation(train, clips, small):
    history = load_checkpoint(train(clips, small(iterations=12, held_out=("c",)))).training["history"]
    assert [row["iteration"] for row in history] == [5, 10, 12]
    for row in history:
        assert len(row["perplexity"]) == len(row["unseen"]) == 2
        assert all(1 <= value <= 16 for value in row["perplexity"])
        assert all(row[name] > 0 for name in ("reconstruction", "velocity", "commit", "position", "held_out_mpjpe"))


@pytest.mark.parametrize(("mirror", "yaw", "images", "headings"), [(True, True, 2, 8), (False, False, 1, 1)])
def test_the_counts_are_of_every_token_of_both_corpora(train, clips, small, mirror, yaw, images, headings):
    settings = small(iterations=1, held_out=("c",), mirror=mirror, yaw=yaw)
    checkpoint = load_checkpoint(train(clips, settings))
    training = checkpoint.training
    assert (training["mirrored"], training["headings_counted"]) == (mirror, headings)
    counts = {name: np.array(values) for name, values in training["code_counts"].items()}
    assert counts["train"].sum(axis=1).tolist() == [(25 + 10) * images * headings] * 2
    assert counts["held_out"].sum(axis=1).tolist() == [16 * headings] * 2
    if not yaw:
        # Then these are what analyze counts on the same clips.
        codes = analyze(checkpoint, clips[:2], device="cpu").codes
        assert codes["count"].tolist() == counts["train"].ravel().tolist() == codes["train_count"].tolist()


def test_the_held_out_error_is_that_of_analyze(train, clips, small):
    checkpoint = load_checkpoint(train(clips, small(held_out=("a", "c"))))
    report = analyze(checkpoint, [clips[0], clips[2]], device="cpu")
    mpjpe = report.overall.query("metric == 'mpjpe' and n_active == 2")["value"].item()
    assert checkpoint.training["history"][-1]["held_out_mpjpe"] == pytest.approx(mpjpe, abs=2e-3)


def test_the_same_seed_gives_the_same_weights(train, clips, small):
    first, again, other = (
        load_file(train(clips, small(seed=seed), name)) for name, seed in (("x", 3), ("y", 3), ("z", 4))
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["encoder.model.0.weight"], other["encoder.model.0.weight"])


@pytest.mark.parametrize("stage", ["step", "evaluate"])
def test_an_interrupted_run_leaves_a_checkpoint_that_opens(train, clips, small, tmp_path, monkeypatch, stage):
    owner = Run if stage == "step" else Records
    original = getattr(owner, stage)
    calls = []

    def stop_at_the_fourth(self, *arguments):
        calls.append(stage)
        if len(calls) == (4 if stage == "step" else 2):
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(owner, stage, stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train(clips, small(iterations=20))
    checkpoint = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert checkpoint.training["iterations"] == (3 if stage == "step" else 10)
    assert sum(checkpoint.training["code_counts"]["train"][0]) > 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        [CHECKPOINT, LOCK, SETTINGS, STATE] + ([HISTORY] if stage == "evaluate" else [])
    )


def test_an_interrupt_before_the_first_step_leaves_a_checkpoint_too(train, clips, small, tmp_path, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(clips, small())
    assert load_checkpoint(tmp_path / "run" / CHECKPOINT).training["iterations"] == 0


def test_a_loss_that_is_no_number_stops_the_run(train, clips, small):
    with pytest.raises(SettingsError, match=r"training: step \d+: expected a finite loss, found (nan|inf)"):
        train(clips, small(learning_rate=1e18, iterations=40, warm_up=0))


def test_held_out_clips_are_never_drawn(train, clips, small, monkeypatch):
    given = []

    class Spy(run_module.WindowSampler):
        def __init__(self, features, **options):
            given.extend(features)
            super().__init__(features, **options)

    monkeypatch.setattr(run_module, "WindowSampler", Spy)
    train(clips, small(held_out=("b",), iterations=1))
    wanted = [torch.from_numpy(clip.features) for clip in (clips[0], clips[2])]
    assert len(given) == 4
    for found, expected in zip(given, [*wanted, *map(mirrored, wanted)], strict=True):
        assert torch.equal(found, expected)


def test_what_is_held_out_leaves_no_trace_in_the_weights(train, clips, small, make_clip):
    other = [clips[0], make_clip("b", 44, seed=77), clips[2]]
    first, second = (
        load_file(train(given, small(held_out=("b",)), name)) for name, given in (("x", clips), ("y", other))
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_held_out_clips_are_drawn_by_the_seed_where_none_are_named(make_clip, small):
    clips = [make_clip(f"c{i}", 10, seed=i) for i in range(10)]

    def names(seed):
        corpus = split_corpus(clips, small(held_out_share=0.3, seed=seed))
        assert sorted(corpus.train_names + corpus.held_out_names) == sorted(clip.name for clip in clips)
        return corpus.held_out_names

    assert len(names(0)) == 3
    assert names(0) == names(0)
    assert len({tuple(names(seed)) for seed in range(5)}) > 1
    assert split_corpus(clips, small(held_out_share=0.0)).held_out == []


def test_without_held_out_clips_nothing_is_claimed_of_them(train, clips, small):
    training = load_checkpoint(train(clips, small(held_out_share=0.0, iterations=1))).training
    assert list(training["code_counts"]) == ["train"]
    assert training["held_out_clips"] == []
    assert training["history"][-1]["held_out_mpjpe"] is None


def test_clips_are_trained_at_the_runs_frame_rate(make_clip, small):
    corpus = split_corpus([make_clip("fast", 61, fps=60.0)], small(fps=20.0, mirror=False))
    assert len(corpus.train[0]) == 21


def test_motion_of_unknown_meaning_is_trained_as_it_is(train, small):
    rng = np.random.default_rng(0)
    clips = [Clip(f"c{i}", 30.0, rng.normal(size=(40, 7)).astype(np.float32), "raw") for i in range(2)]
    settings = small({"input_dim": 7}, held_out=("c1",), iterations=2)
    training = load_checkpoint(train(clips, settings)).training
    assert (training["mirrored"], training["headings_counted"]) == (False, 1)
    assert training["history"][-1]["held_out_mpjpe"] is None
    assert training["history"][-1]["position"] == 0


class TestRefusals:
    def test_no_clip(self, train, small):
        with pytest.raises(ClipError, match="at least one clip"):
            train([], small())

    def test_a_clip_shorter_than_a_token(self, train, clips, make_clip, small, tmp_path):
        with pytest.raises(ClipError, match=r"short: expected at least 2 frames \(one token\), found 1"):
            train([*clips, make_clip("short", 1)], small())
        assert not (tmp_path / "run").exists()

    def test_clips_of_two_kinds(self, train, clips, small):
        other = Clip("other", 30.0, np.zeros((20, 263), dtype=np.float32), "humanml3d")
        with pytest.raises(ClipError, match="other: expected smplx_rot6d features like a, found humanml3d with 263"):
            train([*clips, other], small())

    def test_a_model_of_another_width(self, train, clips, small):
        with pytest.raises(SettingsError, match="input_dim: expected 330, found 7"):
            train(clips, small({"input_dim": 7}))

    def test_held_out_names_that_were_not_given(self, train, clips, small):
        with pytest.raises(SettingsError, match="names of clips that were given, found 'walk'"):
            train(clips, small(held_out=("a", "walk")))

    def test_everything_held_out(self, train, clips, small):
        with pytest.raises(SettingsError, match="clips left to train on"):
            train(clips, small(held_out=("a", "b", "c")))

    def test_a_folder_of_something_else(self, train, clips, small, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "mine.txt").write_text("mine")
        with pytest.raises(SettingsError, match="an empty folder or an earlier run, found other files"):
            train(clips, small())
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_padding_changes_nothing(clips, small):
    """One step with other features and other latents where a clip has ended: losses, weights and codes are the same."""
    settings = small({"quantize_dropout_prob": 0.0}, batch_size=3)
    corpus = split_corpus(clips, settings)
    normalizer = fit_normalizer(corpus.train, yaw=True)
    present = torch.arange(32) < torch.tensor([[32], [20], [7]])
    features = torch.stack([torch.cat([clip, clip[-1:].expand(32, -1)])[:32] for clip in corpus.train[:3]])
    latents = torch.randn(3, 8, 16)

    def one_step(fill):
        torch.manual_seed(0)
        model = RVQVAE(settings.model)
        run = Run(model, normalizer, corpus, settings)
        padded = features.clone()
        padded[~present] = fill * features[0, 0]
        run.sampler.draw = lambda: Batch(padded, present)
        other = latents.clone()
        other.transpose(1, 2)[~present[:, ::2]] = fill
        run.model.encode = Mock(return_value=other)
        losses = [run.step() for _ in range(3)][-1]
        return losses, model.state_dict()

    (losses, state), (losses_2, state_2) = one_step(1.0), one_step(50.0)
    for name in ("total", "reconstruction", "velocity", "commit", "position"):
        assert torch.equal(getattr(losses, name).detach(), getattr(losses_2, name).detach()), name
    assert all(torch.equal(state[key], state_2[key]) for key in state)
    # 16 + 10 + 4 latents are data, so the EMA moved by 1 % of 30 a step.
    expected = 16 * 0.99**3 + 30 * (1 - 0.99**3)
    assert float(state["quantizer.layers.0.code_count"].sum()) == pytest.approx(expected, rel=1e-5)


def test_inputs_that_stand_still_are_noisy_and_no_others(clips, small):
    fingers = slice(6 * 25, 6 * 55)
    resting = [replace(clip, features=clip.features.copy()) for clip in clips]
    for clip in resting:
        clip.features[:, fingers] = clip.features[0, fingers]
    settings = small(still_noise=0.3, batch_size=64)
    corpus = split_corpus(resting, settings)
    normalizer = fit_normalizer(corpus.train, yaw=True, floor=settings.rotation_std_floor)
    run = Run(RVQVAE(settings.model), normalizer, corpus, settings)
    batch = run.sampler.draw()
    run.sampler.draw = lambda: batch
    given = []
    encode = run.model.encode
    run.model.encode = lambda x: (given.append(x), encode(x))[1]
    run.step()
    noise = (given[0] - normalizer.apply(batch.features)) * normalizer.scale
    assert noise.std(dim=1).max() < 1e-5  # the same in all frames of a sample
    assert float(noise[:, 0, fingers].std()) == pytest.approx(0.3, rel=0.05)
    moving = np.max([clip.features.std(axis=0) for clip in resting], axis=0) > 0.06
    assert moving.sum() > 50
    assert noise[..., moving].abs().max() < 1e-5


def test_it_learns(train, make_clip, small):
    """One wave that moves the whole body: a motion of one dimension."""
    rest, bent = make_clip(frames=2, seed=1).features.astype(np.float64)[[0, 1]]
    wave = np.sin(2 * np.pi * np.arange(240) / 24)[:, None]
    features = (rest + 8 * (bent - rest) * wave).astype(np.float32)
    clips = [replace(make_clip("a"), features=features)]
    settings = small(
        {"quantize_dropout_prob": 0.0}, iterations=60, evaluate_every=12, batch_size=8, learning_rate=3e-3,
        mirror=False, yaw=False, held_out_share=0.0,
    )  # fmt: skip
    checkpoint = load_checkpoint(train(clips, settings))
    history = checkpoint.training["history"]
    assert history[-1]["reconstruction"] < 0.5 * history[0]["reconstruction"]
    assert history[-1]["position"] < 0.5 * history[0]["position"]
    table = analyze(checkpoint, clips, device="cpu").overall.query("metric == 'mpjpe'").set_index("n_active")["value"]
    assert table[2] < 0.5 * table[0]
