"""Reports made from counts and errors, for tests of what reads reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rvq_core.report import SCHEMA, Report
from rvq_core.stats.reconstruction import reconstruction_table
from rvq_core.stats.tables import LayerFacts, codes_table, layers_table


def spread(tokens: int, codes: int, used: int) -> np.ndarray:
    """``tokens`` tokens, evenly on the first ``used`` of ``codes`` codes, shuffled the same way each time."""
    return np.random.default_rng(tokens + used).permutation(np.arange(tokens) % used) % codes


def make_report(
    tokens: Sequence[np.ndarray],
    codes: int,
    *,
    train: Sequence[np.ndarray] | None = None,
    ema: Sequence[np.ndarray] | None = None,
    codebooks: Sequence[np.ndarray] | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
    held_out: Sequence[bool | None] | None = None,
    config: Mapping[str, Any] | None = None,
    corpora: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> Report:
    """A report of clips' ``tokens`` [T', Q] on codebooks of ``codes`` codes.

    ``train`` and ``ema`` are counts [K] a layer; ``errors`` [M, Q + 2] a metric: n = 0..Q, and last unquantised.
    """
    depth = tokens[0].shape[1]
    names = [f"c{i}" for i in range(len(tokens))]
    rng = np.random.default_rng(0)
    facts = [
        LayerFacts(
            codebook=rng.normal(size=(codes, 4)) if codebooks is None else codebooks[q],
            by_clip=np.array([np.bincount(clip[:, q], minlength=codes) for clip in tokens]),
            residual_energy=1 / (q + 2),
            logged_perplexity=1.0,
            ema_count=None if ema is None else ema[q],
            reset_threshold=1.0,
            corpora={} if train is None else {"train": train[q]},
        )
        for q in range(depth)
    ]
    rows = [
        (name, -1 if n > depth else n, metric, float(values[i, n]), 2 * len(tokens[i]))
        for metric, values in (errors or {}).items()
        for i, name in enumerate(names)
        for n in range(depth + 2)
    ]
    clip_errors = pd.DataFrame(rows, columns=["clip", "n_active", "metric", "value", "weight"])
    known = pd.array([None] * len(names) if held_out is None else list(held_out), dtype="boolean")
    clips = pd.DataFrame({"clip": names, "frames": [2 * len(clip) for clip in tokens], "fps": 30.0, "held_out": known})
    return Report(
        manifest={
            "schema": SCHEMA,
            "rvq_lens": "0",
            "command": "test",
            "checkpoint": {
                "name": "made", "file": "made.pt", "format": "rvq-lens", "sha256": "0" * 64,
                "config": None if config is None else dict(config), "representation": "raw", "fps": 30.0,
                "corpora": dict(corpora or {}), "notes": [],
            },
            "clips": {"count": len(names), "frames": int(clips["frames"].sum()), "seconds": 1.0, "fingerprint": "f"},
            "settings": {"seed": 0},
            "warnings": list(warnings),
            "notes": [],
            "left_out": [],
        },
        layers=layers_table(facts),
        codes=codes_table(facts),
        reconstruction=reconstruction_table(clip_errors, 0),
        clips=clips.assign(tokens=[len(clip) for clip in tokens]),
        clip_errors=clip_errors,
        tokens=[clip.astype(np.uint16) for clip in tokens],
    )  # fmt: skip
