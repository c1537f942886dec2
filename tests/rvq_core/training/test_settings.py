import json

import pytest

from rvq_core.errors import SettingsError
from rvq_core.training import TrainSettings
from rvq_core.training.settings import read_settings

BASE = TrainSettings()


def test_settings_from_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'iterations = 7\nlearning_rate = 2e-4\nheld_out = ["walk", "kick"]\nyaw = false\nnb_code = 32\n'
        "[model]\nwidth = 64\n"
    )
    settings = read_settings(path, BASE)
    assert (settings.iterations, settings.learning_rate, settings.yaw) == (7, 2e-4, False)
    assert settings.held_out == ("walk", "kick")
    assert (settings.model.width, settings.model.nb_code) == (64, 32)
    assert settings.batch_size == BASE.batch_size


def test_settings_from_json_and_what_a_run_writes_is_read_again(tmp_path):
    path = tmp_path / "settings.json"
    changed = BASE.changed({"iterations": 3, "nb_code": 9, "held_out": ["a"], "fps": 25}, "test")
    path.write_text(json.dumps(changed.to_dict()))
    assert read_settings(path, BASE) == changed


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("iterations", 0, "an integer >= 1"),
        ("iterations", 2.5, "an integer >= 1"),
        ("iterations", True, "an integer >= 1"),
        ("batch_size", "8", "an integer >= 1"),
        ("window", -2, "an integer >= 1"),
        ("window", 33, "multiple of the stride 2"),
        ("evaluate_every", None, "an integer >= 1"),
        ("seed", -1, "an integer >= 0"),
        ("seed", 2**63, "below 2 ** 63"),
        ("warm_up", 1.5, "an integer >= 0"),
        ("snapshot_every", 250, "a multiple of evaluate_every (500)"),
        ("snapshots", 0, "an integer >= 1"),
        ("grad_clip", -1, "a number >= 0"),
        ("schedule", "linear", "cosine or constant"),
        ("precision", "fp16", "float32 or bf16"),
        ("fps", 0, "a number > 0"),
        ("fps", float("inf"), "a number > 0"),
        ("fps", 1e9, "at most 1000"),
        ("learning_rate", float("nan"), "a number > 0"),
        ("learning_rate", "fast", "a number > 0"),
        ("velocity", -0.1, "a number >= 0"),
        ("rotation_std_floor", -0.1, "a number >= 0"),
        ("still_noise", -0.1, "a number >= 0"),
        ("commit", float("inf"), "a number >= 0"),
        ("position", [1], "a number >= 0"),
        ("held_out_share", 1.0, "a number in 0..1"),
        ("held_out_share", -0.1, "a number in 0..1"),
        ("reconstruction", "l3", "l1_smooth or l2"),
        ("yaw", "false", "true or false"),
        ("mirror", 1, "true or false"),
        ("held_out", "walk", "a list of names"),
        ("held_out", 5, "a list of names"),
        ("held_out", [1, 2], "a list of names"),
        ("nb_code", 0, "an integer >= 1"),
        ("width", "wide", "an integer >= 1"),
        ("mu", 1.0, "a number in 0..1"),
        ("stride_t", 4, "the decoder's upsampling"),
        ("model", 5, "a setting"),
    ],
    ids=str,
)
def test_a_value_out_of_range_is_named(name, value, part):
    with pytest.raises(SettingsError) as caught:
        BASE.changed({name: value}, "run.toml")
    assert name in str(caught.value)
    assert part in str(caught.value)


@pytest.mark.parametrize("values", [{"colour": 1}, {"model": {"colour": 1}}])
def test_an_unknown_name_is_told_with_the_known_ones(values):
    with pytest.raises(SettingsError, match=r"run\.toml: colour: expected a setting: .*batch_size.*nb_code.*'colour'"):
        BASE.changed(values, "run.toml")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.toml", b"iterations = "),
        ("run.json", b"{"),
        ("run.json", b"[1, 2]"),
        ("run.toml", b"\xff\xfe\x00"),
        ("run.json", b"[" * 100_000),
    ],
    ids=str,
)
def test_a_file_that_is_no_settings_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=name):
        read_settings(tmp_path / name, BASE)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        read_settings(tmp_path / "nowhere.toml", BASE)
