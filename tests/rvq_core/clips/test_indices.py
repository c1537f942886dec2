import numpy as np
import pytest

from rvq_core import Report, analyze, load_clips
from rvq_core.clips import Clip
from rvq_core.clips.indices import fit_indices
from rvq_core.errors import ClipError
from rvq_core.tokens import Pipeline


def tokens(values, fps: float = 1.0) -> Clip:
    return Clip("codes", fps, np.asarray(values, dtype=np.float32), "tokens")


def test_one_row_is_turned_where_there_is_one_layer():
    assert fit_indices(tokens([[4, 2, 7]]), [8], None).features.ravel().tolist() == [4, 2, 7]
    assert fit_indices(tokens([[4, 2, 7]]), [8, 8, 8], None).features.shape == (1, 3)


def test_the_checkpoint_s_rate_counts_where_none_was_given():
    clip = fit_indices(tokens([[1]]), [8], 15.0)
    assert (clip.fps, clip.notes) == (15.0, ("15 tokens a second, as the checkpoint takes motion",))
    assert fit_indices(tokens([[1]], fps=4.0), [8], 15.0).fps == 4.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3, 4]], r"expected indices \[T', 3\], a column for each layer .*found \[2, 2\]"),
        ([[1, 8, 1]], r"expected indices in 0\.\.7, the 8 codes of layer 2, found 8; .*leave out end and padding"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(ClipError, match=message):
        fit_indices(tokens(values), [8, 8, 8], None)


def test_the_tokens_of_a_report_give_its_usage_again(tiny, make_clip, tmp_path):
    """What an encoder made of motion, written as other projects write it, counts as that motion does."""
    clips = [make_clip(f"c{i}", 40 + 6 * i, seed=i) for i in range(6)]
    report = analyze(tiny, clips)
    for clip, indices in zip(clips, report.tokens, strict=True):
        np.save(tmp_path / f"{clip.name}.npy", indices.astype(np.int64))
    again = analyze(tiny, load_clips(tmp_path))
    for column in ("tokens", "unseen", "perplexity", "perplexity_low", "unseen_mass"):
        assert again.layers[column].equals(report.layers[column]), column
    for name in ("rate", "dwell", "transitions", "layer_pairs", "discovery"):
        assert again.tables[name].equals(report.tables[name]), name
    assert again.layers["residual_energy"].isna().all() and again.reconstruction.empty
    assert again.clips["seconds"].tolist() == pytest.approx(report.clips["seconds"].tolist())
    assert any("Indices of codes were counted as they are" in note for note in again.manifest["notes"])
    again.save(tmp_path / "report")
    assert Report.load(tmp_path / "report").layers["residual_energy"].isna().all()


def test_residual_energy_is_that_of_the_clips_with_latents(tiny, make_clip):
    clip = make_clip(frames=60)
    alone = analyze(tiny, [clip])
    beside = analyze(tiny, [clip, tokens(np.ones((30, 3)))])
    assert beside.layers["residual_energy"].equals(alone.layers["residual_energy"])
    assert (beside.layers["tokens"] == 60).all()


def test_rates_by_second_are_null_where_nothing_tells_the_time(make_checkpoint, tiny):
    import dataclasses

    untimed = dataclasses.replace(tiny, fps=None)
    clip = tokens(np.ones((30, 3)))
    assert Pipeline(untimed).seconds_per_token(Pipeline(untimed).fit(clip)) is None
    assert analyze(untimed, [clip]).tables["rate"]["nominal_bps"].isna().all()
    assert analyze(tiny, [clip]).tables["rate"]["nominal_bps"].iloc[0] == pytest.approx(4 * 15)


def test_nothing_is_decoded_from_indices(tiny):
    indices = np.random.default_rng(0).integers(0, 16, (9, 3))
    pipeline = Pipeline(tiny)
    encoded = pipeline.encode(pipeline.fit(tokens(indices)))
    assert np.array_equal(encoded.indices, indices)
    assert encoded.features is None and list(pipeline.decode(encoded)) == []
    assert (encoded.latents.shape, encoded.partial.shape) == ((8, 0), (4, 8, 0))
