"""The folder of a run: its settings, checkpoint, history, snapshots, and the state from which it goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rvq_core.errors import SettingsError
from rvq_core.files import written_whole
from rvq_core.training.curves import curves
from rvq_core.training.settings import TrainSettings
from rvq_core.training.state_file import State, read_state, write_state

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings.json"
HISTORY = "history.parquet"
STATE = "training.state"
SNAPSHOTS = "snapshots"


class RunFolder:
    """The files of a run in ``path``. Each is written whole, the state last: what it tells of is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.history = path / HISTORY
        self.state = path / STATE

    def begin(self, settings: TrainSettings, clips: str) -> State | None:
        """Make the folder, or find the state of the run that was stopped in it; ``clips`` is their fingerprint.

        Raises SettingsError for a folder of other files, and for a run of other settings or clips.
        """
        if self.state.is_file():
            state = read_state(self.state)
            self._refuse_another(state, settings, clips)
            self._remove_unfinished()
            return state
        self._refuse_other_files()
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_unfinished()
        with written_whole(self.path / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", encoding="utf-8")
        return None

    def write_state(self, state: State, settings: TrainSettings, clips: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write from where the run goes on."""
        told = {"settings": settings.to_dict(), "clips": clips, "history": list(rows)}
        write_state(self.state, State(state.tensors, state.told | told))

    def write_history(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the history as a tidy table: iteration, series, layer, value."""
        with written_whole(self.history) as temporary:
            curves({"history": list(rows)}).to_parquet(temporary, index=False)

    def add_snapshot(self, iteration: int, kept: int) -> None:
        """Keep the checkpoint as it is now under its iteration, and the newest ``kept`` snapshots."""
        with written_whole(self.path / SNAPSHOTS / f"{iteration:09}.safetensors") as temporary:
            shutil.copyfile(self.checkpoint, temporary)
        for older in self.snapshots()[:-kept]:
            older.unlink()

    def snapshots(self) -> list[Path]:
        """Snapshots in the order of their iterations."""
        return sorted((self.path / SNAPSHOTS).glob("[0-9]*.safetensors"))

    def _refuse_another(self, state: State, settings: TrainSettings, clips: str) -> None:
        where = str(self.state)
        earlier = TrainSettings().changed(state.told["settings"], where)
        do = "give the same as before, or choose another --out"
        for kind, one, other in (("training", earlier, settings), ("model config", earlier.model, settings.model)):
            for field in dataclasses.fields(one):
                before, now = getattr(one, field.name), getattr(other, field.name)
                if field.name != "model" and before != now:
                    raise SettingsError(f"{where}: {kind}: {field.name}", expected=repr(before), found=repr(now), do=do)
        if state.told["clips"] != clips:
            raise SettingsError(
                f"{where}: clips",
                expected="the clips that the run began with",
                found="others, or others in them",
                do=do,
            )

    def _refuse_other_files(self) -> None:
        if self.checkpoint.exists():
            raise SettingsError(
                str(self.path), expected="a new folder, or a run that can go on",
                found=f"a {CHECKPOINT} without its {STATE}", do="choose another --out, or move that run away",
            )  # fmt: skip
        if not self.path.exists():
            return
        if not self.path.is_dir() or (any(self.path.iterdir()) and not (self.path / SETTINGS).is_file()):
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
