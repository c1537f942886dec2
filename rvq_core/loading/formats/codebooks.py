"""Codebooks only: any file with ``...layers.N.codebook``, whatever model stands around it, and MMM's separate halves.

Geometry can be shown; usage and reconstruction need an encoder, or latents from the user's own code.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.formats.base import Format
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

_LAYERS = re.compile(r"(?P<name>.*?)\.?layers\.(?P<layer>\d+)\.codebook")
_HALVES = re.compile(r"quantizer_(?P<name>upper|lower)\.codebook")


def _matches(state: State) -> bool:
    return any(_LAYERS.fullmatch(key) or _HALVES.fullmatch(key) for key in state.tensors)


def _build(state: State) -> Checkpoint:
    halves = {m["name"]: value.float() for key, value in state.tensors.items() if (m := _HALVES.fullmatch(key))}
    named = dict(sorted(halves.items(), reverse=True)) if halves else _layers(state)
    shapes = {tuple(codebook.shape) for codebook in named.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise CheckpointError(
            state.where, expected="codebooks [K, C] of one shape", found=", ".join(map(str, sorted(shapes))),
            do="open codebooks of different sizes one by one",
        )  # fmt: skip
    stack = torch.stack(list(named.values()))
    shared = not halves and len(stack) > 1 and bool((stack == stack[:1]).all())
    quantizer = ResidualVQ(len(stack), shared, nb_code=stack.shape[1], code_dim=stack.shape[2])
    quantizer.load_state_dict({f"layers.{q}.codebook": codebook for q, codebook in enumerate(stack)})
    quantizer.eval()
    notes = ["opened as codebooks only: no encoder of a known kind stands around them",
             "EMA counts are not in this checkpoint: dead codes cannot be seen in the file alone"]  # fmt: skip
    if halves:
        notes.append("separate codebooks, not residual layers: " + ", ".join(named))
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format="codebooks", sha256=state.raw.sha256, quantizer=quantizer,
        codebook_names=tuple(named), notes=notes,
    )  # fmt: skip


def _layers(state: State) -> dict[str, Tensor]:
    """Codebooks by name ('layer 1', or with the quantizer's name where there are several), in order."""
    found = {
        (m["name"], int(m["layer"])): value for key, value in state.tensors.items() if (m := _LAYERS.fullmatch(key))
    }
    several = len({name for name, _ in found}) > 1
    return {
        f"{name.rsplit('.', 1)[-1]} {layer + 1}" if several else f"layer {layer + 1}": value.float()
        for (name, layer), value in sorted(found.items())
    }


FORMAT = Format("codebooks", ("layers.0.codebook",), _matches, _build)
