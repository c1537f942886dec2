from pathlib import Path

import pytest

from dashboard import memory, sources


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv(memory.VARIABLE, str(tmp_path / "state" / "last.json"))
    for variable in (sources.CHECKPOINTS_VARIABLE, sources.CLIPS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "state" / "last.json"


def test_a_choice_is_found_again_and_each_set_of_folders_has_its_own(monkeypatch):
    assert memory.recall() == {}
    memory.remember({"checkpoint": "a"})
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, "/sweep")
    assert memory.recall() == {}
    memory.remember({"checkpoint": "run/best.pt", "split": "held-out"})
    assert memory.recall() == {"checkpoint": "run/best.pt", "split": "held-out"}
    monkeypatch.delenv(sources.CHECKPOINTS_VARIABLE)
    assert memory.recall() == {"checkpoint": "a"}


@pytest.mark.parametrize("content", ["", "[1]", '{" | ": 3}', "{", "\x00", "[" * 100_000])
def test_a_damaged_file_is_as_good_as_none(places: Path, content):
    places.parent.mkdir()
    places.write_text(content)
    assert memory.recall() == {}
    memory.remember({"checkpoint": "b"})
    assert memory.recall() == {"checkpoint": "b"}


def test_nothing_is_kept_unless_asked(places: Path, monkeypatch):
    monkeypatch.delenv(memory.VARIABLE)
    memory.remember({"checkpoint": "a"})
    assert not places.exists() and memory.recall() == {}


def test_old_places_are_forgotten(monkeypatch):
    for number in range(memory.MOST_PLACES + 5):
        monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, f"/{number}")
        memory.remember({"checkpoint": "x"})
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, "/0")
    assert memory.recall() == {}


def test_a_disk_that_refuses_is_logged(places: Path, caplog):
    places.parent.write_text("a file where the folder should be")
    memory.remember({"checkpoint": "a"})
    assert "not remembered" in caplog.text
