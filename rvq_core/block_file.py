"""The sums of a block of clips as plain arrays, and back, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.layer_value import ClipDetails
from rvq_core.measure import ErrorRow
from rvq_core.shards import Arrays, packed, unpacked
from rvq_core.stats.gaussian import Moments
from rvq_core.stats.reconstruction import JointErrors
from rvq_core.sums import BlockSums, LatentSums


def to_arrays(block: BlockSums) -> Arrays:
    """The sums of a block as arrays by name; text and rows are JSON, in which floats keep their value."""
    sums = block.of_latents
    told = {
        "clips": sums.windows.clips,
        "seconds_per_token": block.seconds_per_token,
        "fingerprints": block.fingerprints,
        "rows": block.rows,
        "joints": [[one.clip, one.metric, one.joints, one.n_active, one.weight] for one in block.joints],
        "details": [one.rows for one in block.details],
        "feature_energy": sums.feature_energy,
        "feature_count": sums.feature_count,
    }
    found: Arrays = {
        "told": packed(told),
        "lengths": np.array([len(tokens) for tokens in block.tokens], dtype=np.int64),
        "tokens": np.concatenate(block.tokens),
    }
    if sums.residuals is not None:
        found["residuals"] = sums.residuals
    found |= {f"joints/{number}": one.values for number, one in enumerate(block.joints)}
    found |= _under("kept", sums.kept.arrays()) | _under("windows", sums.windows.arrays())
    for number, moments in enumerate(sums.of_residuals):
        found |= _under(f"moments{number}", moments.arrays())
    for number, one in enumerate(block.details):
        found |= _under(f"details{number}", one.moments.arrays())
    return found


def of_arrays(arrays: Mapping[str, NDArray[Any]], empty: LatentSums) -> BlockSums:
    """What ``to_arrays`` gave; ``empty`` are sums of the same settings, which are filled."""
    told = unpacked(arrays["told"])
    empty.feature_energy, empty.feature_count = told["feature_energy"], told["feature_count"]
    empty.kept.take_arrays(_of("kept", arrays))
    empty.windows.take_arrays(told["clips"], _of("windows", arrays))
    empty.residuals = arrays.get("residuals")
    empty.of_residuals = [Moments.of_arrays(_of(f"moments{q}", arrays)) for q in range(len(empty.codes))]
    return BlockSums(
        empty,
        tokens=np.split(arrays["tokens"], np.cumsum(arrays["lengths"])[:-1]),
        seconds_per_token=told["seconds_per_token"],
        fingerprints=told["fingerprints"],
        rows=[ErrorRow(*row) for row in told["rows"]],
        joints=[
            JointErrors(clip, metric, tuple(joints), tuple(n_active), arrays[f"joints/{number}"], weight)
            for number, (clip, metric, joints, n_active, weight) in enumerate(told["joints"])
        ],
        details=[
            ClipDetails([(*row,) for row in rows], Moments.of_arrays(_of(f"details{number}", arrays)))
            for number, rows in enumerate(told["details"])
        ],
    )


def _under(name: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    return {f"{name}/{part}": values for part, values in arrays.items()}


def _of(name: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    start = f"{name}/"
    return {part.removeprefix(start): values for part, values in arrays.items() if part.startswith(start)}
