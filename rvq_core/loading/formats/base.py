"""What a checkpoint format is: an id, how to know it, how to build from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from rvq_core.errors import CheckpointError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

LARGEST_STACK = 1024
"""Quantizers in one file; a number that a file declares must not build modules without end."""

COSINE = "all codes have length 1: cosine codebooks, nearest by angle"
"""Told of checkpoints that use them. Of codes of one length the nearest is also that of the smallest angle."""

_LARGEST_CLAIM = 16
"""How many times the stored numbers the tensors of a file may hold: a shared codebook stands there once a layer."""

_OPTIONAL = (".code_sum", ".code_count", ".init", ".num_batches_tracked")


@dataclass(frozen=True, slots=True)
class Format:
    """One checkpoint format.

    ``matches`` looks at keys, shapes and metadata, never at the file's name; ``build`` raises CheckpointError naming
    the key that is missing or has the wrong shape. ``required`` tells a user what a file of this format must hold.
    """

    id: str
    required: tuple[str, ...]
    matches: Callable[[State], bool]
    build: Callable[[State], Checkpoint]


Model = TypeVar("Model", bound=nn.Module)


def build_model(where: str, make: Callable[[], Model], state: Mapping[str, Tensor]) -> Model:
    """The model that ``make`` lays out, with the tensors of ``state`` as its weights, in eval mode, without gradients.

    It is laid out without memory first, so that a config of absurd sizes meets its check, and no random number is
    drawn; then it takes the tensors themselves, so that they stand in memory once. Raises CheckpointError.
    """
    try:
        with torch.device("meta"):
            model = make()
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{where}: config", expected="sizes of a model", found=str(error).splitlines()[0], do="write it again"
        ) from error
    _check_state(where, model, state)
    exact = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    model.load_state_dict(exact, assign=True)
    return model.eval().requires_grad_(False)


def _check_state(where: str, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first key that is missing, unknown or of the wrong shape."""
    wanted = model.state_dict()
    mismatch = "config and weights do not belong together, or the model is of a kind that is not known"
    for key, weight in wanted.items():
        shape = tuple(weight.shape)
        if key not in state and not key.endswith(_OPTIONAL):
            raise CheckpointError(
                f"{where}: {key}", expected=f"a tensor {shape}", found="none", do="the file is cut or of another model"
            )
        if key in state and (tuple(state[key].shape) != shape or _kind(state[key]) != _kind(weight)):
            raise CheckpointError(
                f"{where}: {key}", expected=f"{_kind(weight)} of shape {shape}",
                found=f"{state[key].dtype} of shape {tuple(state[key].shape)}", do=mismatch,
            )  # fmt: skip
    unknown = sorted(set(state) - set(wanted))
    if unknown:
        raise CheckpointError(
            f"{where}: {unknown[0]}", expected="only keys of the model", found="an unknown key", do=mismatch
        )


def _kind(tensor: Tensor) -> str:
    """What a tensor's numbers are, whatever their precision."""
    if tensor.is_floating_point():
        return "floats"
    return "complex numbers" if tensor.is_complex() else "flags" if tensor.dtype == torch.bool else "integers"


def checked_codebooks(where: str, codebooks: Mapping[str, Tensor]) -> list[Tensor]:
    """Codebooks [K, C] of one shape as float32, in the order given. Raises CheckpointError naming an odd key."""
    if len(codebooks) > LARGEST_STACK:
        raise CheckpointError(
            where, expected=f"at most {LARGEST_STACK} codebooks", found=str(len(codebooks)), do="save the model again"
        )
    first = next(iter(codebooks.values())).shape
    for key, codebook in codebooks.items():
        if codebook.dim() != 2 or not codebook.numel() or not codebook.is_floating_point():
            raise CheckpointError(
                f"{where}: {key}", expected="a codebook [K, C] of floats",
                found=f"{codebook.dtype} of shape {tuple(codebook.shape)}", do="save the model again",
            )  # fmt: skip
        if codebook.shape != first:
            raise CheckpointError(
                f"{where}: {key}", expected=f"shape {tuple(first)}, as the first codebook",
                found=str(tuple(codebook.shape)), do="save codebooks of different sizes as files of their own",
            )  # fmt: skip
    return [codebook.float() for codebook in codebooks.values()]


