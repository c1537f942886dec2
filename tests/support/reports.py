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
    name: str = "made",
    fps: float = 30.0,
    stride: int = 2,
    representation: str = "smplx_rot6d",
    names: Sequence[str] | None = None,
    normalizer: str | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> Report:
    """A report of clips' ``tokens`` [T', Q] on codebooks of ``codes`` codes.

    A token stands for ``stride`` frames. ``train`` and ``ema`` are counts [K] a layer; ``errors`` [M, Q + 2] a metric:
    n = 0..Q, and last unquantised.
    """
    depth = tokens[0].shape[1]
    names = [f"c{i}" for i in range(len(tokens))] if names is None else list(names)
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
        (clip, -1 if n > depth else n, metric, float(values[i, n]), stride * len(tokens[i]))
        for metric, values in (errors or {}).items()
        for i, clip in enumerate(names)
        for n in range(depth + 2)
    ]
    clip_errors = pd.DataFrame(rows, columns=["clip", "n_active", "metric", "value", "weight"])
    known = pd.array([None] * len(names) if held_out is None else list(held_out), dtype="boolean")
    frames = [stride * len(clip) for clip in tokens]
    clips = pd.DataFrame({"clip": names, "frames": frames, "fps": fps, "held_out": known})
    return Report(
        manifest={
            "schema": SCHEMA,
            "rvq_lens": "0",
            "command": "test",
            "checkpoint": {
                "name": name, "file": f"{name}.pt", "format": "rvq-lens", "sha256": name.ljust(64, "0"),
                "config": None if config is None else dict(config), "representation": representation, "fps": fps,
                "corpora": dict(corpora or {}), "notes": [], "normalizer_sha256": normalizer,
            },
            "clips": {"count": len(names), "frames": int(clips["frames"].sum()), "seconds": 1.0, "fingerprint": "f"},
            "settings": {"seed": 0},
            "warnings": list(warnings),
            "notes": [],
            "left_out": [],
            "verdicts": [],
        },
        layers=layers_table(facts),
        codes=codes_table(facts),
        reconstruction=reconstruction_table(clip_errors, 0),
        clips=clips.assign(tokens=[len(clip) for clip in tokens], representation=representation),
        clip_errors=clip_errors,
        tokens=[clip.astype(np.uint16) for clip in tokens],
        tables=dict(tables or {}),
    )  # fmt: skip
