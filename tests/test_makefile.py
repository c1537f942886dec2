"""The set-up where something is missing: one line that says what to do, and nothing half made left behind."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
    return subprocess.run(
        ["make", *words], cwd=place, env=settings | environment, capture_output=True, text=True, check=False
    )


def script(place: Path, text: str) -> Path:
    path = place / "python-of-the-test"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of rvq-lens on stderr."""
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("rvq-lens")]
    return line


def test_no_python(place: Path):
    line = told(make(place, "run", "PYTHON=python-that-is-not"))
    assert line == ("rvq-lens needs Python 3.11 or newer; found no python-that-is-not. Try: make run PYTHON=python3.11")


def test_an_old_python(place: Path):
    old = script(place, '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    line = told(make(place, "test", f"PYTHON={old}"))
    assert "found Python 3.9.2. Try: make test PYTHON=python3.11" in line
    assert not (place / ".venv").exists()


def test_a_python_without_venv_leaves_nothing_that_the_next_try_takes_for_whole(place: Path):
    half = script(
        place, f'[ "$1" = -m ] || exec {sys.executable} "$@"; mkdir -p .venv/bin; touch .venv/bin/python; exit 1'
    )
    line = told(make(place, "install", f"PYTHON={half}"))
    assert "apt install python3-venv" in line
    assert not (place / ".venv").exists()


def test_no_network(place: Path):
    """A pip of the test's own, and an index that nobody listens for: what pip says first, then what to do."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = make(place, "install", f"PYTHON={sys.executable}", PIP_NO_CACHE_DIR="1", **nowhere)
    line = told(done)
    assert done.stderr.index("pip") < done.stderr.index(line)
    for what in ("HTTPS_PROXY", "PIP_FIND_LINKS", "make clean", "give the same command again"):
        assert what in line
    assert not (place / ".venv/installed").exists()
    assert "@" not in done.stdout and "echo" not in done.stdout


def test_the_way_without_make_is_that_of_make(place: Path):
    lines = (ROOT / "README.md").read_text(encoding="utf-8")
    done = make(place, "run", "--dry-run", "PYTHON=python3").stdout
    for step in ("python3 -m venv .venv", ".venv/bin/rvq-lens"):
        assert step in done and step in lines
    for word in ("install", "--constraint constraints.txt", "--editable ."):
        assert word in done
        assert word in lines


GROUPED = """
import pytest

@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("group", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("a", "b", "c")])
def test_one(group, number, worker_id):
    with open(f"{group}.txt", "a") as file:
        file.write(f"{worker_id}\\n")
"""


def test_tests_of_a_group_stay_on_one_worker(place: Path):
    """What a group shares (a server, an analysis) is made once. pytest 9.2.0 spreads groups of pytest-xdist 3.8.0."""
    *_, words = make(place, "test", "--dry-run").stdout.splitlines()
    options = shlex.split(words.partition(" -m pytest ")[2])
    assert "-n" in options
    (place / "test_grouped.py").write_text(GROUPED, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *options,
        "-c",
        os.devnull,
        "test_grouped.py",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for group in "abc":
        workers = (place / f"{group}.txt").read_text(encoding="utf-8").split()
        assert len(workers) == 6 and len(set(workers)) == 1, workers
