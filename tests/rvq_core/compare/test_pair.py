"""What cannot be compared is left out, with the reason."""

import numpy as np
import pytest
from compared import CLIPS, made, tokens_of

from rvq_core.compare import Comparison, compare
from rvq_core.errors import ClipError, SettingsError


def refusals(comparison: Comparison) -> dict[str, str]:
    return {entry["what"]: entry["reason"] for entry in comparison.refused}


def test_another_representation():
    comparison = compare([made("a"), made("b", representation="humanml3d")])
    assert "humanml3d" in refusals(comparison)["reconstruction errors"]
    assert len(comparison.tables["metrics"]) == 0
    assert len(comparison.tables["layers"])
    assert len(comparison.tables["matching"])
    assert comparison.manifest["summary"] == ["b: no reconstruction error can be compared with a."]


def test_another_width_of_features():
    one, other = ({"config": {"input_dim": width}} for width in (330, 78))
    assert "330" in refusals(compare([made("a", **one), made("b", **other)]))["reconstruction errors"]


def test_other_frames_per_second_leave_positions():
    metrics = ("feature_mse", "mpjpe", "velocity_error", "rotation_error")
    slow = made("b", fps=15.0, stride=1, metrics=metrics)
    comparison = compare([made("a", metrics=metrics), slow])
    assert refusals(comparison).keys() == {"feature_mse", "velocity_error"}
    assert "15" in refusals(comparison)["velocity_error"]
    assert set(comparison.tables["metrics"]["metric"]) == {"mpjpe", "rotation_error"}
    assert set(comparison.tables["curves"].query("checkpoint == 'b'")["metric"]) == {"mpjpe", "rotation_error"}


@pytest.mark.parametrize(("normalizer", "part"), [("other", "by other means"), (None, "by other means")])
def test_features_normalised_otherwise(normalizer, part):
    metrics = ("mpjpe", "feature_mse")
    comparison = compare([made("a", metrics=metrics), made("b", metrics=metrics, normalizer=normalizer)])
    assert part in refusals(comparison)["feature_mse"]
    assert set(comparison.tables["metrics"]["metric"]) == {"mpjpe"}


def test_a_report_that_does_not_tell_its_normalizer():
    old = made("b", metrics=("feature_mse",))
    del old.manifest["checkpoint"]["normalizer_sha256"]
    assert "earlier version" in refusals(compare([made("a", metrics=("feature_mse",)), old]))["feature_mse"]


def test_a_metric_of_one_alone():
    comparison = compare([made("a", metrics=("mpjpe", "rotation_error")), made("b")])
    assert refusals(comparison) == {"rotation_error": "measured for a alone"}


def test_clips_that_one_does_not_have():
    names = [f"c{i}" for i in range(CLIPS)]
    comparison = compare([made("a"), made("b", names=[*names[:-1], "other"])])
    assert refusals(comparison) == {
        "clips c7": "not in this checkpoint's report", "clips other": "not in the report of a"
    }  # fmt: skip
    assert comparison.manifest["clips"]["count"] == CLIPS - 1
    assert set(comparison.tables["metrics"]["clips"]) == {CLIPS - 1}


def test_other_clips_of_the_same_name():
    longer = tokens_of()
    longer[2] = np.concatenate([longer[2]] * 2)
    comparison = compare([made("a"), made("b", tokens=longer)])
    assert "not the same motion" in refusals(comparison)["clips c2"]


def test_no_clip_in_common():
    with pytest.raises(ClipError, match="none of the same name and length"):
        compare([made("a"), made("b", names=[f"d{i}" for i in range(CLIPS)])])


def test_one_alone():
    with pytest.raises(SettingsError, match="two checkpoints or reports"):
        compare([made("a")])
    with pytest.raises(SettingsError, match="seed"):
        compare([made("a"), made("b")], seed=-1)
