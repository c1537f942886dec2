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

_OPTIONAL = (".code_sum", ".code_count", ".init")


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
    except (RuntimeError, TypeError, OverflowError) as error:
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


def refuse_non_finite(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor that holds NaN or infinity."""
    for key, tensor in tensors.items():
        # float8 can be read but not asked.
        values = tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise CheckpointError(
                f"{where}: {key}",
                expected="finite weights",
                found=f"{bad} of {tensor.numel()} values are NaN or infinite",
                do="take an earlier checkpoint: this training had diverged",
            )
