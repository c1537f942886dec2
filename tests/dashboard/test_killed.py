"""kill -9 in the middle of writing an export, or an entry of the store: it is whole, or not there."""

from pathlib import Path

import pytest
from killed import fork_only, kill_while_writing

from dashboard.export.build import write_export
from dashboard.store import Store

pytestmark = fork_only

TIMES = range(4)
FILES = {f"figures/{number}.svg": b"x" * 50_000 for number in range(20)} | {"manifest.json": b'{"rvq_lens_export": 1}'}


@pytest.mark.parametrize("seed", TIMES)
def test_an_export(tmp_path: Path, seed: int):
    kill_while_writing(lambda _: write_export(FILES, tmp_path / "out"), tmp_path, seed)
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: path.stat().st_size for name, path in found.items()} == {n: len(c) for n, c in FILES.items()}


@pytest.mark.parametrize("seed", TIMES)
def test_entries_of_the_store(tmp_path: Path, seed: int):
    store = Store(tmp_path / "store")

    def write(number: int) -> None:
        store.put(
            "kind", f"{number:06d}", lambda folder: [(folder / f"{i}").write_bytes(b"y" * 20_000) for i in range(9)]
        )

    kill_while_writing(write, tmp_path, seed)
    store.tidy()
    entries = sorted((tmp_path / "store" / "kind").iterdir())
    assert entries and not any(entry.name.startswith(".") for entry in entries)  # nothing is left of the last one
    for entry in entries:
        assert store.find("kind", entry.name, lambda folder: len(list(folder.iterdir()))) == 10
