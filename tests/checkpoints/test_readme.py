"""What README.md says of the bundled checkpoints, against the files."""

import hashlib
import re
from pathlib import Path

import pytest

from rvq_core import load_checkpoint

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
README = (CHECKPOINTS / "README.md").read_text(encoding="utf-8")
NAMES = ("healthy", "published-size", "collapsed", "shared")
MEGABYTES = {"published-size": 10.0}  # the others: 6


def section(title):
    """The lines of the first table whose head holds ``title``, as cells."""
    lines = README[README.index(title) :].splitlines()
    table = [line for line in lines[: lines.index("")] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_nothing_else_is_bundled():
    assert {path.stem for path in CHECKPOINTS.glob("*.safetensors")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_hash_and_size(name):
    content = (CHECKPOINTS / f"{name}.safetensors").read_bytes()
    assert f"{hashlib.sha256(content).hexdigest()}  {name}.safetensors" in README
    assert len(content) <= MEGABYTES.get(name, 6.0) * 1e6
    assert f"| {len(content) / 1e6:.1f} |" in next(line for line in README.splitlines() if f"| `{name}.saf" in line)


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_command_is_the_one_described(name):
    command = str(load_checkpoint(CHECKPOINTS / f"{name}.safetensors").training["command"])
    held_out = re.search(r"--held-out (\S+)", README)
    assert held_out and f" {held_out[0]}" in command
    start = f"rvq-lens train corpus/cmu corpus/deepmimic --out runs/{name} "
    rest = command.replace(f" {held_out[0]}", "")
    assert rest.startswith(start + "--iterations ")
    assert rest.removeprefix(start) in README


@pytest.mark.parametrize(("corpus", "title"), [("train", "the training corpus"), ("held_out", "the held-out corpus")])
def test_tables_of_stored_counts(corpus, title):
    rows = section(title)
    for column, name in enumerate(NAMES, start=1):
        counts = load_checkpoint(CHECKPOINTS / f"{name}.safetensors").training["code_counts"][corpus]
        for layer, row in zip(counts, rows, strict=True):
            assert row[column].endswith(f" / {sum(n == 0 for n in layer)}"), (name, row)