def refuse_gap(where: str, layers: list[int], key: str) -> None:
    """Raise CheckpointError where ``layers``, in order, are not 0, 1, 2...; ``key`` holds ``{}`` for the number."""
    if layers == list(range(len(layers))):
        return
    missing = next(layer for layer in range(len(layers)) if layer not in layers)
    raise CheckpointError(
        f"{where}: {key.format(missing)}",
        expected="a codebook for every layer",
        found=f"layers {', '.join(map(str, layers[:20]))}",
        do="the file is cut: copy or save it again",
    )


def all_equal(codebooks: list[Tensor]) -> bool:
    """Whether several layers hold one shared codebook: it is written once a layer."""
    return len(codebooks) > 1 and all(torch.equal(codebook, codebooks[0]) for codebook in codebooks[1:])


def codebook_notes(quantizer: ResidualVQ) -> list[str]:
    """What the codebooks alone tell: one shared, EMA counts missing, never trained."""
    layers = quantizer.ema_layers()
    notes: list[str] = []
    if quantizer.shared_codebook:
        notes.append("all layers hold the same codebook: shared_codebook = True")
    if not layers[0].ema_known:
        notes.append("EMA counts are not in this checkpoint: dead codes cannot be seen in the file alone")
    blank = [q for q, layer in enumerate(layers, start=1) if not bool(layer.codebook.any())]
    if blank:
        notes.append(f"codebook all zero in layer {', '.join(map(str, blank))}: never trained")
    return notes


def refuse_odd_tensors(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor that is no plain array of numbers in memory.

    Sparse, quantized, nested and meta tensors are refused, and views that claim far more numbers than are stored.
    """
    claimed, stored = 0, dict[int, int]()
    for key, tensor in tensors.items():
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
        if not plain or tensor.device.type != "cpu":
            raise CheckpointError(
                f"{where}: {key}", expected="a plain tensor",
                found=f"{tensor.dtype}, {tensor.layout}, on {tensor.device}", do="save the model's own state_dict()",
            )  # fmt: skip
        storage = tensor.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        claimed += tensor.numel() * tensor.element_size()
        if claimed > _LARGEST_CLAIM * sum(stored.values()) + (64 << 20):
            raise CheckpointError(
                f"{where}: {key}", expected=f"at most {_LARGEST_CLAIM} times the numbers that are stored",
                found=f"shape {tuple(tensor.shape)} on {storage.nbytes()} bytes",
                do="do not trust this file: no training script writes such tensors",
            )  # fmt: skip


def refuse_non_finite(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor that holds NaN or infinity."""
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() and not tensor.is_complex():
            continue
        values = _comparable(f"{where}: {key}", tensor)
        if bool(torch.isfinite(values.sum())):  # one quick pass; a sum that overflows is looked at number by number
            continue
        finite = torch.isfinite(values)
        if not bool(finite.all()):
            bad = int((~finite).sum())
            raise CheckpointError(
                f"{where}: {key}",
                expected="finite weights",
                found=f"{bad} of {tensor.numel()} values are NaN or infinite",
                do="take an earlier checkpoint: this training had diverged",
            )


def _comparable(where: str, tensor: Tensor) -> Tensor:
    """As the model takes it: float64 may overflow in float32; float8 cannot be asked, and float4 not be converted."""
    if tensor.itemsize > 1 and tensor.dtype != torch.float64:
        return tensor
    try:
        return tensor.float()
    except (RuntimeError, NotImplementedError) as error:
        raise CheckpointError(
            where, expected="numbers that torch computes with", found=str(tensor.dtype), do="save the model in float32"
        ) from error
