"""Time and memory of the quantizer against tokens, codes and layers, and of ``analyze`` against clips.

    python benchmarks/scaling.py [--rounds 5] [--figure docs/images/scaling.svg]

Encoding in eval starts from 4,096 tokens x 128, 1,024 codes and 6 layers and changes one of them. Clips are pieces of
100 frames of the bundled ones, through the bundled checkpoint `healthy`, leave-one-out and beam search left out: these
are measured on 10,000 frames, however many there are.
Processor time of one thread, the least of the rounds, which come in turn. Memory is the peak of a process of its own
above its imports, one training step that fits the codebooks included, Linux only. The exponent is the slope of log
time against log size, 1 where time grows in proportion.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from memory import NOW, PEAK, resident

from rvq_core import ResidualVQ, analyze, load_checkpoint, load_clips
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.clips.clip import Clip

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DIM = 128
BASE = {"tokens": 4096, "codes": 1024, "layers": 6}
SIZES = {
    "tokens": [1024, 2048, 4096, 8192, 16384, 32768],
    "codes": [256, 512, 1024, 2048, 4096],
    "layers": [1, 2, 4, 8, 16],
    "clips": [25, 50, 100, 200, 400],
}
CLIP_FRAMES = 100


class Point(NamedTuple):
    """One size, its time and its memory."""

    size: int
    seconds: float
    megabytes: float


def main() -> None:
    """Print a table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--peak-of", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of is not None:
        print(_peak_of(options.peak_of[0], int(options.peak_of[1])))
        return
    found = {what: _measured(what, sizes, options.rounds) for what, sizes in SIZES.items()}
    if options.figure is not None:
        _draw(found, options.figure)


def _measured(what: str, sizes: list[int], rounds: int) -> list[Point]:
    works = [_work(what, size) for size in sizes]
    least = [np.inf] * len(sizes)
    for _ in range(rounds):
        for i, work in enumerate(works):
            start = time.thread_time()
            work()
            least[i] = min(least[i], time.thread_time() - start)
    command = [sys.executable, __file__, "--peak-of", what]
    peaks = [
        int(subprocess.run([*command, str(size)], check=True, stdout=subprocess.PIPE, text=True).stdout)
        for size in sizes
    ]
    points = [Point(size, s, peak / 1e6) for size, s, peak in zip(sizes, least, peaks, strict=True)]
    print(f"\n{what:>8}{'seconds':>10}{'MB':>8}   exponent of time {_exponent(points):.2f}")
    for point in points:
        print(f"{point.size:>8,}{point.seconds:10.4f}{point.megabytes:8.0f}", flush=True)
    return points


def _exponent(points: list[Point]) -> float:
    sizes, seconds = (np.log([point[i] for point in points]) for i in (0, 1))
    return float(np.polyfit(sizes, seconds, 1)[0])


def _work(what: str, size: int) -> Callable[[], object]:
    if what == "clips":
        checkpoint = load_checkpoint(bundled_checkpoints() / "healthy.safetensors")
        clips = _pieces(size)
        return lambda: analyze(checkpoint, clips, device="cpu", detail_frames=0, command="benchmark")
    shape = BASE | {what: size}
    torch.manual_seed(0)
    quantizer = ResidualVQ(shape["layers"], nb_code=shape["codes"], code_dim=DIM, quantize_dropout_prob=0.0)
    x = torch.randn(1, DIM, shape["tokens"])
    quantizer(x)
    quantizer.eval()
    return torch.no_grad()(lambda: quantizer(x))


def _pieces(count: int) -> list[Clip]:
    """Clips of ``CLIP_FRAMES`` frames, each from a random place in a bundled one that is as long."""
    random = np.random.default_rng(0)
    long = [clip for clip in load_clips(bundled_clips()) if clip.frames >= CLIP_FRAMES]
    found: list[Clip] = []
    for number in range(count):
        source = long[int(random.integers(len(long)))]
        begin = int(random.integers(source.frames - CLIP_FRAMES + 1))
        rows = source.features[begin : begin + CLIP_FRAMES].copy()
        found.append(Clip(f"{number:05d}", source.fps, rows, source.representation))
    return found


def _peak_of(what: str, size: int) -> int:
    """Bytes by which the peak of this process lies above its size before."""
    before = resident(NOW)
    _work(what, size)()
    return resident(PEAK) - before


def _draw(found: dict[str, list[Point]], path: Path) -> None:
    figure, panels = plt.subplots(2, len(found), figsize=(11, 5), layout="constrained")
    for column, (what, points) in enumerate(found.items()):
        sizes = [point.size for point in points]
        for panel, values, label in zip(
            panels[:, column],
            ([point.seconds for point in points], [point.megabytes for point in points]),
            ("processor time (s)", "peak memory (MB)"),
            strict=True,
        ):
            panel.loglog(sizes, values, "o-", label="measured")
            panel.loglog(sizes, [values[-1] * size / sizes[-1] for size in sizes], ":", color="grey", label="linear")
            panel.set_xticks(sizes[::2], [f"{size:,}" for size in sizes[::2]])
            panel.minorticks_off()
            panel.set_xlabel(what)
            panel.set_ylabel(label)
        panels[0, column].set_title(f"exponent {_exponent(points):.2f}")
    panels[0, 0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.rcParams["svg.hashsalt"] = "scaling"
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
