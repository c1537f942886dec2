"""Features of many clips without holding them all in memory: beyond a little, they lie in temporary files.

A shelved array is an ordinary array whose pages the system reads from disk when they are looked at. The files have no
name (or lose it at once), and are gone with the last array that lies in them or with the process.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.clip import Array, Clip
from rvq_core.errors import ClipError

IN_MEMORY = 32 << 20
"""Bytes of a shelf that stay in memory."""

FILE_BYTES = 64 << 20
"""Bytes of one file, unless a single array is larger."""

_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


class Shelf:
    """Takes clips and gives them back with the same values, all but the first few on disk.

    A context: at its end the shelf takes no more, and what lies on it stays.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._room = in_memory
        self._file: IO[bytes] | None = None
        self._mapping: mmap.mmap | None = None
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def place(self, clip: Clip) -> Clip:
        """The clip with its arrays on the shelf. Raises ClipError where the disk does not take them."""
        translation = None if clip.translation is None else self._shelved(clip.translation)
        return replace(clip, features=self._shelved(clip.features), translation=translation)

    def _shelved(self, array: Array) -> Array:
        if _lies_on_a_shelf(array) or array.nbytes == 0:
            return array
        if array.nbytes <= self._room:
            self._room -= array.nbytes
            # A view would keep the whole of what it is a part of.
            return array if array.base is None else array.copy()
        try:
            return self._written(np.ascontiguousarray(array))
        except OSError as error:
            raise ClipError(
                tempfile.gettempdir(), expected=f"room for {array.nbytes >> 20} MB of features more", found=str(error),
                do="set TMPDIR to a folder with more room, or give fewer clips (--max-frames comes too late for this)",
            ) from error  # fmt: skip

    def _written(self, array: Array) -> Array:
        file, mapping = self._with_room(array.nbytes)
        file.seek(self._used)
        file.write(array.data)
        file.flush()
        found = np.frombuffer(mapping, dtype=array.dtype, count=array.size, offset=self._used).reshape(array.shape)
        self._used += -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        return found

    def _with_room(self, size: int) -> tuple[IO[bytes], mmap.mmap]:
        """The file that is being filled, or a new one; the mapping outlives the file object."""
        if self._file is None or self._mapping is None or self._used + size > len(self._mapping):
            if self._file is not None:
                self._file.close()
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open while it is filled, `__exit__` closes it
            self._used = 0
            self._file.truncate(max(FILE_BYTES, size))
            self._mapping = mmap.mmap(self._file.fileno(), 0)
            _mappings.add(self._mapping)
        return self._file, self._mapping


def release() -> None:
    """Give back the memory of all shelved arrays: what is looked at again comes from disk again."""
    for mapping in list(_mappings):
        if hasattr(mapping, "madvise"):  # not on Windows, which takes pages back by itself
            mapping.madvise(mmap.MADV_DONTNEED)


def one_by_one(clips: Iterable[Clip]) -> Iterator[Clip]:
    """Each clip, and its memory given back when the next is asked for."""
    for clip in clips:
        yield clip
        release()


def _lies_on_a_shelf(array: NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview) and base.obj in _mappings
