"""Opening a checkpoint against the least it takes: torch.load and one sha256 pass over the file.

    python benchmarks/bench_loading.py [--megabytes 100]

Times alternate, peer and ours, medians of 9. Memory is the peak above the imports, each in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from memory import PEAK, resident

from rvq_core import RVQVAE, RVQVAEConfig, load_checkpoint

PAIRS = 9


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of is not None:
        print(_peak_above_imports(options.peak_of))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "net_best_fid.tar", options.megabytes)
        size = path.stat().st_size
        peer, ours = _alternate(lambda: _load_and_hash(path), lambda: load_checkpoint(path))
        command = [sys.executable, __file__, "--peak-of", str(path)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"file                                {size / 1e6:8.1f} MB")
    print(f"torch.load + sha256, median of {PAIRS}    {peer * 1e3:8.1f} ms")
    print(f"load_checkpoint, median of {PAIRS}        {ours * 1e3:8.1f} ms   {ours / peer:5.2f}x (at most 2x)")
    print(f"peak memory above the imports       {peak / 1e6:8.1f} MB   {peak / size:5.2f}x (at most 1.3x)")


def _write(path: Path, megabytes: int) -> Path:
    """A MoMask-like checkpoint of about that size."""
    width = 8 * round((megabytes * 1e6 / 4 / 74) ** 0.5 / 8)
    config = RVQVAEConfig(input_dim=263, width=width, code_dim=512, nb_code=512, down_t=2)
    state = {k: v for k, v in RVQVAE(config).state_dict().items() if not k.endswith(("code_sum", "code_count", "init"))}
    torch.save({"vq_model": state, "ep": 1}, path)
    return path


def _load_and_hash(path: Path) -> None:
    torch.load(path, map_location="cpu", weights_only=True)
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def _alternate(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(PAIRS):
        for work, seconds in zip((first, second), times, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _peak_above_imports(path: Path) -> int:
    """Bytes by which opening the file raises the process's peak."""
    import rvq_core.loading.formats

    assert rvq_core.loading.formats.FORMATS  # imported for what it weighs
    torch.zeros(1000, 1000) @ torch.zeros(1000, 1000)  # the libraries' own buffers
    before = resident(PEAK)
    checkpoint = load_checkpoint(path)
    assert checkpoint.model is not None
    return resident(PEAK) - before


if __name__ == "__main__":
    main()
