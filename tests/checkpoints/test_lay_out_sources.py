"""The script that lays out the training motion, on files of our own."""

import csv
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
CONTENT = {"cmu/01.asf": b"skeleton", "cmu/01_01.amc": b"motion", "deepmimic/walk.txt": b"walk"}


@pytest.fixture
def lay_out(tmp_path):
    """The script beside a list of three files, run on folders below ``tmp_path``."""
    script = tmp_path / "script" / "lay_out_sources.py"
    script.parent.mkdir()
    shutil.copy(CHECKPOINTS / script.name, script)
    with (script.parent / "sources.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "split", "sha256", "address"))
        for name, content in CONTENT.items():
            rows.writerow((name, "training", hashlib.sha256(content).hexdigest(), f"http://somewhere/{name}"))

    def run(*arguments):
        command = [sys.executable, str(script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    for place, name in (("subject/01", "cmu/01.asf"), ("subject/01/more", "cmu/01_01.amc"), ("", "deepmimic/walk.txt")):
        path = folder / place / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[name])
    return folder


def test_files_are_found_anywhere_and_laid_out(lay_out, downloads, tmp_path):
    done = lay_out(downloads)
    assert (done.returncode, done.stdout) == (0, "3 files in corpus\n"), done.stderr
    corpus = tmp_path / "corpus"
    written = {str(path.relative_to(corpus)): path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    assert written == CONTENT


def test_of_several_files_of_one_name_the_right_one_is_taken(lay_out, downloads, tmp_path):
    (downloads / "a").mkdir()
    (downloads / "a" / "walk.txt").write_bytes(b"another walk")
    assert lay_out(downloads, "--out", "there").returncode == 0
    assert (tmp_path / "there" / "deepmimic" / "walk.txt").read_bytes() == b"walk"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"changed")])
def test_what_is_missing_or_differs_is_named_and_nothing_is_written(lay_out, downloads, tmp_path, spoil):
    spoil(downloads / "walk.txt")
    done = lay_out(downloads)
    assert done.returncode == 2
    assert "1 are missing or differ:\n  deepmimic/walk.txt from http://somewhere/deepmimic/walk.txt\n" in done.stderr
    assert not (tmp_path / "corpus").exists()


def test_the_list_names_the_held_out_takes_of_every_command_in_the_readme():
    with (CHECKPOINTS / "sources.csv").open(newline="", encoding="utf-8") as file:
        held_out = [Path(row["file"]).stem for row in csv.DictReader(file) if row["split"] == "held out"]
    readme = (CHECKPOINTS / "README.md").read_text(encoding="utf-8")
    assert len(held_out) == 9
    assert f"--held-out {','.join(held_out)}" in readme
