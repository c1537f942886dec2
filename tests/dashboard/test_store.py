import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboard import store as module
from dashboard.store import Store, key_of

KEY = key_of({"what": "test"})
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write(text: str = "content"):
    def into(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text * 2)

    return into


def read(folder: Path) -> str:
    return (folder / "part" / "a.txt").read_text()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_put_is_found_and_nothing_else(store):
    assert store.find("kind", KEY, read) is None
    store.put("kind", KEY, write())
    assert store.find("kind", KEY, read) == "content"
    assert store.find("other", KEY, read) is None
    assert store.find("kind", key_of({"what": "other"}), read) is None
    assert left_in(store.folder / "kind") == [KEY]


def damages():
    return {
        "a file cut short": lambda entry: (entry / "b.txt").write_text("con"),
        "a bit flipped": lambda entry: (entry / "part" / "a.txt").write_text("bontent"),
        "a file gone": lambda entry: (entry / "b.txt").unlink(),
        "a file too many": lambda entry: (entry / "c.txt").write_text(""),
        "no label": lambda entry: (entry / module.LABEL).unlink(),
        "an empty label": lambda entry: (entry / module.LABEL).write_text(""),
        "a label of another sort": lambda entry: (entry / module.LABEL).write_text("[1]"),
        "a label of another key": lambda entry: (entry / module.LABEL).write_text(
            (entry / module.LABEL).read_text().replace(KEY, "0" * 64)
        ),
        "a later schema": lambda entry: (entry / module.LABEL).write_text(
            (entry / module.LABEL).read_text().replace('"schema": 1', '"schema": 2')
        ),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_entry_is_dropped_and_built_again(store, damage):
    store.put("kind", KEY, write())
    damages()[damage](store.folder / "kind" / KEY)
    assert store.find("kind", KEY, read) is None
    assert left_in(store.folder / "kind") == []
    store.put("kind", KEY, write())
    assert store.find("kind", KEY, read) == "content"


def test_an_entry_that_its_reader_refuses_is_dropped(store):
    def refuse(folder: Path) -> str:
        raise ValueError(folder)

    store.put("kind", KEY, write())
    assert store.find("kind", KEY, refuse) is None
    assert left_in(store.folder / "kind") == []


def test_a_writer_that_fails_leaves_nothing(store):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put("kind", KEY, fail)
    assert store.find("kind", KEY, read) is None
    assert left_in(store.folder / "kind") == []


def test_who_comes_second_with_one_entry_leaves_the_first(store):
    def late(folder: Path) -> None:
        store.put("kind", KEY, write("first"))
        write("second")(folder)

    store.put("kind", KEY, late)
    assert store.find("kind", KEY, read) == "first"
    assert left_in(store.folder / "kind") == [KEY]


WRITER = """
import sys
from pathlib import Path
from dashboard.store import Store
store = Store(Path(sys.argv[1]))
def write(folder):
    for number in range(4):
        (folder / f"{number}.txt").write_text("content " * 5000)
for number in range(60):
    key = f"{number % 3}"
    store.put("kind", key, write)
    found = store.find("kind", key, lambda folder: (folder / "3.txt").read_text())
    assert found in (None, "content " * 5000), found[:50]
    if number % 7 == 0:
        store.clear()
"""


def test_processes_that_write_read_and_clear_the_same_entries_do_no_harm(store):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(store.folder)]
    writers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    for writer in writers:
        _, told = writer.communicate(timeout=120)
        assert writer.returncode == 0, told.decode()
        assert b"damaged" not in told, told.decode()
    assert all(not name.startswith(".") for name in left_in(store.folder / "kind"))


def put_at(store: Store, key: str, size: int, used: float) -> None:
    store.put("kind", key, lambda folder: (folder / "data").write_bytes(bytes(size)))
    os.utime(store.folder / "kind" / key / module.LABEL, (used, used))


