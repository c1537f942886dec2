"""UMAP of 6 x 1,024 codes of 128 dimensions, each in a process of its own: umap-learn as it comes, and ours.

    python benchmarks/bench_umap.py [--pairs 1]

Of each pair: umap-learn with an empty folder for numba's compiled functions, ours with another empty one (the very
first run), ours with that folder once filled, and ours from the dashboard's store. Seconds from before the imports
to coordinates (from the store: after them), by the clock and in processor time: on a
machine that others use, compare the latter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LAYERS, CODES, DIM = 6, 1024, 128

_CODES = f"""
import time
wall, cpu = time.perf_counter(), time.process_time()
import numpy as np
random = np.random.default_rng(0)
codebooks = [(random.normal(size=({CODES}, {DIM})) * 0.7**q).astype(np.float32) for q in range({LAYERS})]
"""

_TOLD = """
print(time.perf_counter() - wall, time.process_time() - cpu)
"""

_PEER = """
from umap import UMAP
UMAP(random_state=0, n_jobs=1).fit_transform(np.concatenate(codebooks))
"""

_OURS = """
from rvq_core.stats.projection import umap_projection
umap_projection(codebooks)
"""

_KEPT = """
import sys
from pathlib import Path
from dashboard import projection_store
from dashboard.settings import UmapSettings
from dashboard.store import Store
from rvq_core.stats.projection import pca
store, settings = Store(Path(sys.argv[1])), UmapSettings(tuple(range(1, len(codebooks) + 1)))
projection_store.keep(store, settings, codebooks, pca(codebooks))
wall, cpu = time.perf_counter(), time.process_time()
assert projection_store.find(store, settings, codebooks) is not None
"""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.pairs):
        with tempfile.TemporaryDirectory() as folder:
            cold, ours, store = (Path(folder) / name for name in ("peer", "ours", "store"))
            for name, script, cache in (
                ("umap-learn as it comes", _PEER, cold),
                ("ours, very first run", _OURS, ours),
                ("ours, compiled functions on disk", _OURS, ours),
                ("ours, from the store", _KEPT, ours),
            ):
                times.setdefault(name, []).append(_run(_CODES + script + _TOLD, cache, store))
    first = next(iter(times.values()))
    print(f"{LAYERS} x {CODES} codes of {DIM} dimensions, median of {options.pairs}")
    print(f"{'what':36}{'clock s':>9}{'ratio':>8}{'processor s':>13}{'ratio':>8}")
    for name, found in times.items():
        print(f"{name:36}" + "".join(_figures(found, first, clock) for clock in (0, 1)))


def _run(script: str, cache: Path, store: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", script, str(store)]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    wall, cpu = map(float, done.stdout.split()[-2:])
    return wall, cpu


def _figures(found: list[tuple[float, float]], peer: list[tuple[float, float]], clock: int) -> str:
    seconds = statistics.median(times[clock] for times in found)
    ratio = statistics.median(ours[clock] / theirs[clock] for ours, theirs in zip(found, peer, strict=True))
    return f"{seconds:{9 if clock == 0 else 13}.2f}{ratio:7.3f}x"


if __name__ == "__main__":
    main()
