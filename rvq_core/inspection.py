"""What a checkpoint file alone tells, without any clip: sizes, notes, codebook geometry, stored counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from rvq_core.counted import plural
from rvq_core.given import refuse_no_checkpoint
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.stats import geometry
from rvq_core.stats.usage import perplexity

_LONG = ("code_counts", "code_resets", "history")
"""Of what a checkpoint tells of its training: what is too long to be shown."""


def inspect(checkpoint: Checkpoint) -> dict[str, Any]:
    """Facts of a checkpoint, ready for JSON; what the file does not hold is None."""
    refuse_no_checkpoint(checkpoint)
    quantizer, config = checkpoint.quantizer, checkpoint.config
    training = {key: value for key, value in checkpoint.training.items() if key not in _LONG}
    return {
        "file": str(checkpoint.path),
        "name": checkpoint.name,
        "format": checkpoint.format,
        "sha256": checkpoint.sha256,
        "num_quantizers": quantizer.num_quantizers,
        "nb_code": quantizer.nb_code,
        "code_dim": quantizer.code_dim,
        "input_dim": None if config is None else config.input_dim,
        "stride": None if config is None else config.stride,
        "shared_codebook": quantizer.shared_codebook,
        "ema_counts": _ema_facts(checkpoint),
        "representation": checkpoint.representation,
        "fps": checkpoint.fps,
        "normalizer": checkpoint.normalizer is not None,
        "config": None if config is None else config.to_dict(),
        "layers": [layer_facts(codebook.numpy()) for codebook in checkpoint.codebooks],
        "corpora": stored_usage(checkpoint),
        "counted_over": checkpoint.corpora,
        "training": training or None,
        "notes": checkpoint.notes,
    }


def describe(facts: dict[str, Any]) -> str:
    """The facts as text for a terminal."""
    lines = [
        f"{facts['file']}",
        f"  format           {facts['format']}",
        f"  sha256           {facts['sha256']}",
        f"  quantizers       {facts['num_quantizers']} x {facts['nb_code']} codes x {facts['code_dim']} dimensions"
        + (", one shared codebook" if facts["shared_codebook"] else ""),
        f"  motion           {_or_unknown(facts['input_dim'])} features ({_or_unknown(facts['representation'])}), "
        f"{_or_unknown(facts['fps'])} fps, {_or_unknown(facts['stride'])} {plural('frame', facts['stride'])} a token",
        f"  mean and std     {'known' if facts['normalizer'] else 'not in this checkpoint'}",
        f"  EMA counts       {'in the file' if facts['ema_counts'] else 'not in this checkpoint'}",
        "",
        "  layer  median norm  median distance to nearest code  duplicates" + _corpus_heading(facts),
    ]
    for number, layer in enumerate(facts["layers"], start=1):
        lines.append(
            f"  {number:>5}{_figure(layer['median_norm']):>13}{_figure(layer['median_nearest_distance']):>33}"
            f"{layer['duplicates']:>12}" + _corpus_cells(facts, number - 1)
        )
    notes = [*_counted_over(facts), *facts["notes"]]
    lines += ["", *(f"  note: {note}" for note in notes)] if notes else []
    return "\n".join(lines)


def _counted_over(facts: dict[str, Any]) -> list[str]:
    return [f"{name.replace('_', '-')} counts are over {over}" for name, over in facts["counted_over"].items()]


def _ema_facts(checkpoint: Checkpoint) -> list[dict[str, float | int]] | None:
    """Per layer the spread of the EMA counts and how many codes would be reset at the next step."""
    counts = checkpoint.ema_counts
    if counts is None:
        return None
    thresholds = [layer.reset_threshold for layer in checkpoint.quantizer.ema_layers()]
    return [
        {
            "min": float(count.min()),
            "median": float(count.median()),
            "max": float(count.max()),
            "below_reset_threshold": int((count < threshold).sum()),
        }
        for count, threshold in zip(counts, thresholds, strict=True)
    ]


def layer_facts(codebook: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Of codes [K, C]: how many, median norm and nearest distance (None where there is one code), duplicates."""
    neighbours = geometry.nearest_neighbours(codebook)
    alone = len(codebook) < 2
    return {
        "codes": len(codebook),
        "median_norm": float(np.median(geometry.norms(codebook))),
        "median_nearest_distance": None if alone else float(np.median(neighbours.distance)),
        "duplicates": int(geometry.is_duplicate(neighbours).sum()),
    }


def stored_usage(checkpoint: Checkpoint) -> dict[str, list[dict[str, Any]]] | None:
    """Per corpus and layer what the stored code counts say (tokens, unseen, perplexity); None where none are stored.

    A corpus without tokens is not listed.
    """
    stored = checkpoint.training.get("code_counts")
    if not stored:
        return None
    return {
        name: [
            {
                "tokens": int(np.sum(layer)),
                "unseen": int((np.asarray(layer) == 0).sum()),
                "perplexity": perplexity(np.asarray(layer)),
            }
            for layer in layers
        ]
        for name, layers in stored.items()
        if np.any(layers)
    }


def _corpus_heading(facts: dict[str, Any]) -> str:
    corpora = facts["corpora"] or {}
    return "".join(f"  {name.replace('_', '-')}: perplexity, unseen, tokens" for name in corpora)


def _corpus_cells(facts: dict[str, Any], layer: int) -> str:
    cells = ""
    for name, rows in (facts["corpora"] or {}).items():
        row = rows[layer]
        width = len(f"  {name}: perplexity, unseen, tokens")
        cells += f"{row['perplexity']:.1f}, {row['unseen']}, {row['tokens']}".rjust(width)
    return cells


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _or_unknown(value: object) -> object:
    return "unknown" if value is None else value
