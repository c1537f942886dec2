"""The folder of a run: its settings, checkpoint, history, snapshots, and the state from which it goes on."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rvq_core.errors import SettingsError
from rvq_core.files import written_whole
from rvq_core.training.curves import curves
from rvq_core.training.settings import TrainSettings
from rvq_core.training.snapshots import SNAPSHOTS, keep_newest, snapshot_path
from rvq_core.training.state_file import State, read_state, write_state

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings.json"
HISTORY = "history.parquet"
STATE = "training.state"
LOCK = ".training.lock"
"""Held by the process that trains; the system frees it with the process, whatever ended that."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What a disk answers that has no locks, as some that machines share: there nobody is kept out."""


class RunFolder:
    """The files of a run in ``path``. Each is written whole, the state last: what it tells of is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.history = path / HISTORY
        self.state = path / STATE
        self._lock = FileLock(path / LOCK)

    def begin(self, settings: TrainSettings, beside: Mapping[str, object]) -> State | None:
        """Make the folder, or find the state of the run that was stopped in it.

        No other process may do so until ``close``. ``beside`` the settings these plain values must be those of then.
        Raises SettingsError for a folder of other files, for another run, and where another process trains in it.
        """
        if not self.state.is_file():
            self._refuse_other_files()
            self.path.mkdir(parents=True, exist_ok=True)
        self._take()
        if self.state.is_file():
            state = read_state(self.state)
            self._refuse_another(state, settings, beside)
            self._remove_unfinished()
            return state
        self._remove_unfinished()
        with written_whole(self.path / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", encoding="utf-8")
        return None

    def close(self) -> None:
        """Let other processes train in the folder."""
        self._lock.release()

    def write_state(
        self, state: State, settings: TrainSettings, beside: Mapping[str, object], rows: Sequence[dict[str, Any]]
    ) -> None:
        """Write from where the run goes on."""
        told = {"settings": settings.to_dict(), "beside": dict(beside), "history": list(rows)}
        write_state(self.state, State(state.tensors, state.told | told))

    def write_history(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the history as a tidy table: iteration, series, layer, value."""
        with written_whole(self.history) as temporary:
            curves({"history": list(rows)}).to_parquet(temporary, index=False)

    def add_snapshot(self, iteration: int, kept: int) -> None:
        """Keep the checkpoint as it is now under its iteration, and the newest ``kept`` snapshots."""
        with written_whole(snapshot_path(self.path / SNAPSHOTS, iteration)) as temporary:
            shutil.copyfile(self.checkpoint, temporary)
        keep_newest(self.path / SNAPSHOTS, kept)

    @property
    def iterations(self) -> int | None:
        """How many steps the run is to take; None where its settings cannot be read."""
        try:
            return int(json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))["iterations"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _take(self) -> None:
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise SettingsError(
                str(self.path), expected="a run that no other process goes on with", found="one that does",
                do="wait until it is done, or choose another --out",
            ) from error  # fmt: skip
        except (OSError, NotImplementedError) as error:  # the second by filelock, for a system without locks
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise

    def _refuse_another(self, state: State, settings: TrainSettings, beside: Mapping[str, object]) -> None:
        earlier = TrainSettings().changed(state.told["settings"], str(self.state))
        now = _named(settings) | dict(beside)
        for name, value in (_named(earlier) | state.told["beside"]).items():
            if value != now[name]:
                raise SettingsError(
                    f"{self.state}: {name}", expected=repr(value), found=repr(now[name]),
                    do="give the same as before, or choose another --out",
                )  # fmt: skip

    def _refuse_other_files(self) -> None:
        if self.checkpoint.exists():
            raise SettingsError(
                str(self.path), expected="a new folder, or a run that can go on",
                found=f"a {CHECKPOINT} without its {STATE}", do="choose another --out, or move that run away",
            )  # fmt: skip
        if not self.path.exists():
            return
        if not self.path.is_dir() or (
            any(not file.name.startswith(".") for file in self.path.iterdir()) and not (self.path / SETTINGS).is_file()
        ):
            raise SettingsError(
                str(self.path), expected="an empty folder or an earlier run", found="other files",
                do="choose another --out",
            )  # fmt: skip

    def _remove_unfinished(self) -> None:
        """Remove what a killed process had begun to write."""
        for folder, names in ((self.path, (CHECKPOINT, SETTINGS, HISTORY, STATE)), (self.path / SNAPSHOTS, ("",))):
            for name in names:
                for file in folder.glob(f".{name}*.*"):
                    file.unlink()
            for file in folder.glob(".tmp??????"):  # as safetensors calls what it has not written whole
                file.unlink()


def run_folder_of(checkpoint: Path) -> RunFolder | None:
    """The run folder that a checkpoint, or a snapshot, lies in; None where it lies in none."""
    snapshot = checkpoint.parent.name == SNAPSHOTS
    folder = RunFolder(checkpoint.parent.parent if snapshot else checkpoint.parent)
    is_one = folder.history.is_file() and (snapshot or checkpoint.name == CHECKPOINT)
    return folder if is_one else None


def _named(settings: TrainSettings) -> dict[str, object]:
    """All settings, as errors name them."""
    of_model = {f"model config: {name}": value for name, value in settings.model.to_dict().items()}
    return {f"training: {name}": value for name, value in settings.without_model().items()} | of_model
