"""The fuzzer itself: it must see what it looks for, and damage alike for the same seed."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rvq_core.errors import ClipError

if not sys.platform.startswith("linux"):
    pytest.skip("bounds are measured through /proc", allow_module_level=True)

spec = importlib.util.spec_from_file_location("fuzz_run", Path(__file__).parent / "run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)


def outcome(tmp_path: Path, read):
    return run.outcome_of(SimpleNamespace(name="kind", opened="", read=read), 0, tmp_path)


def refuse(path: Path):
    raise ClipError(str(path), expected="a", found="b", do="c")


def go_wrong(path: Path):
    raise KeyError("a")


def take_memory(path: Path):
    np.ones(200_000_000)


def test_what_is_read_or_refused_is_fine(tmp_path: Path):
    assert outcome(tmp_path, lambda path: path).outcome == run.READ
    refused = outcome(tmp_path, refuse)
    assert refused.outcome == run.REFUSED and "expected a" in refused.told and not refused.failed


def test_another_error_or_a_gigabyte_is_a_failure(tmp_path: Path):
    wrong = outcome(tmp_path, go_wrong)
    assert wrong.outcome == "KeyError" and wrong.failed
    large = outcome(tmp_path, take_memory)
    assert large.outcome == run.READ and large.failed and large.megabytes > 1000


def test_slow_ones_are_failures():
    assert run.Outcome("kind", 0, run.READ, run.SECONDS + 1, 0.0).failed


def test_the_same_seed_damages_alike(tmp_path: Path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "a.txt").write_bytes(b"OFFSET 1.0 2.0\nFrames: 3\n" * 20)
    found = []
    for number, seed in ((3, 0), (3, 0), (4, 0), (3, 1)):
        run.damage(tmp_path / "whole", tmp_path / "file", ("a.txt",), "kind", number, seed)
        found.append((tmp_path / "file" / "a.txt").read_bytes())
    assert found[0] == found[1] and len(set(found)) == 3
