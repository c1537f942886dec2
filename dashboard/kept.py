"""Results kept in memory for all sessions: each is made once, and the longest unused go beyond so many bytes."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar, cast

import numpy as np

Made = TypeVar("Made")


class Kept:
    """Results by key. A key must name all that its result depends on; who gets a result leaves it as it is."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The result under ``key``, or what ``make`` gives; who asks for one that is being made waits for it."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][1]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._held:
                    return self._held[key][1]
            try:
                made = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._held[key] = (nbytes(made), made)
                self._trim()
            return made

    @property
    def bytes(self) -> int:
        """Bytes of all that is held."""
        with self._lock:
            return sum(size for size, _ in self._held.values())

    def _trim(self) -> None:
        """Give up the longest unused; the last one stays, however large it is."""
        total = sum(size for size, _ in self._held.values())
        while total > self.most_bytes and len(self._held) > 1:
            _, (size, _) = self._held.popitem(last=False)
            total -= size


def nbytes(value: object) -> int:
    """Bytes of all arrays in a value: of itself, of a sequence's, mapping's or dataclass's entries."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return sum(nbytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return sum(map(nbytes, cast(Mapping[object, object], value).values()))
    if isinstance(value, tuple | list):
        return sum(map(nbytes, cast(tuple[object, ...], value)))
    return 0
