import pandas as pd

from dashboard import words
from dashboard.explained import WHAT


def test_the_caption_counts_tokens_clips_and_held_out_ones(report):
    text = words.measured_on(report.manifest, report.clips)
    assert "**300 tokens** of 6 clips (20.0 s): 2 held out, 2 trained on, 2 unknown to the checkpoint" in text


def test_the_caption_tells_that_errors_are_of_some_clips(report):
    def caption(clips):
        manifest = report.manifest | {"settings": report.manifest["settings"] | {"error_clips": clips}}
        return words.measured_on(manifest, report.clips)

    assert caption(4).endswith("Errors are of a random **4** of these clips.")
    assert not any("Errors" in caption(clips) for clips in (None, 6, 9))


def test_a_checkpoint_that_names_no_clips_is_said_so(report):
    clips = report.clips.assign(held_out=None)
    assert "does not tell" in words.measured_on(report.manifest, clips)


def test_the_summary_names_first_and_last_layer_and_the_gain(report):
    text = words.summary(report.layers, report.reconstruction)
    first, last = report.layers.iloc[0], report.layers.iloc[-1]
    assert f"Layer 1 uses its 64 codes as if **{first['perplexity']:.0f}**" in text
    assert f"layer 3 as if **{last['perplexity']:.0f}** were" in text
    assert "from 100.0 mm to **25.0 mm** (without quantization 8.0 mm); the last one buys 8.3 mm" in text


def test_the_summary_says_which_quantizers_make_it_worse(report, make_reconstruction):
    assert "quantizer 2 makes it worse" in words.summary(report.layers, make_reconstruction(3, worse_at=2))


def test_without_a_skeleton_the_features_speak(make_reconstruction):
    table = make_reconstruction(2)
    rows = words.headline_metric(table[table["metric"].isin(["feature_mse", "rotation_error"])])
    assert set(rows["metric"]) == {"feature_mse"}


def test_held_out_clips_are_told_apart_with_their_weights(report):
    rows = words.headline_metric(report.reconstruction)
    text = words.split_sentence(report.clips, report.clip_errors, rows) or ""
    held_out = (20 * 100 + 23 * 103) / 203  # clips 0 and 3 of conftest
    trained = (21 * 101 + 24 * 104) / 205
    assert f"**{held_out:.1f} mm** on held-out clips, {trained:.1f} mm on those" in text


def test_nothing_is_told_apart_where_one_side_is_missing(report):
    rows = words.headline_metric(report.reconstruction)
    for value in (True, False, None):
        clips = report.clips.assign(held_out=pd.array([value] * 6, dtype="boolean"))
        assert words.split_sentence(clips, report.clip_errors, rows) is None
    assert words.split_sentence(report.clips, report.clip_errors, rows.head(0)) is None


def test_stored_corpora_are_explained_only_where_there_are_any(make_report):
    assert "5,000 tokens" in (words.corpus_note(make_report().layers, {"train": "9 clips, in 8 headings"}) or "")
    assert words.corpus_note(make_report(corpora=False).layers, {}) is None


def test_few_tokens_are_named_with_the_bound(report):
    layers = report.layers.assign(tokens=300)
    assert "true share below 1.00%" in (words.few_tokens_note(layers) or "")
    assert words.few_tokens_note(layers.assign(rare=0)) is None


def test_who_tells_the_path_of_a_figure_is_said():
    assert "root stays" in words.path_note(False, False, False)
    assert "moves both figures alike" in words.path_note(True, True, False)
    assert "its own features" in words.path_note(True, False, False)
    assert "1.70 m" in words.path_note(True, True, True) and "1.70 m" not in words.path_note(True, True, False)


def test_the_grey_behind_a_map_is_told_only_where_it_is():
    plain, over = WHAT["map"].text, WHAT["map_density"].text
    assert "grey" not in plain
    assert over.startswith(plain) and "grey" in over
