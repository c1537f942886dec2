"""What a checkpoint format is: an id, how to know it, how to build from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.read import RawFile


@dataclass(frozen=True, slots=True)
class Format:
    """One checkpoint format.

    ``matches`` looks at keys, shapes and metadata, never at the file's name; ``build`` raises CheckpointError naming
    the key that is missing or has the wrong shape. ``required`` tells a user what a file of this format must hold.
    """

    id: str
    required: tuple[str, ...]
    matches: Callable[[RawFile], bool]
    build: Callable[[RawFile], Checkpoint]
