"""kill -9 in the middle of writing: what lies there is whole, the earlier or the later one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from killed import fork_only, kill_while_writing
from reports import make_report

from rvq_core import Report, load_checkpoint
from rvq_core.compare import Comparison, compare
from rvq_core.loading.formats.native import NativeHeader, save_native

pytestmark = fork_only

TIMES = range(4)


def report() -> Report:
    rng = np.random.default_rng(0)
    return make_report([rng.integers(0, 8, size=(20, 2)) for _ in range(6)], 8)


@pytest.mark.parametrize("seed", TIMES)
def test_a_report(tmp_path: Path, seed: int):
    made = report()
    kill_while_writing(lambda _: made.save(tmp_path / "out"), tmp_path, seed)
    assert len(Report.load(tmp_path / "out").tokens) == 6
    made.save(tmp_path / "out")  # what was left beside it is in nobody's way
    assert len(Report.load(tmp_path / "out").tokens) == 6


@pytest.mark.parametrize("seed", TIMES)
def test_a_comparison(tmp_path: Path, seed: int):
    made = compare([report(), report()], names=("a", "b"))
    kill_while_writing(lambda _: made.save(tmp_path / "out"), tmp_path, seed)
    assert Comparison.load(tmp_path / "out").names == ["a", "b"]


@pytest.mark.parametrize("seed", TIMES)
def test_a_checkpoint(tmp_path: Path, seed: int, tiny):
    path = tmp_path / "model.safetensors"
    original = load_checkpoint(tiny.path)
    header = NativeHeader(tiny.config, tiny.representation, tiny.fps, {})

    def write(number: int) -> None:
        original.model.quantizer.layers[0].codebook.fill_(float(number))
        save_native(path, original.model, original.normalizer, header)

    kill_while_writing(write, tmp_path, seed)
    codes = load_checkpoint(path).codebooks[0]
    assert torch.equal(codes, torch.full_like(codes, float(codes[0, 0])))  # all of one moment
