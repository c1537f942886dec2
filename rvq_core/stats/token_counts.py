"""What a pass over tokens adds up: sums that grow clip by clip and can be merged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.errors import ClipError
from rvq_core.stats.discovery import Layer
from rvq_core.stats.keyed import Ints, Joint, KeyCounts, of_pairs, tally
from rvq_core.stats.redundancy import Pair
from rvq_core.stats.sequences import Runs, find_runs
from rvq_core.stats.usage import count_codes

Tokens = NDArray[np.integer[Any]]

GROUPS = 50
"""Clips are dealt to so many groups in turn, for intervals that leave one out: each its own up to 50 clips."""

_FOLD_AT = 1 << 19
"""Tokens that may wait before they are counted."""

_KEY_BITS = 63
_LENGTH_BITS = 32


class _Waiting(NamedTuple):
    tokens: Tokens
    seconds_per_token: float | None


class TokenCounts:
    """All that the statistics of tokens need, as counts that can be merged.

    ``codes``: the number K of codes of each layer. Merging the counts of two halves gives those of the whole, exactly;
    clips without tokens count nowhere.
    """

    def __init__(self, codes: Sequence[int]) -> None:
        self.codes = tuple(codes)
        self.clips = 0
        """Clips with tokens."""
        layers = range(len(self.codes))
        # By group of clips, [GROUPS, K]: tokens on each code, and clips in which it occurs.
        self._by_group = [np.zeros((GROUPS, size), dtype=np.int64) for size in self.codes]
        self._clips_showing = [np.zeros((GROUPS, size), dtype=np.int64) for size in self.codes]
        self._clips_in_group = np.zeros(GROUPS, dtype=np.int64)
        spans = {(a, b): self.codes[a] * self.codes[b] for a, b in itertools.combinations(layers, 2)}
        self._pairs = {pair: KeyCounts(span=span) for pair, span in spans.items()}
        self._steps = [KeyCounts(span=size * size) for size in self.codes]
        # Runs and tokens are kept apart by the seconds that a token lasts, so that these need not be rounded.
        self._runs: list[dict[float | None, KeyCounts]] = [{} for _ in layers]
        self._tokens_lasting: dict[float | None, int] = {}
        self._packing = _packing(self.codes)
        self._tuples = KeyCounts(words=1 + max((word for word, _, _ in self._packing), default=0))
        self._waiting: list[_Waiting] = []
        self._waiting_tokens = 0

    def add(self, tokens: Tokens, seconds_per_token: float | None = None) -> None:
        """Count a clip's tokens [T', Q]. ``seconds_per_token`` None or NaN: unknown. Raises ClipError."""
        self._check(tokens)
        if seconds_per_token is not None and np.isnan(seconds_per_token):
            seconds_per_token = None
        if not len(tokens):
            return
        self.clips += 1
        self._waiting.append(_Waiting(tokens, seconds_per_token))
        self._waiting_tokens += len(tokens)
        if self._waiting_tokens >= _FOLD_AT:
            self._fold()

    def merge(self, other: TokenCounts) -> None:
        """Add what ``other`` counted, as if its clips had come after these; it stays as it is."""
        if self.codes != other.codes:
            raise ValueError(f"counts of layers with {other.codes} codes cannot join those of {self.codes}")
        self._fold()
        other._fold()
        turn = self.clips % GROUPS
        for layer in range(len(self.codes)):
            self._by_group[layer] += np.roll(other._by_group[layer], turn, axis=0)
            self._clips_showing[layer] += np.roll(other._clips_showing[layer], turn, axis=0)
        self._clips_in_group += np.roll(other._clips_in_group, turn)
        self.clips += other.clips
        for pair, counts in other._pairs.items():
            self._pairs[pair].merge(counts)
        for mine, theirs in zip(self._steps, other._steps, strict=True):
            mine.merge(theirs)
        for mine, theirs in zip(self._runs, other._runs, strict=True):
            for seconds, counts in theirs.items():
                mine.setdefault(seconds, KeyCounts()).merge(counts)
        for seconds, tokens in other._tokens_lasting.items():
            self._tokens_lasting[seconds] = self._tokens_lasting.get(seconds, 0) + tokens
        self._tuples.merge(other._tuples)

    def margins(self) -> list[Ints]:
        """Of each layer the tokens on each code [K_q]."""
        self._fold()
        return [counts.sum(axis=0) for counts in self._by_group]

    def groups(self) -> tuple[list[Layer], Ints]:
        """Of each layer the counts by group of clips, and the clips [G] in each group; no group without one."""
        self._fold()
        filled = self._clips_in_group > 0
        pairs = zip(self._by_group, self._clips_showing, strict=True)
        return [Layer(tokens[filled], clips[filled]) for tokens, clips in pairs], self._clips_in_group[filled]

    def seconds(self) -> float | None:
        """How long all tokens last; None where that is unknown of any, or where there are none."""
        self._fold()
        if None in self._tokens_lasting or not self._tokens_lasting:
            return None
        return sum(seconds * tokens for seconds, tokens in sorted(self._tokens_lasting.items()) if seconds is not None)

    def joints(self) -> dict[Pair, Joint]:
        """Of each two layers (0-based) how often two codes came together."""
        self._fold()
        return {pair: of_pairs(*counts.totals(), self.codes[pair[1]]) for pair, counts in self._pairs.items()}

    def steps(self) -> list[Joint]:
        """Of each layer how often a token (row) was followed by which (column), within clips, equal ones included."""
        self._fold()
        return [of_pairs(*counts.totals(), size) for counts, size in zip(self._steps, self.codes, strict=True)]

    def runs(self) -> list[Runs]:
        """Of each layer how often a code stayed how long."""
        self._fold()
        return [_as_runs(by_seconds) for by_seconds in self._runs]

    def tuples(self) -> tuple[Tokens, Ints]:
        """Index tuples [U, Q] of all layers, each once and in lexicographic order, and how often each occurred [U]."""
        self._fold()
        keys, counts = self._tuples.totals()
        rows = np.empty((len(counts), len(self.codes)), dtype=np.int32)
        for layer, (word, shift, mask) in enumerate(self._packing):
            rows[:, layer] = (keys[word] >> shift) & mask
        return rows, counts

    def _check(self, tokens: Tokens) -> None:
        if tokens.ndim != 2 or tokens.shape[1] != len(self.codes):
            raise ClipError(
                "tokens", expected=f"an array [T', {len(self.codes)}], one column a layer",
                found=f"one of shape {tokens.shape}", do="give tokens of a quantizer with so many layers",
            )  # fmt: skip
        for layer, size in enumerate(self.codes):
            column = tokens[:, layer]
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise ClipError(
                    f"tokens: layer {layer + 1}", expected=f"indices 0 to {size - 1}",
                    found=f"{int(column.min())} to {int(column.max())}", do="give their own codebook size",
                )  # fmt: skip

    def _fold(self) -> None:
        if not self._waiting:
            return
        lengths = np.array([len(clip.tokens) for clip in self._waiting])
        tokens = np.concatenate([clip.tokens for clip in self._waiting]).astype(np.int64).T.copy()
        begins = np.zeros(tokens.shape[1], dtype=bool)
        begins[np.cumsum(lengths) - lengths] = True
        lasting = list(dict.fromkeys(clip.seconds_per_token for clip in self._waiting))
        kinds = np.repeat([lasting.index(clip.seconds_per_token) for clip in self._waiting], lengths)
        self._count_groups(tokens, lengths)
        self._count_pairs(tokens)
        for layer in range(len(self.codes)):
            self._count_sequences(layer, tokens[layer], begins, lasting, kinds)
        for kind, seconds in enumerate(lasting):
            self._tokens_lasting[seconds] = self._tokens_lasting.get(seconds, 0) + int((kinds == kind).sum())
        self._waiting, self._waiting_tokens = [], 0

    def _count_groups(self, tokens: Ints, lengths: Ints) -> None:
        group_of_clip = np.arange(self.clips - len(lengths), self.clips) % GROUPS
        clip = np.repeat(np.arange(len(lengths)), lengths)
        for layer, size in enumerate(self.codes):
            (keys,), times = tally((clip * size + tokens[layer])[None], span=len(lengths) * size)
            cells = group_of_clip[keys // size] * size + keys % size
            shape = (GROUPS, size)
            self._by_group[layer] += np.bincount(cells, times, GROUPS * size).astype(np.int64).reshape(shape)
            self._clips_showing[layer] += np.bincount(cells, minlength=GROUPS * size).reshape(shape)
        self._clips_in_group += count_codes(group_of_clip, GROUPS)

    def _count_pairs(self, tokens: Ints) -> None:
        for (first, second), counts in self._pairs.items():
            counts.add(tokens[first] * self.codes[second] + tokens[second])
        words = [np.zeros(tokens.shape[1], dtype=np.int64)]
        for layer, (word, shift, _) in enumerate(self._packing):
            if word == len(words):
                words.append(np.zeros(tokens.shape[1], dtype=np.int64))
            words[word] |= tokens[layer] << shift
        self._tuples.add(np.stack(words))

    def _count_sequences(
        self,
        layer: int,
        tokens: Ints,
        begins: NDArray[np.bool_],
        lasting: list[float | None],
        kinds: Ints,
    ) -> None:
        inside = ~begins[1:]
        self._steps[layer].add((tokens[:-1] * self.codes[layer] + tokens[1:])[inside])
        starts, lengths = find_runs(tokens, begins)
        keys = (tokens[starts] << _LENGTH_BITS) | lengths
        for kind, seconds in enumerate(lasting):
            self._runs[layer].setdefault(seconds, KeyCounts()).add(keys[kinds[starts] == kind])


def _packing(codes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Where each layer's code lies in a key of 63-bit words: word, shift in it, and mask; the first layers highest.

    >>> _packing([1024] * 7)[0], _packing([1024] * 7)[5:]
    ((0, 53, 1023), [(0, 3, 1023), (1, 53, 1023)])
    """
    places: list[tuple[int, int, int]] = []
    word, left = 0, _KEY_BITS
    for size in codes:
        bits = max(1, (size - 1).bit_length())
        if bits > left:
            word, left = word + 1, _KEY_BITS
        left -= bits
        places.append((word, left, (1 << bits) - 1))
    return places


def _as_runs(by_seconds: dict[float | None, KeyCounts]) -> Runs:
    parts = [Runs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))]
    # Sorted, so that the order in which clips came does not show.
    for seconds in sorted(by_seconds, key=lambda value: (value is None, value)):
        keys, times = by_seconds[seconds].totals()
        length = keys[0] & ((1 << _LENGTH_BITS) - 1)
        parts.append(Runs(keys[0] >> _LENGTH_BITS, length, length * (np.nan if seconds is None else seconds), times))
    return Runs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
