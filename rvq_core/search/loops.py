"""Loops over tokens and codes that no library has in one piece, compiled for this processor by numba.

A product of matrices in a library must write all products of tokens and codes to memory, where whoever looks at them
reads them again. Here they are taken a tile at a time, some tokens with some codes, whose sums stay in a processor's
vector registers, and are looked at while they are in a cache. Python has no words for vector registers: three functions
tell LLVM itself, by numba's ``intrinsic``. All that is compiled into each other stands in this file, since numba finds
out by a file's age whether what it kept on disk still holds. Nothing checks bounds: ``compiled.CompiledSearch`` alone
calls these loops, and sees to it that all sizes fit.

All arrays are C-contiguous float32, indices int64; shapes: tokens [n, C], codebook [K, C]. What may use them asks
``compiled.compiled_loops``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class TileShape(NamedTuple):
    """How many sums a tile has: ``rows`` tokens by ``vectors`` registers of ``lanes`` codes."""

    lanes: int
    rows: int
    vectors: int


def tile_shape(features: set[str]) -> TileShape:
    """What fills a processor's registers: 32 of 16 numbers, 16 of 8, or 32 of 4. Others are slower, not wrong."""
    if "avx512f" in features:
        return TileShape(16, 12, 2)
    return TileShape(8, 6, 2) if "avx2" in features else TileShape(4, 8, 3)


def _features() -> set[str]:
    """What this processor has, as far as numba makes use of it."""
    told: str | None = config.CPU_FEATURES  # pyright: ignore[reportAttributeAccessIssue] - made on import
    words = (get_host_cpu_features() if told is None else told).split(",")
    return {word[1:] for word in words if word.startswith("+")}


LANES, ROWS, _VECTORS = tile_shape(_features())

CODES = LANES * _VECTORS
"""Codes of a tile; ``ROWS`` are its tokens."""

_GROUP = 4
"""Panels whose scores have lows together: lane l of group g is the least of codes g * _GROUP * CODES + l + LANES * i.

Where it is too high none of these is looked at.
"""

# Sums may be taken in any order, and a product be added before it is rounded; all else is as it is written.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}

_inlined = numba.njit(inline="always", **_OPTIONS)


