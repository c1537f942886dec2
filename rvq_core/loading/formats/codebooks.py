"""Codebooks only: ``...layers.N.codebook`` in whatever model, MMM's two halves, a lone ``quantizer.codebook``.

Geometry can be shown; usage and reconstruction need an encoder, or latents from the user's own code.
"""

from __future__ import annotations

import re

from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.formats.base import Format, all_equal, build_model, checked_codebooks, codebook_notes, refuse_gap
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

_LAYERS = re.compile(r"(?P<name>.*?)\.?layers\.(?P<layer>\d{1,6})\.codebook")
_HALVES = re.compile(r"quantizer_(?P<name>upper|lower)\.(?:codebook|embedding\.weight)")
_SINGLE = re.compile(r"(?:.+\.)?quantizer\.codebook")


def _matches(state: State) -> bool:
    return any(pattern.fullmatch(key) for key in state.tensors for pattern in (_LAYERS, _HALVES, _SINGLE))


def _build(state: State) -> Checkpoint:
    halves = {m["name"]: key for key in state.tensors if (m := _HALVES.fullmatch(key))}
    keys = dict(sorted(halves.items(), reverse=True)) or _layers(state) or _singles(state)
    codebooks = checked_codebooks(state.where, {key: state.tensors[key] for key in keys.values()})
    codes, dim = codebooks[0].shape
    shared = not halves and all_equal(codebooks)
    quantizer = build_model(
        state.where,
        lambda: ResidualVQ(len(codebooks), shared, nb_code=codes, code_dim=dim),
        {f"layers.{q}.codebook": codebook for q, codebook in enumerate(codebooks)},
    )
    notes = ["opened as codebooks only: no encoder of a known kind stands around them", *codebook_notes(quantizer)]
    if halves:
        notes.append("separate codebooks, not residual layers: " + ", ".join(keys))
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format="codebooks", sha256=state.raw.sha256, quantizer=quantizer,
        codebook_names=tuple(keys), notes=notes,
    )  # fmt: skip


def _layers(state: State) -> dict[str, str]:
    """Keys by name ('layer 1', or with the quantizer's name where there are several), in order."""
    found = {(m["name"], int(m["layer"])): key for key in state.tensors if (m := _LAYERS.fullmatch(key))}
    names = sorted({name for name, _ in found})
    for name in names:
        layers = sorted(layer for other, layer in found if other == name)
        refuse_gap(state.where, layers, f"{name}.layers.{{}}.codebook".removeprefix("."))
    return {
        f"{name.rsplit('.', 1)[-1]} {layer + 1}" if len(names) > 1 else f"layer {layer + 1}": key
        for (name, layer), key in sorted(found.items())
    }


def _singles(state: State) -> dict[str, str]:
    """Keys of single codebooks, T2M-GPT's way, by number."""
    found = [key for key in state.tensors if _SINGLE.fullmatch(key)]
    return {f"codebook {number}": key for number, key in enumerate(found, start=1)}


FORMAT = Format("codebooks", ("layers.0.codebook",), _matches, _build)
