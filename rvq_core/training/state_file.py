"""The state of a run between two steps, as one file from which it goes on exactly: safetensors, no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.files import written_whole
from rvq_core.loading.read import read_file

SCHEMA = 1
_ENTRY = "rvq-lens-state"


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Tensors by name, and plain values that JSON keeps exactly."""

    tensors: dict[str, Tensor]
    told: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())


def write_state(path: Path, state: State) -> None:
    """Write a state; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    told = json.dumps({"schema": SCHEMA} | state.told, allow_nan=False)
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={_ENTRY: told})


def read_state(path: Path) -> State:
    """What ``write_state`` wrote, tensors on the CPU. Raises CheckpointError."""
    raw = read_file(path)
    try:
        told = json.loads(raw.metadata[_ENTRY])
        schema = told["schema"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _unreadable(path, "the state of a run", f"another file ({error})") from error
    if schema != SCHEMA:
        raise _unreadable(path, f"schema {SCHEMA}", repr(schema))
    return State(dict(raw.content), told)


def take(tensors: dict[str, Tensor], name: str, like: Tensor, path: Path) -> Tensor:
    """Remove a tensor of the shape and type of ``like`` from those of a state. Raises CheckpointError."""
    found = tensors.pop(name, None)
    if found is None or found.shape != like.shape or found.dtype != like.dtype:
        shown = "none" if found is None else f"{tuple(found.shape)} {found.dtype}"
        raise _unreadable(path, f"a tensor '{name}' {tuple(like.shape)} {like.dtype}", shown)
    return found


def _unreadable(path: Path, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        str(path), expected=expected, found=found, do="go on with the version that wrote it, or choose another --out"
    )