def _compiled(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compiled when this module is imported, and kept beside this file, in the user's cache or in NUMBA_CACHE_DIR."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except Exception:  # no folder to write to, a full disk, a damaged file; what else is wrong fails again
            return numba.njit(signature, **_OPTIONS)(function)

    return compiled


class _Words:
    """Words for LLVM, of which an intrinsic's code is made: arrays by their place among arguments, vectors, numbers."""

    vector = ir.VectorType(ir.FloatType(), LANES)

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments

    def array(self, place: int) -> tuple[Any, list[Any]]:
        """Where its numbers begin, and its shape."""
        made = self.context.make_array(self.signature.args[place])(self.context, self.builder, self.arguments[place])
        return made.data, cgutils.unpack_tuple(self.builder, made.shape)

    def number(self, value: int) -> ir.Constant:
        return ir.Constant(self.context.get_value_type(types.intp), value)

    def after(self, data: Any, *factors: Any) -> Any:
        """What lies a product of ``factors`` numbers further on."""
        offset = factors[0]
        for factor in factors[1:]:
            offset = self.builder.mul(offset, factor)
        return self.builder.gep(data, [offset])

    def load(self, data: Any) -> Any:
        return self.builder.load(self.builder.bitcast(data, self.vector.as_pointer()), align=4)

    def store(self, value: Any, data: Any) -> None:
        self.builder.store(value, self.builder.bitcast(data, self.vector.as_pointer()), align=4)

    def repeated(self, value: Any) -> Any:
        """A vector of which each number is ``value``."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        alone = self.builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(alone, nothing, self._places([0] * LANES))

    def lesser(self, one: Any, other: Any) -> Any:
        """Number by number the lesser; the ``other`` where there is none."""
        return self.builder.select(self.builder.fcmp_ordered("<", one, other), one, other)

    def least(self, vector: Any) -> Any:
        """The least number of a vector."""
        turn = LANES // 2
        while turn:
            turned = self.builder.shuffle_vector(vector, vector, self._places([i ^ turn for i in range(LANES)]))
            vector, turn = self.lesser(vector, turned), turn // 2
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def _places(self, places: list[int]) -> ir.Constant:
        return ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)


@intrinsic
def tile(
    typing: Any, tokens: Any, first: Any, panels: Any, panel: Any, half_norms: Any, scores: Any, row: Any, lows: Any,
    group: Any,
) -> Any:  # fmt: skip
    """Scores of ``ROWS`` tokens [n, C], from the ``first`` on, with the codes of one of the ``panels`` [P, C, CODES].

    They go to the columns of ``scores`` [m, P * CODES] that are the panel's, from a ``row`` on, and into ``lows`` [m,
    groups * LANES] at the ``group`` where they are lower than what is there. Where there are fewer tokens left, the
    last one stands for those that lack. ``half_norms`` [P * CODES].
    """
    del typing, first, panel, row, group
    return types.void(tokens, types.intp, panels, types.intp, half_norms, scores, types.intp, lows, types.intp), _tile


def _tile(*given: Any) -> Any:
    say = _Words(*given)
    builder, number, codes = say.builder, say.number, say.number(CODES)
    _, _, _, panel, _, _, row, _, group = say.arguments
    sums = _sums(say)
    half_norms = say.after(say.array(4)[0], panel, codes)
    halves = [say.load(say.after(half_norms, number(v * LANES))) for v in range(_VECTORS)]
    scores, (_, columns) = say.array(5)
    lows, (_, low_columns) = say.array(7)
    for m in range(ROWS):
        at = builder.add(row, number(m))
        low_at = say.after(say.after(lows, at, low_columns), group, number(LANES))
        to = say.after(say.after(scores, at, columns), panel, codes)
        low = say.load(low_at)
        for v in range(_VECTORS):
            score = builder.fsub(halves[v], builder.load(sums[m][v]))
            say.store(score, say.after(to, number(v * LANES)))
            low = say.lesser(score, low)
        say.store(low, low_at)
    return say.context.get_dummy_value()


def _sums(say: _Words) -> list[list[Any]]:
    """The products of a tile: where they lie, of each token in so many vectors."""
    builder, codes = say.builder, say.number(CODES)
    _, first, _, panel, *_ = say.arguments
    tokens, (many, dim) = say.array(0)
    last = builder.sub(many, say.number(1))
    of_tokens: list[Any] = []
    for m in range(ROWS):
        token = builder.add(first, say.number(m))
        of_tokens.append(say.after(tokens, builder.select(builder.icmp_signed("<", token, last), token, last), dim))
    of_panel = say.after(say.array(2)[0], panel, dim, codes)
    # Written so as to lie in memory; LLVM sees that they can lie in registers.
    sums = [[cgutils.alloca_once_value(builder, say.vector(None)) for _ in range(_VECTORS)] for _ in range(ROWS)]
    with cgutils.for_range(builder, dim) as loop:
        some = say.after(of_panel, loop.index, codes)
        of_codes = [say.load(say.after(some, say.number(v * LANES))) for v in range(_VECTORS)]
        for m in range(ROWS):
            of_token = say.repeated(builder.load(say.after(of_tokens[m], loop.index)))
            for v in range(_VECTORS):
                product = builder.fmul(of_token, of_codes[v], flags=["contract"])
                builder.store(builder.fadd(builder.load(sums[m][v]), product, flags=["contract"]), sums[m][v])
    return sums


@intrinsic
def least(typing: Any, lows: Any, row: Any) -> Any:
    """The least number of a row of ``lows`` [m, groups * LANES]; infinity where none is a number."""
    del typing, row
    return types.float32(lows, types.intp), _least


def _least(*given: Any) -> Any:
    say = _Words(*given)
    builder = say.builder
    lows, (_, columns) = say.array(0)
    of_row = say.after(lows, say.arguments[1], columns)
    low = cgutils.alloca_once_value(builder, say.load(of_row))
    with cgutils.for_range_slice(builder, say.number(LANES), columns, say.number(LANES)) as (column, _):
        builder.store(say.lesser(say.load(say.after(of_row, column)), builder.load(low)), low)
    return say.least(builder.load(low))


@intrinsic
def lanes_within(typing: Any, lows: Any, row: Any, column: Any, limit: Any) -> Any:
    """A bit for each of ``LANES`` numbers of a row of ``lows`` [m, columns], from a ``column`` on, up to ``limit``."""
    del typing, row, column, limit
    return types.int64(lows, types.intp, types.intp, types.float32), _lanes_within


def _lanes_within(*given: Any) -> Any:
    say = _Words(*given)
    builder, (_, row, column, limit) = say.builder, say.arguments
    lows, (_, columns) = say.array(0)
    some = say.load(say.after(say.after(lows, row, columns), column))
    within = builder.fcmp_ordered("<=", some, say.repeated(limit))
    return builder.zext(builder.bitcast(within, ir.IntType(LANES)), ir.IntType(64))


@_inlined
def _bits(value: Any) -> Any:
    return np.float32(value).view(np.int32)


@_inlined
def _put_repeats_out_of_reach(codebook: Any, half_norms: Any) -> None:
    """Make the half squared length infinite of each code that equals the first one of its length.

    ``scores.repeats`` finds the same. Codes are found by the bits of it, in a table that is at least half empty.
    """
    codes = len(codebook)
    size = 4
    while size < 2 * codes:
        size *= 2
    table = np.full(size, -1, np.int32)
    for k in range(codes):
        place = (np.int64(_bits(half_norms[k])) * 0x9E3779B1 >> 15) & (size - 1)
        while table[place] >= 0 and _bits(half_norms[table[place]]) != _bits(half_norms[k]):
            place = (place + 1) & (size - 1)
        if table[place] < 0:
            table[place] = k
            continue
        differ = 0
        for c in range(codebook.shape[1]):
            differ += np.int32(codebook[k, c] != codebook[table[place], c])
        if differ == 0:
            half_norms[k] = np.inf


@_compiled("float32(float32[:, ::1], float32[:, :, ::1], float32[::1])")
def make_ready(codebook: Floats, panels: Floats, half_norms: Floats) -> Any:
    """Lay codes out as ``panels`` [P, C, CODES], ``CODES`` at a time side by side; the length of the longest.

    ``half_norms`` [P * CODES]: half their squared lengths, infinite for what is never to be chosen: repeats, and what
    lies after the last code.
    """
    codes, dim = codebook.shape
    panels[-1] = 0
    half_norms[-CODES:] = np.inf
    largest = np.float32(0)
    for k in range(codes):
        squared = np.float32(0)
        for c in range(dim):
            squared += codebook[k, c] * codebook[k, c]
        for c in range(dim):
            panels[k // CODES, c, k % CODES] = codebook[k, c]
        half_norms[k] = squared / np.float32(2)
        largest = max(largest, half_norms[k])
    _put_repeats_out_of_reach(codebook, half_norms)
    return math.sqrt(np.float32(2) * largest)


@_inlined
def _margin(length: Any, best: Any, longest: Any, relative: Any, underflow: Any) -> Any:
    """By how much a code may seem farther than the ``best`` score of a token of some length, and yet be the nearest.

    ``longest``: the length of the longest code. A code within the widest margin is no longer than the token and its
    distance from the code together, which narrows the margin. See ``scores.ScoreError.margins``, which goes on so:
    from here on, that costs more than it saves.
    """
    one, two, four = np.float32(1), np.float32(2), np.float32(4)
    widest = two * (relative * (length + longest / two) * longest + underflow)
    squared_distance = (one + relative) * length * length + two * best + four * widest
    reach = min(length + math.sqrt(max(squared_distance, np.float32(0))), longest)
    return two * (relative * (length + reach / two) * reach + underflow)


@_inlined
def _length(tokens: Any, i: Any) -> Any:
    squared = np.float32(0)
    for c in range(tokens.shape[1]):
        squared += tokens[i, c] * tokens[i, c]
    return np.float32(math.sqrt(squared))


@_inlined
def _squared_distance(tokens: Any, i: Any, codebook: Any, k: Any) -> Any:
    squared = 0.0
    for c in range(tokens.shape[1]):
        difference = np.float64(tokens[i, c]) - np.float64(codebook[k, c])
        squared += difference * difference
    return squared


@_inlined
def _nearest_within(scores: Any, lows: Any, row: Any, limit: Any, codebook: Any, tokens: Any, i: Any) -> Any:
    """Of the codes whose score is up to ``limit`` the nearest in float64, the first among equals; 0 where none is.

    Nothing is computed where there is only one.
    """
    codes = len(codebook)
    found, chosen, least_yet = 0, 0, 0.0
    for group in range(lows.shape[1] // LANES):
        within = lanes_within(lows, row, group * LANES, limit)  # pyright: ignore[reportCallIssue] - numba gives the first
        first = group * _GROUP * CODES
        while within:
            for k in range(first, min(first + _GROUP * CODES, codes), LANES):
                if within & 1 and scores[row, k] <= limit:
                    if found == 1:
                        least_yet = _squared_distance(tokens, i, codebook, chosen)
                    squared = _squared_distance(tokens, i, codebook, k) if found else 0.0
                    if found == 0 or squared < least_yet or (squared == least_yet and k < chosen):
                        chosen, least_yet = k, squared
                    found += 1
            within, first = within >> 1, first + 1
    return chosen


@_inlined
def _take_code(tokens: Any, i: Any, codebook: Any, k: Any, left: Any) -> Any:
    """What code ``k`` leaves of token ``i``: its square."""
    squared = np.float32(0)
    for c in range(tokens.shape[1]):
        difference = tokens[i, c] - codebook[k, c]
        left[i, c] = difference
        squared += difference * difference
    return squared


@_inlined
def _add(what: Any, k: Any, total: Any, i: Any, first: Any) -> None:
    """Add row ``k`` to row ``i`` of a total, to nothing where it is the ``first``."""
    if first:
        for c in range(total.shape[1]):
            total[i, c] = np.float32(0) + what[k, c]
    else:
        for c in range(total.shape[1]):
            total[i, c] += what[k, c]


@_compiled(
    "float64(float32[:, ::1], float32[:, :, ::1], float32[::1], float32, float32, float32, float32[:, ::1],"
    " float32[:, ::1], int64[:, ::1], int64, float32[:, ::1], float32[:, ::1], float32[:, ::1])"
)
def through_layer(
    codebook: Floats, panels: Floats, half_norms: Floats, longest: float, relative: float, underflow: float,
    scores: Floats, tokens: Floats, chosen: Indices, q: int, left: Floats, total: Floats, pull: Floats,
) -> float:  # fmt: skip
    """The nearest code of each token, to ``chosen[:, q]``, which is taken from it: the sum of squares of what is left.

    Of a codebook that was made ready. ``relative`` and ``underflow``: how far a score may be from the true one
    (``scores.ScoreError``); codes closer than that are told apart in float64. ``scores`` [m, P * CODES]: those of m
    tokens at once, a multiple of ``ROWS``; each panel meets all of them while it is in the nearest cache.

    What is left of a token is written to ``left`` [n, C], which may be ``tokens`` themselves; the code is added to
    ``total`` and what is left to ``pull``, each [n, C], in which the first layer, ``q`` 0, finds nothing yet. Those
    that nobody asks for have no rows.
    """
    groups = -(-len(panels) // _GROUP)
    lows = np.empty((len(scores), groups * LANES), np.float32)
    squares = 0.0
    for begin in range(0, len(tokens), len(scores)):
        end = min(begin + len(scores), len(tokens))
        lows[:] = np.inf
        for panel in range(len(panels)):
            for first in range(begin, end, ROWS):
                tile(tokens, first, panels, panel, half_norms, scores, first - begin, lows, panel // _GROUP)  # pyright: ignore[reportCallIssue]
        for i in range(begin, end):
            best = least(lows, i - begin)  # pyright: ignore[reportCallIssue]
            limit = best + _margin(_length(tokens, i), best, longest, relative, underflow)
            chosen[i, q] = _nearest_within(scores, lows, i - begin, limit, codebook, tokens, i)
        # Loops of their own: one for all is slower, and compiling `pull[begin:end] += ...` takes a second.
        for i in range(begin, end if len(left) else begin):
            squares += np.float64(_take_code(tokens, i, codebook, chosen[i, q], left))
        for i in range(begin, end if len(total) else begin):
            _add(codebook, chosen[i, q], total, i, q == 0)
        for i in range(begin, end if len(pull) else begin):
            _add(left, i, pull, i, q == 0)
    return squares
