"""How tokens follow each other: how long a code stays, what comes next, and what the next layer adds to it.

Steps are pairs of a token and the next one of its clip, equal codes included. Definitions: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.stats.keyed import Ints, Joint
from rvq_core.stats.redundancy import entropy_bits
from rvq_core.stats.usage import Counts

Floats = NDArray[np.float64]

TOP_TRANSITIONS = 50
"""Pairs of a layer that the table of transitions lists."""

TOP_PARTNERS = 5
"""Codes of the next layer listed for each code."""

_LENGTHS = ("mean", "median", "p90")

_DWELL_COLUMNS = {
    "layer": "int64", "code": "Int64", "runs": "int64",
    **{f"{name}_{unit}": "float64" for unit in ("tokens", "seconds") for name in _LENGTHS},
    "self_transition": "float64", "next_bits": "float64",
}  # fmt: skip

_TRANSITION_COLUMNS = {
    "layer": "int64", "code": "int64", "next_code": "int64", "count": "int64", "share": "float64",
}  # fmt: skip

_PARTNER_COLUMNS = {
    "layer": "int64", "code": "int64", "next_layer_code": "int64", "count": "int64", "share": "float64",
    "lift": "float64",
}  # fmt: skip


class Runs(NamedTuple):
    """How often a code stayed how long: ``code``, ``length`` in tokens, ``seconds`` (NaN: unknown), ``times``; [n]."""

    code: Ints
    length: Ints
    seconds: Floats
    times: Ints


def find_runs(tokens: NDArray[np.integer[Any]], begins: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Runs of equal codes in tokens [N]: first token and length of each. ``begins`` [N] marks the first of a clip."""
    changes = begins.copy()
    changes[1:] |= tokens[1:] != tokens[:-1]
    starts = np.flatnonzero(changes)
    return starts, np.diff(starts, append=len(tokens))


def dwell_table(runs: Sequence[Runs], steps: Sequence[Joint]) -> pd.DataFrame:
    """How long codes stay: of each layer one row for all its codes (``code`` null), then one for each code seen.

    Mean, median and 90th percentile of run lengths in tokens and seconds; a percentile is a length that occurs, the
    smallest that the share of runs does not exceed. ``self_transition`` is the share of steps that stay on the code,
    ``next_bits`` the entropy of the next code; for all codes that is the entropy rate of the first-order Markov chain.
    """
    parts = [_layer_dwell(layer, *facts) for layer, facts in enumerate(zip(runs, steps, strict=True), start=1)]
    return _table(parts, _DWELL_COLUMNS)


def transitions_table(steps: Sequence[Joint]) -> pd.DataFrame:
    """The most frequent changes of code in each layer, at most 50; ``share`` is of all changes of the layer."""
    parts: list[pd.DataFrame] = []
    for layer, (code, following, count) in enumerate(steps, start=1):
        moves = code != following
        code, following, count = code[moves], following[moves], count[moves]
        # Steps come in the order of their codes, which decides between those as frequent.
        least = np.partition(count, -TOP_TRANSITIONS)[-TOP_TRANSITIONS] if len(count) > TOP_TRANSITIONS else 0
        near = np.flatnonzero(count >= least)
        top = near[np.argsort(-count[near], kind="stable")][:TOP_TRANSITIONS]
        columns = {"code": code[top], "next_code": following[top], "count": count[top]}
        parts.append(pd.DataFrame({"layer": layer, **columns, "share": count[top] / max(1, count.sum())}))
    return _table(parts, _TRANSITION_COLUMNS)


def partners_table(adjacent: Sequence[Joint]) -> pd.DataFrame:
    """The codes of the next layer that most often come with each code, at most 5 each.

    ``adjacent`` holds the joint counts of layers q, q+1 (rows: q). ``share`` is of the tokens on ``code``; ``lift``
    how many times that is the next layer's own share of ``next_layer_code``: 1 where the layers are independent.
    """
    parts = [_layer_partners(layer, joint) for layer, joint in enumerate(adjacent, start=1)]
    return _table(parts, _PARTNER_COLUMNS)


