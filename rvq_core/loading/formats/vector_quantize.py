"""vector-quantize-pytorch: ``layers.{q}._codebook.embed`` [1, K, C] with ``cluster_size``, or a single ``_codebook``.

The encoder around it is the user's own, so the file opens as codebooks only: feed latents. ``project_in`` and
``project_out`` are inside the quantizer, which then takes and gives latents of the outer width.
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

_EMBED = re.compile(r"(?P<prefix>(?:.+?\.)??)(?:layers\.(?P<layer>\d+)\.)?_codebook\.embed")
_UNIT = 1e-4


class ProjectedResidualVQ(ResidualVQ):
    """Residual quantization in a space of its own: latents [B, outer, T] are projected in, and out again."""

    def __init__(self, num_quantizers: int, shared: bool, nb_code: int, code_dim: int, outer_dim: int) -> None:
        super().__init__(num_quantizers, shared, nb_code=nb_code, code_dim=code_dim)
        self.project_in = torch.nn.Linear(outer_dim, code_dim)
        self.project_out = torch.nn.Linear(code_dim, outer_dim)

    @property
    def latent_dim(self) -> int:
        """Channels outside the projections."""
        return self.project_in.in_features

    def to_code_space(self, x: Tensor) -> Tensor:
        """Latents [B, outer, T] projected in, [B, C, T]."""
        return self.project_in(x.transpose(1, 2)).transpose(1, 2)

    def from_code_space(self, quantized: Tensor) -> Tensor:
        """A sum of codes [B, C, T] projected out, [B, outer, T]."""
        return self.project_out(quantized.transpose(1, 2)).transpose(1, 2)


def _matches(state: State) -> bool:
    return any(_EMBED.fullmatch(key) for key in state.tensors)


def _build(state: State) -> Checkpoint:
    prefix = _quantizer_prefix(state)
    tensors = {key.removeprefix(prefix): value for key, value in state.tensors.items() if key.startswith(prefix)}
    embeds = _stacked(state, tensors, "embed")
    notes = ["opened as codebooks only: the encoder around the quantizer is the project's own; feed it latents"]
    quantizer = _quantizer(state, tensors, embeds)
    _load(quantizer, tensors, embeds, notes)
    if bool(((embeds.norm(dim=2) - 1).abs() < _UNIT).all()):
        notes.append("all codes have length 1: cosine codebooks, nearest by angle")
    quantizer.eval().requires_grad_(False)
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format="lucidrains", sha256=state.raw.sha256, quantizer=quantizer,
        notes=notes,
    )  # fmt: skip


def _quantizer_prefix(state: State) -> str:
    """What stands before ``layers`` or ``_codebook``; a file with several quantizers is refused."""
    prefixes = sorted({match["prefix"] for key in state.tensors if (match := _EMBED.fullmatch(key))})
    if len(prefixes) > 1:
        raise CheckpointError(
            state.where, expected="one quantizer", found="several: " + ", ".join(p.rstrip(".") for p in prefixes),
            do="save the state_dict() of one of them",
        )  # fmt: skip
    return prefixes[0]


def _layer_key(tensors: dict[str, Tensor], q: int, name: str) -> str:
    single = f"_codebook.{name}"
    return single if q == 0 and single in tensors else f"layers.{q}._codebook.{name}"


def _stacked(state: State, tensors: dict[str, Tensor], name: str) -> Tensor:
    """``name`` of every layer as [Q, K, C]."""
    numbers = sorted({int(m["layer"] or 0) for key in tensors if (m := _EMBED.fullmatch(key))})
    layers: list[Tensor] = []
    for q in range(len(numbers)):
        key = _layer_key(tensors, q, name)
        if key not in tensors:
            raise CheckpointError(f"{state.where}: {key}", expected="a codebook for every layer", found="none",
                                  do="the file is cut: copy or save it again")  # fmt: skip
        layers.append(_one_head(state, key, tensors[key]))
    if any(layer.shape != layers[0].shape for layer in layers):
        raise CheckpointError(
            state.where, expected="codebooks of one shape", found=", ".join(str(tuple(x.shape)) for x in layers),
            do="open layers of different sizes one by one",
        )  # fmt: skip
    return torch.stack(layers)


def _one_head(state: State, key: str, embed: Tensor) -> Tensor:
    if embed.dim() != 3 or embed.shape[0] != 1:
        raise CheckpointError(
            f"{state.where}: {key}", expected="shape (1, K, C): one codebook a layer", found=str(tuple(embed.shape)),
            do="separate codebooks per head are not supported",
        )  # fmt: skip
    return embed[0].float()


def _quantizer(state: State, tensors: dict[str, Tensor], embeds: Tensor) -> ResidualVQ:
    count, codes, dim = embeds.shape
    shared = count > 1 and bool((embeds == embeds[:1]).all())
    into, out = tensors.get("project_in.weight"), tensors.get("project_out.weight")
    if into is None and out is None:
        return ResidualVQ(count, shared, nb_code=codes, code_dim=dim)
    if into is None or out is None or into.shape[0] != dim or out.shape != into.shape[::-1]:
        raise CheckpointError(
            f"{state.where}: project_in.weight and project_out.weight", expected=f"({dim}, outer) and (outer, {dim})",
            found=", ".join("none" if x is None else str(tuple(x.shape)) for x in (into, out)),
            do="save the model again",
        )  # fmt: skip
    return ProjectedResidualVQ(count, shared, codes, dim, into.shape[1])


def _load(quantizer: ResidualVQ, tensors: dict[str, Tensor], embeds: Tensor, notes: list[str]) -> None:
    wanted: dict[str, Tensor] = {}
    counted = all(_layer_key(tensors, q, "cluster_size") in tensors for q in range(len(embeds)))
    for q, embed in enumerate(embeds):
        wanted[f"layers.{q}.codebook"] = embed
        if counted:
            wanted[f"layers.{q}.code_count"] = tensors[_layer_key(tensors, q, "cluster_size")].reshape(-1).float()
            # embed_avg is the EMA sum of the tokens on each code.
            sums = tensors.get(_layer_key(tensors, q, "embed_avg"))
            wanted[f"layers.{q}.code_sum"] = embed if sums is None else sums.reshape(embed.shape).float()
            wanted[f"layers.{q}.init"] = _initted(tensors, q)
    for name in ("project_in", "project_out"):
        for part in ("weight", "bias"):
            if f"{name}.{part}" in tensors:
                wanted[f"{name}.{part}"] = tensors[f"{name}.{part}"].float()
    missing = [key for key in quantizer.state_dict() if key.startswith("project") and key not in wanted]
    wanted |= {key: torch.zeros_like(quantizer.state_dict()[key]) for key in missing if key.endswith("bias")}
    quantizer.load_state_dict(wanted)
    if not counted:
        notes.append("EMA counts (cluster_size) are not in this checkpoint")


def _initted(tensors: dict[str, Tensor], q: int) -> Tensor:
    """``initted`` as a bool []: a float of shape (1,) in old versions, a scalar in new ones."""
    stored = tensors.get(_layer_key(tensors, q, "initted"))
    return torch.ones((), dtype=torch.bool) if stored is None else stored.reshape(-1)[0].bool()


FORMAT = Format("lucidrains", ("layers.0._codebook.embed",), _matches, _build)
