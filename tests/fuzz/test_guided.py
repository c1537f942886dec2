"""The guided fuzzer: what it changes is read, and what goes wrong is seen."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris is not installed (the extra 'fuzz')")

GUIDED = Path(__file__).parent / "guided.py"


def guided(tmp_path: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, GUIDED, "--seconds", "2", "--keep", tmp_path / "kept", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)


@pytest.mark.slow
def test_a_parser_is_driven_by_what_it_reaches(tmp_path: Path):
    done = guided(tmp_path, "--only", "bvh")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split("|")
    assert row[1].strip() == "clip .bvh"
    files, reached = (int(value.replace(",", "")) for value in row[2:4])
    assert files > 1 and reached > 100
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_unknown_kind_is_told(tmp_path: Path):
    done = guided(tmp_path, "--only", "bwh")
    assert done.returncode == 2
    assert "clip .bvh" in done.stderr and "'bwh'" in done.stderr
