"""Several checkpoints, each of a part of the body, as one set."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rvq_core.clips.representations import PART_JOINTS, guess_representation
from rvq_core.counted import counted
from rvq_core.errors import CheckpointError, some_of
from rvq_core.loading import Checkpoint, load_checkpoint
from rvq_core.loading.read import FOLDER_FILES, weights_in, weights_inside

PARTS: Mapping[str, str] = {
    "upper": "smplx_rot6d_upper",
    "hands": "smplx_rot6d_hands",
    "lower": "smplx_rot6d_lower",
}
"""Parts in the order that tables list them, and the representation that a checkpoint of each takes."""

_WORDS: Mapping[str, str] = {"upper": "upper", "hand": "hands", "hands": "hands", "lower": "lower"}
_NO_PART = {"trans", "face"}
"""What names say of models with columns beside a part's rotations, as in ``net_300000_lower_trans.pth``."""


@dataclass(frozen=True, slots=True, eq=False)
class PartSet:
    """Checkpoints by part, in the order of ``PARTS``; ``notes`` tell what else was found and left aside.

    ``path`` is the folder that they were found in, or of the first of those that were named.
    """

    name: str
    path: Path
    parts: dict[str, Checkpoint]
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the parts' names and files."""
        told = " ".join(f"{part} {checkpoint.sha256}" for part, checkpoint in self.parts.items())
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def trained_on(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the clips that any part was trained on, and of those that any part held out."""
        told = [checkpoint.trained_on for checkpoint in self.parts.values()]
        return frozenset().union(*(train for train, _ in told)), frozenset().union(*(held for _, held in told))

    def held_out(self, clip: str) -> bool | None:
        """False where a part was trained on a clip of that name, True where none was, None where one does not tell."""
        known = {checkpoint.held_out(clip) for checkpoint in self.parts.values()}
        return False if False in known else None if None in known else True

    @property
    def depth(self) -> int:
        """The most quantizers that one of the parts has."""
        return max(checkpoint.quantizer.num_quantizers for checkpoint in self.parts.values())

    @property
    def joints(self) -> dict[str, tuple[int, ...]]:
        """Numbers of the SMPL-X joints of each part."""
        return {part: PART_JOINTS[PARTS[part]] for part in self.parts}


def checkpoint_files(folder: Path) -> list[Path]:
    """What may be the checkpoints of a set: weights files of a folder, or the folders in it that hold such a file.

    Empty where the folder is that of one checkpoint.
    """
    if any((folder / name).is_file() for name in FOLDER_FILES):
        return []
    return weights_in(folder) or sorted(path for path in folder.iterdir() if path.is_dir() and _holds_weights(path))


def parts_named(folder: Path) -> tuple[str, ...]:
    """Parts that the names in a folder tell of, where they tell of two or more, each once; nothing is opened.

    So a list of checkpoints can offer a folder as a set; what each file takes is known when it is opened.
    """
    words = [set(re.split(r"[^a-z0-9]+", path.stem.lower())) for path in checkpoint_files(folder)]
    named = [{_WORDS[word] for word in of if word in _WORDS} for of in words if not of & _NO_PART]
    times = Counter(next(iter(parts)) for parts in named if len(parts) == 1)
    once = len(times) > 1 and set(times.values()) == {1}
    return tuple(part for part in PARTS if part in times) if once else ()


def load_part_set(
    paths: str | Path | Iterable[str | Path],
    *,
    activation: str | None = None,
    norm: str | None = None,
    dilation_growth_rate: int | None = None,
) -> PartSet:
    """Open the checkpoints of a folder, or those that are named, and sort them by the part that each was trained on.

    ``activation``, ``norm`` and ``dilation_growth_rate`` override what the files say, as in ``load_checkpoint``.
    Raises CheckpointError where fewer than two are of a part, where two are of the same part, or where one that was
    named cannot be opened; in a folder such ones, and models of other motion, are left aside with a note.
    """
    named = not isinstance(paths, str | Path)
    given = [Path(path) for path in paths] if not isinstance(paths, str | Path) else checkpoint_files(Path(paths))
    where = ", ".join(map(str, given)) if named else str(paths)
    parts: dict[str, Checkpoint] = {}
    notes: list[str] = []
    unopened: list[CheckpointError] = []
    for path in given:
        try:
            checkpoint = load_checkpoint(
                path, activation=activation, norm=norm, dilation_growth_rate=dilation_growth_rate
            )
        except CheckpointError as error:
            if named:
                raise
            notes.append(f"left aside {path.name}: {error}")
            unopened.append(error)
            continue
        part = part_of(checkpoint)
        if part is None:
            notes.append(f"left aside {path.name}: no model of one body part ({_columns(checkpoint)})")
        elif part in parts:
            raise CheckpointError(
                where,
                expected=f"one checkpoint of the {part} body" if part != "hands" else "one checkpoint of the hands",
                found=f"{parts[part].path.name} and {checkpoint.path.name}",
                do="put one of each part into a folder of their own, or name the files",
            )
        else:
            parts[part] = checkpoint
    if len(parts) < 2:
        raise _no_set(where, parts, unopened, given)
    name = Path(paths).resolve().name if isinstance(paths, str | Path) else " + ".join(c.name for c in parts.values())
    folder = Path(paths) if isinstance(paths, str | Path) else given[0].parent
    return PartSet(name, folder, {part: parts[part] for part in PARTS if part in parts}, tuple(notes))


def part_of(checkpoint: Checkpoint) -> str | None:
    """The part that a checkpoint takes; None for a model of other motion, and for codebooks alone."""
    if checkpoint.config is None or checkpoint.model is None:
        return None
    kind = checkpoint.representation or guess_representation(checkpoint.config.input_dim).name
    return next((part for part, representation in PARTS.items() if representation == kind), None)


def _holds_weights(folder: Path) -> bool:
    known = any((folder / name).is_file() for name in FOLDER_FILES)
    return known or bool(weights_in(folder) or weights_inside(folder))


def _columns(checkpoint: Checkpoint) -> str:
    return "codebooks only" if checkpoint.config is None else f"{checkpoint.config.input_dim} columns"


def _no_set(
    where: str, parts: Mapping[str, Checkpoint], unopened: list[CheckpointError], given: list[Path]
) -> CheckpointError:
    what = "file" if unopened else "checkpoint"
    found = f"{counted(len(given), what)} ({some_of(path.name for path in given)})" if given else "none"
    if parts:
        found += f", of which only {next(iter(parts.values())).path.name} is of one body part"
    if unopened:
        found += f", of which {len(unopened)} cannot be opened ({unopened[0]})"
    return CheckpointError(
        where,
        expected="one checkpoint, or one for each of two or more body parts",
        found=found,
        do="name one of them" if len(given) > 1 else "name the checkpoints of the other parts too",
    )
