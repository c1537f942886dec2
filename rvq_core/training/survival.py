"""What became of the codes between the snapshots of a run: which were reset, and how far they moved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.analysis import analyze
from rvq_core.clips.clip import Clip
from rvq_core.errors import CheckpointError
from rvq_core.inspection import layer_facts
from rvq_core.loading import load_checkpoint
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.training.snapshots import Snapshot, snapshots_of

COLUMNS = {
    "since": "int64", "iteration": "int64", "layer": "int64", "code": "int64", "resets": "Int64", "moved": "float64",
    "spacings": "float64",
}  # fmt: skip


Codes = NDArray[np.floating[Any]]


class _At(NamedTuple):
    """Codes of each layer [K, C] at a snapshot, and how often each was reset so far [Q, K], where it is counted."""

    snapshot: Snapshot
    codebooks: list[Codes]
    resets: NDArray[np.int64] | None


def code_survival(folder: Path) -> pd.DataFrame:
    """A row for each code between each two snapshots of a run that follow each other.

    ``folder`` is a run folder, or one of checkpoints with iterations in their names. Columns: ``since`` and
    ``iteration`` (of the two), ``layer`` (1-based), ``code`` (0-based), ``resets`` between them (null where the files
    do not count them), ``moved`` (L2 distance, code space), ``spacings`` (the same over the median distance from a code
    to its nearest neighbour in the earlier one; null where all codes are alike). Raises CheckpointError where there
    are no two snapshots of one shape.
    """
    tables = [_between(earlier, later) for earlier, later in pairwise(map(_codes_at, snapshots_of(folder)))]
    if not tables:
        raise CheckpointError(str(folder), expected="at least two snapshots", found="one", do="wait for the next one")
    return pd.concat(tables, ignore_index=True).astype(COLUMNS)


def survival_summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer and each two snapshots of ``code_survival``.

    ``codes``, ``reset`` (how many of them were, null where not counted), ``survived`` (their share that was not),
    ``moved`` and ``spacings`` (medians over codes that were not reset, over all where that is not known).
    """
    rows: list[dict[str, Any]] = []
    for (since, iteration, layer), codes in table.groupby(["since", "iteration", "layer"], sort=True):
        known = bool(codes["resets"].notna().all())
        stayed = codes[codes["resets"] == 0] if known else codes
        reset = len(codes) - len(stayed) if known else pd.NA
        rows.append(
            {
                "since": since, "iteration": iteration, "layer": layer, "codes": len(codes), "reset": reset,
                "survived": len(stayed) / len(codes) if known else np.nan,
                "moved": stayed["moved"].median(), "spacings": stayed["spacings"].median(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).astype({"reset": "Int64"})


def snapshot_trends(folder: Path, clips: Sequence[Clip] = (), *, device: str = "auto", seed: int = 0) -> pd.DataFrame:
    """Figures of each snapshot as a tidy table, as the history of a run is: iteration, series, layer, value.

    Series by layer: ``norm`` (median length of codes), ``spacing`` (median distance to the nearest), ``duplicates``
    (codes), and where ``clips`` are given ``perplexity`` and ``unseen`` over them. Raises CheckpointError, ClipError.
    """
    rows: list[tuple[int, str, int, float]] = []
    for one in snapshots_of(folder):
        checkpoint = load_checkpoint(one.path)
        for layer, codebook in enumerate(checkpoint.codebooks, start=1):
            found = _figures(codebook.float().numpy())
            rows += [(one.iteration, series, layer, value) for series, value in found.items()]
        if clips:
            rows += _usage(one.iteration, checkpoint, clips, device, seed)
    table = pd.DataFrame(rows, columns=["iteration", "series", "layer", "value"])
    return table.astype({"layer": "Int64", "value": "float64"}).sort_values(
        ["series", "layer", "iteration"], ignore_index=True
    )


def _figures(codebook: Codes) -> dict[str, float]:
    facts = layer_facts(codebook)
    spacing = facts["median_nearest_distance"]
    found = {"norm": facts["median_norm"], "duplicates": float(facts["duplicates"])}
    return found if spacing is None else found | {"spacing": spacing}


def _usage(
    iteration: int, checkpoint: Checkpoint, clips: Sequence[Clip], device: str, seed: int
) -> list[tuple[int, str, int, float]]:
    layers = analyze(checkpoint, clips, device=device, seed=seed, detail_frames=0).layers
    return [
        (iteration, series, int(layer), float(value))
        for series in ("perplexity", "unseen")
        for layer, value in zip(layers["layer"], layers[series], strict=True)
    ]


def _codes_at(one: Snapshot) -> _At:
    checkpoint = load_checkpoint(one.path)
    resets = checkpoint.training.get("code_resets", {}).get("all")
    counted = None if resets is None else np.array(resets, dtype=np.int64)
    return _At(one, [codebook.float().numpy() for codebook in checkpoint.codebooks], counted)


def _between(earlier: _At, later: _At) -> pd.DataFrame:
    shapes = [[codes.shape for codes in at.codebooks] for at in (earlier, later)]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            str(later.snapshot.path), expected=f"codebooks like those of {earlier.snapshot.path.name}",
            found="others", do="keep the snapshots of one run in a folder",
        )  # fmt: skip
    tables = [_of_layer(earlier, later, layer) for layer in range(len(later.codebooks))]
    return pd.concat(tables, ignore_index=True)


def _of_layer(earlier: _At, later: _At, layer: int) -> pd.DataFrame:
    before, after = earlier.codebooks[layer].astype(np.float64), later.codebooks[layer].astype(np.float64)
    moved = np.linalg.norm(after - before, axis=1)
    spacing = layer_facts(before)["median_nearest_distance"]
    counted = None
    if earlier.resets is not None and later.resets is not None:
        counted = later.resets[layer] - earlier.resets[layer]
    return pd.DataFrame(
        {
            "since": earlier.snapshot.iteration, "iteration": later.snapshot.iteration, "layer": layer + 1,
            "code": np.arange(len(after)), "resets": pd.NA if counted is None else counted,
            "moved": moved, "spacings": moved / spacing if spacing else np.nan,
        }
    )  # fmt: skip