def _layer_partners(layer: int, joint: Joint) -> pd.DataFrame:
    # By row, then the most frequent first, then by column, in which order they come: one key, one sort.
    order = np.argsort(joint.row * (joint.times.max(initial=0) + 1) - joint.times, kind="stable")
    row, column, count = joint.row[order], joint.column[order], joint.times[order]
    # The place of a partner among those of its code.
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < TOP_PARTNERS
    share = count / np.bincount(row, weights=count)[row]
    usual = np.bincount(column, weights=count)[column] / max(1, count.sum())
    table = {"code": row, "next_layer_code": column, "count": count, "share": share, "lift": share / usual}
    return pd.DataFrame({"layer": layer, **{name: values[kept] for name, values in table.items()}})


def _layer_dwell(layer: int, runs: Runs, steps: Joint) -> pd.DataFrame:
    whole = Runs(np.zeros_like(runs.code), *runs[1:])
    stays, bits = _by_code(steps)
    moved = int(steps.times.sum())
    all_codes = _lengths(whole) if len(runs.code) else pd.DataFrame({"code": [0], "runs": [0]})
    all_codes = all_codes.assign(
        code=pd.array([pd.NA], dtype="Int64"),
        self_transition=steps.times[steps.row == steps.column].sum() / moved if moved else np.nan,
        next_bits=_entropy_rate(steps),
    )
    each = _lengths(runs)
    each["self_transition"] = each["code"].map(stays)
    each["next_bits"] = each["code"].map(bits)
    parts = [part.reindex(columns=list(_DWELL_COLUMNS)).astype({"code": "Int64"}) for part in (all_codes, each)]
    return pd.concat([part for part in parts if len(part)]).assign(layer=layer)


def _lengths(runs: Runs) -> pd.DataFrame:
    """One row a code: its runs and how long they are."""
    codes = np.unique(runs.code)
    table = pd.DataFrame({"code": codes, "runs": _sums(codes, runs.code, runs.times).astype(np.int64)})
    for unit, values in (("tokens", runs.length.astype(np.float64)), ("seconds", runs.seconds)):
        table[f"mean_{unit}"] = _sums(codes, runs.code, runs.times * values) / table["runs"]
        table[f"median_{unit}"] = _quantile(codes, runs, values, 50)
        table[f"p90_{unit}"] = _quantile(codes, runs, values, 90)
    return table


def _sums(codes: Ints, code: Ints, values: NDArray[Any]) -> Floats:
    return np.bincount(np.searchsorted(codes, code), values.astype(np.float64), len(codes)).astype(np.float64)


def _quantile(codes: Ints, runs: Runs, values: Floats, percent: int) -> Floats:
    """For each of ``codes`` the smallest value that ``percent`` of its runs do not pass; NaN where unknown."""
    order = np.lexsort((values, runs.code))
    upto = np.cumsum(runs.times[order])
    before = np.searchsorted(runs.code[order], codes)
    after = np.searchsorted(runs.code[order], codes, side="right")
    below = np.where(before > 0, upto[before - 1], 0)
    wanted = below - (-percent * (upto[after - 1] - below) // 100)  # rounded up, in whole numbers
    found = values[order][np.searchsorted(upto, wanted)]
    return np.where(_sums(codes, runs.code, np.isnan(values)) > 0, np.nan, found)


def _by_code(steps: Joint) -> tuple[pd.Series, pd.Series]:
    """Share of steps that stay, and entropy of the next code in bits, by the code that they start from."""
    total = pd.Series(steps.times).groupby(steps.row).sum()
    same = steps.row == steps.column
    stays = pd.Series(steps.times[same], index=steps.row[same]).reindex(total.index, fill_value=0) / total
    share = steps.times / total.reindex(steps.row).to_numpy()
    return stays, pd.Series(share * np.log2(1 / share)).groupby(steps.row).sum()


def _entropy_rate(steps: Joint) -> float:
    """H(next | code) in bits over all steps; NaN where there is none."""
    starts: Counts = np.bincount(steps.row, weights=steps.times).astype(np.int64)
    return max(0.0, entropy_bits(steps.times) - entropy_bits(starts)) if len(steps.times) else float("nan")


def _table(parts: Sequence[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return pd.concat(filled, ignore_index=True)[list(columns)].astype(columns)
