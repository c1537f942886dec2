import pytest

from rvq_core.errors import SettingsError
from rvq_core.verdicts.thresholds import Thresholds, read_toml


def test_they_change_by_name_and_the_rest_stays():
    changed = Thresholds().changed({"max_unseen": 1, "quantizer_share": 0.2})
    assert (changed.max_unseen, changed.quantizer_share) == (1.0, 0.2)
    assert changed.to_dict() == Thresholds().to_dict() | {"max_unseen": 1.0, "quantizer_share": 0.2}
    assert Thresholds().max_unseen == 0.5


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), True, "half", None], ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(SettingsError, match="here: max_unseen: expected a number >= 0"):
        Thresholds().changed({"max_unseen": value}, "here")
    with pytest.raises(SettingsError, match="max_unseen"):
        Thresholds(max_unseen=value)


def test_an_unknown_name_is_refused_and_the_known_are_told():
    with pytest.raises(
        SettingsError, match=r"here: max_unsee: expected a threshold: .*max_unseen.*, found 'max_unsee'"
    ):
        Thresholds().changed({"max_unsee": 0.1}, "here")


def test_toml(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text("max_unseen = 0.25\n")
    assert Thresholds().changed(read_toml(path), str(path)).max_unseen == 0.25


@pytest.mark.parametrize("content", [b"max_unseen 1", b"\xff\xfe"], ids=repr)
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "limits.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"limits\.toml: expected a TOML file"):
        read_toml(path)
    with pytest.raises(SettingsError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")
