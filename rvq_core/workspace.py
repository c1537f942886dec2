"""Memory for results that are used at once and then no more, kept from call to call.

What is freed a C library may give back to the system, which has to clear it and hand it out again page by page: of two
megabytes that takes longer than filling them.
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

MOST_KEPT = 1 << 22
"""Numbers of a buffer that is kept: 16 MB of float32. What is larger costs its filling more than its pages."""


class _Kept:
    """Buffers, by what they are for and of which type; and what was given out last, for whoever asks for it again."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}
        self.last: dict[tuple[str, torch.dtype], Tensor] = {}


class _Here(threading.local):
    """What this thread has."""

    def __init__(self) -> None:
        self.kept = _Kept()


_here = _Here()


def workspace(purpose: str, rows: int, columns: int, like: Tensor) -> Tensor:
    """Memory [rows, columns] of the type and device of ``like``, not cleared.

    On a CPU the next call of this thread for the same ``purpose`` gives the same memory again; it grows as needed, up
    to ``MOST_KEPT``.
    """
    if like.device.type != "cpu" or rows * columns > MOST_KEPT:  # on others torch itself keeps what was freed
        return like.new_empty((rows, columns))
    key, kept = (purpose, like.dtype), _here.kept
    last = kept.last.get(key)
    if last is not None and last.shape == (rows, columns):
        return last
    with torch.inference_mode(False):  # so that it can be written to in both modes
        held = kept.buffers.get(key)
        if held is None or held.numel() < rows * columns:
            held = kept.buffers[key] = torch.empty(rows * columns, dtype=like.dtype, device="cpu")
        last = kept.last[key] = held[: rows * columns].view(rows, columns)
    return last
