"""From what a file holds to the model's own state: the container opened, the prefixes taken off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.limits import TENSORS, refuse_beyond
from rvq_core.loading.read import RawFile

CONTAINERS = ("vq_model", "net", "state_dict", "model_state", "model", "model_state_dict")
"""Keys under which training scripts put a state dict; the first that holds tensors is taken."""

PREFIXES = ("module.", "_orig_mod.", "vqvae.", "vae.", "motion_vae.")
"""Names that wrap a motion VAE: DDP's, torch.compile's, T2M-GPT's, MotionGPT's. Keys beside it belong to others."""

LONGEST_KEY = 512
"""Characters of a state dict's key; a longer one, or one that cannot be printed, was written by no model."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Tensors by key, without container and prefixes; ``container`` and ``prefixes`` tell what was taken off."""

    raw: RawFile
    tensors: dict[str, Tensor]
    container: str = ""
    prefixes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.raw.path)


def unwrap(raw: RawFile) -> State:
    """Find the state dict of a file. Raises CheckpointError where it holds no tensors."""
    container, tensors = _open_container(raw)
    refuse_beyond(TENSORS, len(tensors), raw.path, CheckpointError)
    state = State(raw, tensors, container)
    while (prefix := _outer_prefix(state.tensors)) is not None:
        inner = {key.removeprefix(prefix): value for key, value in state.tensors.items() if key.startswith(prefix)}
        state = replace(state, tensors=inner, prefixes=(*state.prefixes, prefix))
    return state


def _open_container(raw: RawFile) -> tuple[str, dict[str, Tensor]]:
    # Containers first: training scripts also leave single tensors beside them, such as the last loss.
    for name in CONTAINERS:
        tensors = _tensors(raw.content.get(name))
        if tensors:
            return name, tensors
    own = _tensors(raw.content)
    if own:
        return "", own
    shown = ", ".join(repr(key)[:80] for key in list(raw.content)[:6] if _is_key(key)) or "nothing"
    raise CheckpointError(
        str(raw.path),
        expected="tensors, at the top or under one of " + ", ".join(CONTAINERS),
        found=shown,
        do="save the model's state_dict()",
    )


def _tensors(value: object) -> dict[str, Tensor]:
    if not isinstance(value, dict):
        return {}
    # dict's own method: a file may give an OrderedDict an attribute of that name.
    entries = dict.items(cast(dict[Any, Any], value))
    return {key: item.detach() for key, item in entries if _is_key(key) and isinstance(item, Tensor)}


def _is_key(key: object) -> bool:
    return isinstance(key, str) and len(key) <= LONGEST_KEY and key.isprintable()


def _outer_prefix(tensors: dict[str, Tensor]) -> str | None:
    """The prefix to take off next: one that wraps a quantizer."""
    for prefix in PREFIXES:
        if any(key.startswith(prefix) and ("quantizer" in key or "codebook" in key) for key in tensors):
            return prefix
    return None
