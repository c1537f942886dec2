"""Results on disk: a folder for each, named by what it depends on, whole or not there, the longest unused ones removed.

Whatever a result depends on goes into its key, the version and the source code of rvq_core included: what is found
under a key is never of another input. Nothing is unpickled: an entry is files that its kind reads and checks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from platformdirs import user_cache_dir

import rvq_core
from rvq_core.errors import RVQLensError
from rvq_core.files import sha256_of, written_whole

VARIABLE = "RVQ_LENS_STORE"
"""Names the folder that results are kept in; ``rvq-lens dash --store DIR`` sets it."""

SCHEMA = 1
USUAL_BYTES = 4 * 10**9
LABEL, SETTINGS = "entry.json", "settings.json"
ATTEMPTS = 10
"""How often an entry is tried again that other processes write, read and remove at the same time."""

ABANDONED_SECONDS = 24 * 3600.0

Found = TypeVar("Found")
logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """What the store holds: entries by kind, and the bytes of all."""

    kinds: dict[str, int]
    bytes: int


class _Entry(NamedTuple):
    used: float
    bytes: int
    folder: Path


class Store:
    """A folder of results. Any number of processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, kind: str, key: str, read: Callable[[Path], Found]) -> Found | None:
        """What ``read`` makes of the entry's folder; None where there is none. A damaged one is removed."""
        folder = self._place(kind, key)
        for _ in range(ATTEMPTS):
            before = _mark(folder)
            if before is None:
                break
            try:
                _check(folder)
                found = read(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RVQLensError) as error:
                if _mark(folder) != before:  # another process has removed it, or written it anew
                    continue
                logger.warning("a damaged result is removed and computed again: %s: %s", folder, error)
                break
            _touch(folder / LABEL)
            return found
        if folder.is_dir():
            self._remove(folder)
        return None

    def has(self, kind: str, key: str) -> bool:
        """Whether there is an entry, whole or not."""
        return (self._place(kind, key) / LABEL).is_file()

    def put(self, kind: str, key: str, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` puts into an empty folder; where another process was faster, its entry stays.

        Raises OSError where the disk refuses, and whatever ``write`` raises; nothing is left behind then.
        """
        target = self._place(kind, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=target.parent))
        try:
            write(temporary)
            label = {"schema": SCHEMA, "kind": kind, "key": key, "files": _sums(temporary)}
            (temporary / LABEL).write_text(json.dumps(label), encoding="utf-8")
            self._put_in_place(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self.trim(spare=target)

    def held(self) -> Held:
        """Count entries and their bytes."""
        kinds: dict[str, int] = {}
        total = 0
        for entry in self._entries():
            kinds[entry.folder.parent.name] = kinds.get(entry.folder.parent.name, 0) + 1
            total += entry.bytes
        return Held(kinds, total)

    def clear(self) -> None:
        """Remove all entries."""
        for entry in self._entries():
            self._remove(entry.folder)

    def trim(self, *, spare: Path | None = None) -> None:
        """Remove the entries unused for longest until the rest fits; ``spare`` is kept, however large it is."""
        entries = sorted(self._entries())
        total, most = sum(entry.bytes for entry in entries), self.most_bytes
        for entry in entries:
            if total <= most:
                return
            if entry.folder != spare:
                self._remove(entry.folder)
                total -= entry.bytes

    def tidy(self) -> None:
        """Remove what processes that were killed while writing have left behind."""
        for temporary in self.folder.glob("*/.*"):
            if _is_abandoned(temporary):
                shutil.rmtree(temporary, ignore_errors=True)

    @property
    def most_bytes(self) -> int:
        """Bytes that may be kept."""
        try:
            found = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))["most_bytes"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return USUAL_BYTES
        return int(found) if isinstance(found, int | float) and 0 <= found < float("inf") else USUAL_BYTES

    def limit(self, most_bytes: int) -> None:
        """Keep no more than so many bytes from now on, in every process. Raises OSError."""
        with written_whole(self.folder / SETTINGS) as temporary:
            temporary.write_text(json.dumps({"most_bytes": most_bytes}), encoding="utf-8")
        self.trim()

    def _place(self, kind: str, key: str) -> Path:
        return self.folder / kind / key

    def _entries(self) -> list[_Entry]:
        found: list[_Entry] = []
        for label in self.folder.glob(f"*/[!.]*/{LABEL}"):
            try:
                used = label.stat().st_mtime
                size = sum(path.stat().st_size for path in label.parent.rglob("*") if path.is_file())
            except OSError:  # removed by another process meanwhile
                continue
            found.append(_Entry(used, size, label.parent))
        return found

    def _put_in_place(self, temporary: Path, target: Path) -> None:
        for attempt in range(ATTEMPTS):
            try:
                temporary.rename(target)
                return
            except OSError:
                if (target / LABEL).is_file():  # another process was faster
                    return
                if attempt == ATTEMPTS - 1:
                    raise
                if target.is_dir():
                    self._remove(target)

    def _remove(self, folder: Path) -> None:
        """Take an entry away at once for all, then its files."""
        aside = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=folder.parent))
        try:
            folder.rename(aside / folder.name)
        except OSError as error:
            if folder.exists():  # else another process was faster
                logger.warning("a result cannot be removed: %s", error)
        shutil.rmtree(aside, ignore_errors=True)


def keep_if_possible(keep: Callable[[], object], otherwise: str) -> None:
    """Keep a result that is used in any case; where the disk refuses, log ``otherwise`` and why."""
    try:
        keep()
    except OSError as error:
        logger.warning("%s: %s", otherwise, error.strerror or error)


def usual_folder() -> Path:
    """Where results are kept: as ``RVQ_LENS_STORE`` says, else in the user's cache."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else Path(user_cache_dir("rvq-lens")) / "store"


def open_store() -> Store:
    """Open the usual store; where its disk refuses, a temporary one that lasts as long as the machine keeps it."""
    folder = usual_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="rvq-lens-store-"))
        logger.warning("results are kept in %s for now: %s", folder, error)
    store = Store(folder)
    store.tidy()
    return store


def key_of(parts: Mapping[str, Any]) -> str:
    """Key of a result from all that it depends on (values that JSON can tell), and the program that makes it."""
    told = {"schema": SCHEMA, "rvq_lens": rvq_core.__version__, "program": program(), **parts}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@cache
def program() -> str:
    """sha256 over the source of rvq_core: a checkout that was changed has the version of the one before."""
    root = Path(rvq_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def _mark(folder: Path) -> tuple[int, int] | None:
    """What tells an entry from one that takes its place; None where there is none."""
    try:
        label = (folder / LABEL).stat()
    except OSError:
        return None
    return label.st_ino, label.st_ctime_ns


def _check(folder: Path) -> None:
    """Raise ValueError unless the entry holds the files that were written, byte for byte."""
    label = json.loads((folder / LABEL).read_text(encoding="utf-8"))
    if label["schema"] != SCHEMA or (label["kind"], label["key"]) != (folder.parent.name, folder.name):
        raise ValueError("another result lies in its place")
    found = _sums(folder)
    found.pop(LABEL, None)
    if found != label["files"]:
        raise ValueError("its files are not those that were written")


def _touch(label: Path) -> None:
    """Note the use; a folder that may not be written to any more is still good to read."""
    try:
        os.utime(label)
    except OSError as error:
        logger.debug("the use of a result is not noted: %s", error)


def _own_prefix() -> str:
    """Names of temporary folders tell whose they are."""
    return f".{socket.gethostname()}.{os.getpid()}."


def _is_abandoned(temporary: Path) -> bool:
    """Whether the process that wrote there is gone; of other machines that cannot be asked: after a day."""
    owner, _, rest = temporary.name.removeprefix(f".{socket.gethostname()}.").partition(".")
    if temporary.name.startswith(f".{socket.gethostname()}.") and rest and owner.isdigit():
        return int(owner) != os.getpid() and not _is_alive(int(owner))
    try:
        return time.time() - temporary.stat().st_mtime > ABANDONED_SECONDS
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # signal 0 would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
