"""All statistics of stored tokens: random codes of many clips through ``analyze``.

    python benchmarks/bench_tokens.py [--clips 600] [--tokens 4500] [--layers 6] [--codes 1024] [--dim 32]

Processor time, and the peak above the size of the process before. Nothing is encoded or decoded. Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import NOW, PEAK, resident

from rvq_core import analyze, load_checkpoint
from rvq_core.clips.clip import Clip


def main() -> None:
    """Print seconds and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clips", 600), ("tokens", 4500), ("layers", 6), ("codes", 1024), ("dim", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    shape = (options.tokens, options.layers)
    clips = [
        Clip(f"{number:05d}", 7.5, random.integers(0, options.codes, shape).astype(np.float32), "tokens")
        for number in range(options.clips)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codebooks.pt"
        codebooks = torch.randn(options.layers, options.codes, options.dim, generator=torch.Generator().manual_seed(0))
        torch.save({f"layers.{q}.codebook": codebook.clone() for q, codebook in enumerate(codebooks)}, path)
        checkpoint = load_checkpoint(path)
        before, start = resident(NOW), time.process_time()
        analyze(checkpoint, clips, device="cpu", command="benchmark")
        seconds = time.process_time() - start
    count = f"{options.clips * options.tokens:,} x {options.layers}"
    print(
        f"{count} tokens: {seconds:.1f} s of processor time, {(resident(PEAK) - before) / 1e6:.0f} MB above the clips"
    )


if __name__ == "__main__":
    main()