def test_what_was_not_used_for_longest_makes_room(store):
    now = time.time()
    for number, key in enumerate("abc"):
        put_at(store, key, 100_000, now - 100 + number)
    assert store.find("kind", "a", lambda folder: (folder / "data").read_bytes()) == bytes(100_000)
    store.limit(250_000)
    assert left_in(store.folder / "kind") == ["a", "c"]
    put_at(store, "d", 100_000, now)
    assert left_in(store.folder / "kind") == ["a", "d"]
    assert store.held().bytes <= 250_000


def test_the_newest_entry_stays_though_it_is_too_large(store):
    store.limit(1000)
    put_at(store, "large", 5000, 0)
    assert store.held().kinds == {"kind": 1}
    put_at(store, "larger", 6000, 0)
    assert left_in(store.folder / "kind") == ["larger"]


@pytest.mark.parametrize(
    "settings", ["", "[]", '{"most_bytes": "many"}', '{"most_bytes": -1}', '{"most_bytes": 1e999}']
)
def test_a_damaged_limit_is_the_usual_one(store, settings):
    store.folder.mkdir()
    (store.folder / module.SETTINGS).write_text(settings)
    assert store.most_bytes == module.USUAL_BYTES


def test_the_limit_counts_for_every_process(store):
    store.limit(123_456)
    assert Store(store.folder).most_bytes == 123_456


def test_what_is_held_is_counted_and_cleared(store):
    store.put("reports", "a", write())
    store.put("reports", "b", write())
    store.put("maps", "c", write())
    held = store.held()
    assert held.kinds == {"reports": 2, "maps": 1}
    assert held.bytes > 3 * len("content" * 3)
    store.clear()
    assert store.held() == ({}, 0)


def test_what_a_killed_writer_left_is_tidied_and_that_of_a_living_one_stays(store):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    prefix = module._own_prefix().rsplit(".", 2)[0]
    for name in (f"{prefix}.{ended.pid}.x", f"{prefix}.{os.getpid()}.x", f"{prefix}.1.x", ".elsewhere.7.x"):
        (store.folder / "kind" / name).mkdir(parents=True)
    old = store.folder / "kind" / ".elsewhere.8.x"
    old.mkdir()
    os.utime(old, (0, 0))
    store.tidy()
    kept = [f"{prefix}.{os.getpid()}.x", f"{prefix}.1.x", ".elsewhere.7.x"]
    assert left_in(store.folder / "kind") == sorted(kept)


def test_the_key_changes_with_all_that_it_is_told_and_with_the_program(monkeypatch):
    keys = {key_of({"a": 1}), key_of({"a": 2}), key_of({"b": 1}), key_of({"a": "1"})}
    monkeypatch.setattr(module.rvq_core, "__version__", "99")
    keys.add(key_of({"a": 1}))
    monkeypatch.setattr(module, "program", lambda: "changed")
    keys.add(key_of({"a": 1}))
    assert len(keys) == 6


def test_the_program_is_its_source(tmp_path: Path, monkeypatch):
    (tmp_path / "__init__.py").write_text("x = 1\n")
    monkeypatch.setattr(module.rvq_core, "__file__", str(tmp_path / "__init__.py"))
    before = module.program.__wrapped__()
    assert module.program.__wrapped__() == before
    (tmp_path / "__init__.py").write_text("x = 2\n")
    assert module.program.__wrapped__() != before


def test_it_lies_where_the_variable_says(tmp_path: Path, monkeypatch):
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "mine"))
    opened = module.open_store()
    assert opened.folder == tmp_path / "mine" and opened.folder.is_dir()


def test_a_place_that_cannot_be_written_is_told_and_another_one_taken(tmp_path: Path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "file" / "below"))
    opened = module.open_store()
    opened.put("kind", KEY, write())
    assert opened.find("kind", KEY, read) == "content"
    assert "results are kept in" in caplog.text
    opened.clear()
    for path in sorted(opened.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    opened.folder.rmdir()


def test_the_label_names_every_file(store):
    store.put("kind", KEY, write())
    label = json.loads((store.folder / "kind" / KEY / module.LABEL).read_text())
    assert sorted(label["files"]) == ["b.txt", "part/a.txt"]
