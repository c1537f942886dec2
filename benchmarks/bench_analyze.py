"""``analyze`` against the bare model passes that it must make, and its memory against the size of the corpus.

    python benchmarks/bench_analyze.py [--frames 60000] [--width 512] [--pairs 3]
    python benchmarks/bench_analyze.py --memory 60000,600000

The motion is made of the bundled clips, in clips of 1,000 frames. A bare pass is one encoding and Q + 2 decodings of
each clip (n = 0..Q and the unquantised one) in one batch; processor time, peer and ours alternating, medians. Memory is
the peak of a process of its own, Linux only.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from memory import PEAK, resident

from rvq_core import RVQVAE, RVQVAEConfig, analyze, load_checkpoint, load_clips
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.clips.clip import Clip
from rvq_core.loading import Checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native
from rvq_core.tokens import Pipeline

CLIP_FRAMES = 1000


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--width", type=int, default=512, help="of the convolutions (MoMask: 512)")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--memory", help="frames of each corpus, by comma, instead of time")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of is not None:
        print(_peak_of(options.peak_of))
    elif options.memory is not None:
        _print_memory([int(frames) for frames in options.memory.split(",")])
    else:
        _print_times(options.frames, options.width, options.pairs)


def _print_times(frames: int, width: int, pairs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_motion(Path(folder), frames)
        clips = load_clips(folder, fps=30.0)
        checkpoint = _checkpoint(Path(folder), clips, width)
        fitted = [Pipeline(checkpoint, "cpu").fit(clip) for clip in clips]
        peer, ours = _alternate(
            lambda: _bare_passes(checkpoint, fitted),
            lambda: analyze(checkpoint, clips, device="cpu", command="benchmark"),
            pairs,
        )
    print(f"frames {frames:,}, width {width}, {torch.get_num_threads()} threads, processor time, median of {pairs}")
    print(f"bare passes   {peer:8.1f} s")
    print(f"analyze       {ours:8.1f} s   {ours / peer:5.2f}x (at most 1.15x)")


def _print_memory(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for frames in sizes:
            corpus = Path(folder) / str(frames)
            corpus.mkdir()
            write_motion(corpus, frames)
            command = [sys.executable, __file__, "--peak-of", str(corpus)]
            peak = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"{frames:>9,} frames: {peak / 1e6:7.0f} MB at most", flush=True)


def write_motion(folder: Path, frames: int) -> None:
    """Files of 1,000 frames of the bundled clips, each from another place, there and back."""
    sources = [clip.features for clip in load_clips(bundled_clips())]
    for number in range(frames // CLIP_FRAMES):
        random = np.random.default_rng(number)
        source = sources[int(random.integers(len(sources)))]
        place = np.arange(CLIP_FRAMES) + int(random.integers(2 * len(source)))
        there_and_back = len(source) - 1 - np.abs(place % (2 * len(source)) - len(source)).clip(1)
        np.save(folder / f"{number:05d}.npy", source[there_and_back])


def _checkpoint(folder: Path, clips: list[Clip], width: int) -> Checkpoint:
    """A model of the published size: random weights, and codebooks of its own latents."""
    torch.manual_seed(0)
    model = RVQVAE(RVQVAEConfig(width=width, quantize_dropout_prob=0.0)).train()
    with torch.no_grad():
        for clip in clips[:4]:
            model.quantizer(model.encode(torch.from_numpy(clip.features)[None]))
    path = folder / "model.safetensors"
    save_native(path, model.eval(), None, NativeHeader(model.config, "smplx_rot6d", 30.0, {}))
    return load_checkpoint(path)


@torch.inference_mode()
def _bare_passes(checkpoint: Checkpoint, clips: list[Clip]) -> None:
    assert checkpoint.model is not None
    for clip in clips:
        latents = checkpoint.model.encode(torch.from_numpy(clip.features)[None])
        checkpoint.model.decode(latents.expand(checkpoint.quantizer.num_quantizers + 2, -1, -1).contiguous())


def _alternate(first: Callable[[], object], second: Callable[[], object], pairs: int) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for work, seconds in zip((first, second), times, strict=True):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _peak_of(corpus: Path) -> int:
    """Largest resident size of this process in bytes after analysing a corpus with the bundled checkpoint."""
    checkpoint = load_checkpoint(bundled_checkpoints() / "healthy.safetensors")
    analyze(checkpoint, load_clips(corpus, fps=30.0), device="cpu", command="benchmark")
    return resident(PEAK)


if __name__ == "__main__":
    main()
