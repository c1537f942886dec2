"""Which codes of two checkpoints say the same: their tokens of the same moments, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.compare.subjects import Subject
from rvq_core.compare.tables import table_of
from rvq_core.stats.keyed import Joint, joint_of
from rvq_core.stats.matching import Matches, across_table, match_codes, nearest_in_time, same_numbers, shared_tokens

MATCHING_COLUMNS = {
    "checkpoint": "string", "layer": "int64", "baseline_layer": "int64", "tokens": "int64", "ami": "float64",
    "nmi": "float64", "mi_bits": "float64", "reliable": "bool", "match_share": "float64", "index_share": "float64",
}  # fmt: skip

MATCHES_COLUMNS = {
    "checkpoint": "string", "layer": "int64", "code": "int64", "baseline_code": "int64", "tokens": "int64",
    "share": "float64", "baseline_share": "float64", "by": "string",
}  # fmt: skip

MOMENTS_COLUMNS = {
    "checkpoint": "string", "layer": "int64", "code": "int64", "baseline_code": "int64", "tokens": "int64",
    "share": "float64", "matched": "bool",
}  # fmt: skip

MOST_PAIRS = 40
"""Of each layer, the matched pairs of codes whose shared moments are kept: those with the most of them."""

MOST_TOKENS = 200_000
"""Codes are matched on at most so many tokens, drawn by seed."""

SAME_NUMBERS = 0.5
"""Code numbers mean the same where codes of equal number share this much of what the best matching shares."""


class Aligned(NamedTuple):
    """Tokens of the same moments, of the checkpoint [N, Q] and of the baseline [N, Q']."""

    own: NDArray[Any]
    theirs: NDArray[Any]


class Matching(NamedTuple):
    """Agreement of every two layers, the matched codes of equal layers, and what the most frequent of them share."""

    layers: pd.DataFrame
    codes: pd.DataFrame
    moments: pd.DataFrame


def align(subject: Subject, baseline: Subject, clips: Sequence[str], seed: int) -> Aligned:
    """Tokens of the clips that both have, nearest in time, by the coarser one; at most MOST_TOKENS of them."""
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for clip in clips:
        own, theirs = subject.tokens(clip), baseline.tokens(clip)
        seconds = subject.clips[clip].seconds_per_token, baseline.clips[clip].seconds_per_token
        first, second = nearest_in_time(len(own), seconds[0], len(theirs), seconds[1])
        parts.append((own[first], theirs[second]))
    own, theirs = (np.concatenate(side) for side in zip(*parts, strict=True))
    if len(own) > MOST_TOKENS:
        drawn = np.sort(np.random.default_rng(seed).choice(len(own), MOST_TOKENS, replace=False))
        own, theirs = own[drawn], theirs[drawn]
    return Aligned(own, theirs)


def match(subject: Subject, baseline: Subject, clips: Sequence[str], seed: int) -> Matching:
    """Match the codes of two checkpoints: by number where numbers mean the same, else by the moments they share."""
    aligned = align(subject, baseline, clips, seed)
    table = across_table(aligned.own, aligned.theirs, subject.codes, baseline.codes, seed)
    table = table.rename(columns={"other_layer": "baseline_layer"}).assign(checkpoint=subject.name)
    shared = range(min(subject.depth, baseline.depth))
    best = [_joint(aligned, baseline, layer) for layer in shared]
    matches, numbers = [match_codes(joint) for joint in best], [same_numbers(joint) for joint in best]
    equal = table["layer"] == table["baseline_layer"]
    for name, found in (("match_share", matches), ("index_share", numbers)):
        shares = [shared_tokens(each, joint) for each, joint in zip(found, best, strict=True)]
        table[name] = np.nan
        table.loc[equal, name] = shares
    by_number = same_run(subject, baseline, table)
    chosen = numbers if by_number else matches
    rows = [row for layer in shared for row in _rows(subject.name, layer, chosen[layer], aligned, by_number)]
    layers = table[list(MATCHING_COLUMNS)].astype(MATCHING_COLUMNS)
    cells = [row for layer in shared for row in _cells(subject.name, layer, chosen[layer], best[layer])]
    return Matching(layers, table_of(rows, MATCHES_COLUMNS), table_of(cells, MOMENTS_COLUMNS))


def no_matching() -> Matching:
    """Where codes were not to be matched."""
    return Matching(*(table_of([], columns) for columns in (MATCHING_COLUMNS, MATCHES_COLUMNS, MOMENTS_COLUMNS)))


def same_run(subject: Subject, baseline: Subject, matching: pd.DataFrame) -> bool:
    """Whether code numbers mean the same: two steps of one run, or one codebook.

    Told by layer 1, of which both have the most to say: codes of equal number share the moments there.
    """
    first = matching[(matching["layer"] == 1) & (matching["baseline_layer"] == 1)].iloc[0]
    return subject.codes == baseline.codes and bool(first["index_share"] >= SAME_NUMBERS * first["match_share"])


def _joint(aligned: Aligned, baseline: Subject, layer: int) -> Joint:
    return joint_of(aligned.own[:, layer], aligned.theirs[:, layer], baseline.codes[layer])


def _rows(name: str, layer: int, matches: Matches, aligned: Aligned, by_number: bool) -> list[tuple[object, ...]]:
    own, theirs = (np.bincount(side[:, layer]) for side in aligned)
    by = "number" if by_number else "moments"
    return [
        (name, layer + 1, code, other, times, times / own[code], times / theirs[other], by)
        for code, other, times in zip(*(column.tolist() for column in matches), strict=True)
    ]


def _cells(name: str, layer: int, matches: Matches, joint: Joint) -> list[tuple[object, ...]]:
    """The part of the contingency table that the codes of the MOST_PAIRS most frequent pairs span."""
    most = np.argsort(-matches.times, kind="stable")[:MOST_PAIRS]
    partner = dict(zip(matches.code[most].tolist(), matches.other[most].tolist(), strict=True))
    inside = np.isin(joint.row, matches.code[most]) & np.isin(joint.column, matches.other[most])
    own = np.bincount(joint.row, weights=joint.times)
    return [
        (name, layer + 1, code, other, times, times / own[code], partner[code] == other)
        for code, other, times in zip(*(column[inside].tolist() for column in joint), strict=True)
    ]
