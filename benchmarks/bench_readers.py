"""How fast BVH files become joint positions: our reader beside pybvh and upc-pymotion.

    pip install pybvh==0.9 upc-pymotion
    python benchmarks/bench_readers.py

Writes one random motion (10,000 frames, 31 joints, ZYX, position channels on the root only), reads it in turns by
ours and by each library that is installed, and prints the median of nine runs. Every reader starts from the file and
ends at joint positions [T, J, 3]; the largest difference to ours is printed beside its time. For one core, set
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from rvq_core.clips.bvh import parse_bvh

CHAINS = (5, 5, 6, 7, 7)  # joints of legs, spine and arms: with the root 31


def main() -> None:
    """Write the file, time the readers, print the table."""
    parser = argparse.ArgumentParser(description="Time BVH readers from a file to joint positions.")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.bvh"
        path.write_text(make_bvh(options.frames), encoding="ascii")
        megabytes = path.stat().st_size / 1e6
        print(
            f"{options.frames:,} frames, {1 + sum(CHAINS)} joints, {megabytes:.1f} MB; medians of {options.runs} runs\n"
        )
        print("| reader | seconds | ours, in turns | ratio | largest difference |")
        print("|---|---|---|---|---|")
        for name, package, read in (("pybvh", "pybvh", by_pybvh), ("upc-pymotion", "pymotion", by_pymotion)):
            if importlib.util.find_spec(package) is None:
                print(f"| {name} | not installed | | | |")
                continue
            theirs, ours = in_turns(read, by_us, path, options.runs)
            apart = np.abs(read(path) - by_us(path)).max()
            print(f"| {name} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} | {apart:.1e} |")


def make_bvh(frames: int) -> str:
    """Write a motion of smooth random turns as text, as exporters do (six decimals)."""
    rng = np.random.default_rng(0)
    lines = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 0 0"]
    lines += ["CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"]
    for chain, length in enumerate(CHAINS):
        for joint in range(length):
            x, y, z = rng.uniform(-10, 10, 3)
            lines += [f"JOINT J{chain}_{joint}", "{", f"OFFSET {x:.6f} {y:.6f} {z:.6f}"]
            lines += ["CHANNELS 3 Zrotation Yrotation Xrotation"]
        lines += ["End Site", "{", "OFFSET 0 3 0", "}", *["}"] * length]
    times = np.arange(frames)[:, None] / 120
    channels = 6 + 3 * sum(CHAINS)
    values = 60 * np.sin(times * rng.uniform(0.5, 3, channels) + rng.uniform(0, 6, channels))
    lines += ["}", "MOTION", f"Frames: {frames}", "Frame Time: 0.0083333"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in values]
    return "\n".join(lines) + "\n"


def in_turns(one: Callable, other: Callable, path: Path, runs: int) -> tuple[float, float]:
    """Median seconds of two readers that take turns, so that a busy machine slows both."""
    seconds: dict[Callable, list[float]] = {one: [], other: []}
    for _ in range(runs):
        for read in (one, other):
            start = time.perf_counter()
            read(path)
            seconds[read].append(time.perf_counter() - start)
    return median(seconds[one]), median(seconds[other])


def by_us(path: Path) -> np.ndarray:
    """Joint positions by rvq_core."""
    return parse_bvh(path).posed().positions


def by_pybvh(path: Path) -> np.ndarray:
    """Joint positions by pybvh."""
    import pybvh

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pybvh.read_bvh_file(path).joint_positions()


def by_pymotion(path: Path) -> np.ndarray:
    """Joint positions by upc-pymotion."""
    from pymotion.io.bvh import BVH
    from pymotion.ops.skeleton import fk

    bvh = BVH()
    bvh.load(str(path))
    turns, places, parents, offsets, *_ = bvh.get_data()
    positions, _ = fk(turns, places[:, 0], offsets, parents)
    return positions


if __name__ == "__main__":
    main()
