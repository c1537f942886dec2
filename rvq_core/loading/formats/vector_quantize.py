"""vector-quantize-pytorch: ``layers.{q}._codebook.embed`` [1, K, C] with ``cluster_size``, or a single ``_codebook``.

The encoder around it is the user's own, so the file opens as codebooks only: feed latents. ``project_in`` and
``project_out`` are inside the quantizer, which then takes and gives latents of the outer width.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.formats.base import (
    COSINE,
    Format,
    all_equal,
    build_model,
    checked_codebooks,
    codebook_notes,
    refuse_gap,
)
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

_EMBED = re.compile(r"(?P<prefix>(?:.+?\.)??)(?:layers\.(?P<layer>\d{1,6})\.)?_codebook\.embed")
_PROJECTIONS = ("project_in.weight", "project_in.bias", "project_out.weight", "project_out.bias")
_MOVED = ("_codebook.batch_mean", "_codebook.codebook_mean")
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
    _refuse_other_codes(state, tensors)
    keys = _layer_keys(state, tensors)
    codebooks = _codebooks(state, tensors, keys)
    notes = ["opened as codebooks only: the encoder around the quantizer is the project's own; feed it latents"]
    if all(_is_cosine(tensors[key + "embed"]) for key in keys):
        notes.append(COSINE)
        if tensors[keys[0] + "embed"].itemsize < 4:  # rounded to half precision they are a little off
            codebooks = [torch.nn.functional.normalize(codebook, dim=1) for codebook in codebooks]
    wanted = _ema_state(tensors, keys, codebooks) | _projections(tensors)
    quantizer = build_model(state.where, _layout(state, tensors, codebooks), wanted)
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format="lucidrains", sha256=state.raw.sha256, quantizer=quantizer,
        notes=notes + codebook_notes(quantizer),
    )  # fmt: skip


def _quantizer_prefix(state: State) -> str:
    """What stands before ``layers`` or ``_codebook``; a file with several quantizers is refused."""
    prefixes = sorted({match["prefix"] for key in state.tensors if (match := _EMBED.fullmatch(key))})
    if len(prefixes) > 1:
        raise CheckpointError(
            state.where, expected="one quantizer", found="several: " + ", ".join(p.rstrip(".") for p in prefixes[:6]),
            do="save the state_dict() of one of them",
        )  # fmt: skip
    return prefixes[0]


def _refuse_other_codes(state: State, tensors: dict[str, Tensor]) -> None:
    """Raise CheckpointError where codes are not what is stored: an MLP or statistics of the data move them."""
    for key in tensors:
        if key.startswith("mlps.") or key.endswith(_MOVED):
            raise CheckpointError(
                f"{state.where}: {key}", expected="codebooks that act as they are stored",
                found="implicit or affine ones", do="this option of vector-quantize-pytorch is not supported",
            )  # fmt: skip


def _layer_keys(state: State, tensors: dict[str, Tensor]) -> list[str]:
    """What stands before each layer's ``embed``, in order."""
    if "_codebook.embed" in tensors:
        return ["_codebook."]
    numbers = sorted(int(m["layer"]) for key in tensors if (m := _EMBED.fullmatch(key)))
    refuse_gap(state.where, numbers, "layers.{}._codebook.embed")
    return [f"layers.{q}._codebook." for q in numbers]


def _codebooks(state: State, tensors: dict[str, Tensor], keys: list[str]) -> list[Tensor]:
    """``embed`` of every layer, [K, C]."""
    for key in keys:
        shape = tuple(tensors[key + "embed"].shape)
        if len(shape) != 3 or shape[0] != 1:
            raise CheckpointError(
                f"{state.where}: {key}embed", expected="shape (1, K, C): one codebook a layer", found=str(shape),
                do="separate codebooks per head are not supported",
            )  # fmt: skip
    return checked_codebooks(state.where, {f"{key}embed": tensors[key + "embed"][0] for key in keys})


def _is_cosine(embed: Tensor) -> bool:
    """Whether all codes have length 1, as far as their precision tells."""
    lengths = embed.float().norm(dim=-1)
    return bool(((lengths - 1).abs() < max(_UNIT, torch.finfo(embed.dtype).eps)).all())


def _layout(state: State, tensors: dict[str, Tensor], codebooks: list[Tensor]) -> Callable[[], ResidualVQ]:
    """What makes the quantizer: with projections where the file has them."""
    count, shared, (codes, dim) = len(codebooks), all_equal(codebooks), codebooks[0].shape
    into, out = tensors.get("project_in.weight"), tensors.get("project_out.weight")
    if not any(key.startswith(("project_in.", "project_out.")) for key in tensors):
        return lambda: ResidualVQ(count, shared, nb_code=codes, code_dim=dim)
    if (
        into is None
        or out is None
        or into.dim() != 2
        or not into.numel()
        or into.shape[0] != dim
        or out.shape != into.shape[::-1]
    ):
        raise CheckpointError(
            f"{state.where}: project_in.weight and project_out.weight", expected=f"({dim}, outer) and (outer, {dim})",
            found=", ".join("none" if x is None else str(tuple(x.shape)) for x in (into, out)),
            do="save the model again; projections with norms or several heads are not supported",
        )  # fmt: skip
    outer = into.shape[1]
    return lambda: ProjectedResidualVQ(count, shared, codes, dim, outer)


def _ema_state(tensors: dict[str, Tensor], keys: list[str], codebooks: list[Tensor]) -> dict[str, Tensor]:
    """Codebooks by our keys, with the EMA state where every layer has it: ``cluster_size`` and ``embed_avg``."""
    wanted = {f"layers.{q}.codebook": codebook for q, codebook in enumerate(codebooks)}
    if not all(key + "cluster_size" in tensors for key in keys):
        return wanted
    for q, key in enumerate(keys):
        wanted[f"layers.{q}.code_count"] = tensors[key + "cluster_size"].squeeze(0)
        wanted[f"layers.{q}.code_sum"] = tensors.get(key + "embed_avg", codebooks[q]).squeeze(0)
        # A float of shape (1,) in old versions, a scalar in new ones.
        wanted[f"layers.{q}.init"] = tensors.get(key + "initted", torch.ones(())).bool().all()
    return wanted


def _projections(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases of the projections; a bias that the file lacks is zero."""
    found = {key: tensors[key] for key in _PROJECTIONS if key in tensors}
    for name in ("project_in", "project_out"):
        weight = found.get(f"{name}.weight")
        if weight is not None:
            found.setdefault(f"{name}.bias", torch.zeros(weight.shape[:1]))
    return found


FORMAT = Format("lucidrains", ("layers.0._codebook.embed",), _matches, _build)
