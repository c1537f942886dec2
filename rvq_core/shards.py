"""Results of parts of an analysis, kept in a folder until all are there: what an interrupted run has done stays done.

A shard is an .npz file of plain arrays, written whole. It holds the key under which it was computed: one of other
clips, another checkpoint or other settings is computed again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.errors import ReportError
from rvq_core.files import written_whole
from rvq_core.folders import FolderKind, files_in, told_in
from rvq_core.ranks import Ranks

VERSION = 1
"""Of what shards hold: those of another version are computed again."""

SHOWN_AFTER = 60.0
"""Seconds after which a folder that one rank made must be seen by the others."""

_MARK = "shards.json"
_KEY = "key"

Arrays = dict[str, NDArray[Any]]


def key_of(*parts: object) -> str:
    """A key of plain values."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True, default=str).encode()).hexdigest()


def packed(value: object) -> NDArray[np.uint8]:
    """Plain values as an array of their JSON."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def unpacked(array: NDArray[np.uint8]) -> Any:
    """What ``packed`` was given."""
    return json.loads(array.tobytes())


class Shards:
    """The shards in ``folder``. Raises ReportError where it cannot be written, or holds other files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, ranks: Ranks) -> None:
        """Make the folder; all ``ranks`` must see the same one."""
        mark = self.folder / _MARK
        run = ranks.agreed("run", f"{time.time_ns()}")
        if ranks.first:
            KIND.refuse_unwritable(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_whole(mark) as temporary:
                temporary.write_text(json.dumps({"rvq_lens_shards": VERSION, "run": run}), encoding="utf-8")
            return
        end = time.monotonic() + SHOWN_AFTER
        while not mark.is_file() or told_in(mark).get("run") != run:
            ranks.refuse_failed()
            if time.monotonic() > end:
                raise ReportError(
                    str(self.folder), expected="one folder that all ranks see", found="one that rank 0 did not write",
                    do="give an --out on a file system that all machines share",
                )  # fmt: skip
            time.sleep(0.1)

    def load(self, name: str, key: str) -> Arrays | None:
        """The arrays of a shard; None where there is none of this key, or none that can be read."""
        try:
            with self._path(name).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                if archive[_KEY].tobytes().decode("ascii", "replace") != key:
                    return None
                return {part: archive[part] for part in archive.files if part != _KEY}
        except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, NotImplementedError):
            # Not there yet, or damaged: either way it is computed.
            return None

    def has(self, name: str, key: str) -> bool:
        """Whether a shard of this key is there and whole."""
        return self.load(name, key) is not None

    def save(self, name: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a shard, whole or not at all."""
        marked = np.frombuffer(key.encode(), dtype=np.uint8)
        try:
            with written_whole(self._path(name)) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **{_KEY: marked}, **arrays)
        except OSError as error:
            raise ReportError(
                str(self.folder), expected="room for what was computed", found=error.strerror or str(error),
                do="free some space and run the same command: what is there is not computed again",
            ) from error  # fmt: skip

    def remove(self) -> None:
        """Remove all shards: the report is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


KIND = FolderKind("folder of shards", lambda folder: "rvq_lens_shards" in told_in(folder / _MARK), files_in)
