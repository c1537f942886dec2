"""Opening a checkpoint: read the file, find its format, build the model; then apply what the user overrides."""

from __future__ import annotations

import dataclasses
import re
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.autoencoder import RVQVAE
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading.checkpoint import Checkpoint, Normalizer, refuse_negative
from rvq_core.loading.formats import FORMATS
from rvq_core.loading.formats.base import build_model, refuse_non_finite, refuse_odd_tensors
from rvq_core.loading.read import read_file
from rvq_core.loading.unwrap import State, unwrap

__all__ = ["Checkpoint", "Normalizer", "load_checkpoint"]

_LOOKUP_FREE = re.compile(r"\b(_levels|_basis|implicit_codebook)\b")
"""Keys of finite scalar and lookup-free quantizers (FSQ, LFQ): levels and grids, no codebook."""

_OF_A_MODEL = re.compile(r"\b(encoder|quantizer|project_in)\b|(^|\s)mask(\s|$)")
"""Keys of encoders, and of quantizers on their own: LFQ's whole state may be its mask."""

Values = str | PathLike[str] | NDArray[Any] | Tensor


def load_checkpoint(
    path: str | PathLike[str],
    *,
    activation: str | None = None,
    norm: str | None = None,
    dilation_growth_rate: int | None = None,
    mean: Values | None = None,
    std: Values | None = None,
) -> Checkpoint:
    """Open a checkpoint file, in eval mode on the CPU.

    ``activation``, ``norm`` and ``dilation_growth_rate`` override what the file says or what is assumed; ``mean`` and
    ``std`` (a ``.npy`` path or values [D]) replace its normalizer. Raises CheckpointError.
    """
    state = unwrap(read_file(Path(path)))
    refuse_odd_tensors(state.where, state.tensors)
    refuse_non_finite(state.where, state.tensors)
    checkpoint = _build(state)
    overrides = {"activation": activation, "norm": norm, "dilation_growth_rate": dilation_growth_rate}
    checkpoint = _override_config(checkpoint, {key: value for key, value in overrides.items() if value is not None})
    return _override_normalizer(checkpoint, mean, std)


def _build(state: State) -> Checkpoint:
    for known in FORMATS:
        if known.matches(state):
            return known.build(state)
    if _is_lookup_free(" ".join(state.tensors)):
        raise CheckpointError(
            state.where, expected="a learned codebook (such as quantizer.layers.0.codebook or quantizer.codebook)",
            found="a model without one, as FSQ and LFQ quantizers are",
            do="there is nothing to look at where codes are a fixed grid; else save the whole state_dict()",
        )  # fmt: skip
    nearest = min(FORMATS, key=lambda known: sum(key not in state.tensors for key in known.required))
    missing = [key for key in nearest.required if key not in state.tensors]
    raise CheckpointError(
        state.where,
        expected="a checkpoint of a known format (" + ", ".join(known.id for known in FORMATS) + ")",
        found=f"{len(state.tensors)} tensors such as {next(iter(state.tensors))}",
        do=f"the nearest format is {nearest.id}, which also needs {', '.join(missing)}",
    )


def _is_lookup_free(keys: str) -> bool:
    """Whether a state dict holds a model, or a quantizer, without a learned codebook."""
    if _LOOKUP_FREE.search(keys):
        return True
    return "codebook" not in keys and "embed" not in keys and _OF_A_MODEL.search(keys) is not None


def _override_config(checkpoint: Checkpoint, overrides: dict[str, Any]) -> Checkpoint:
    if not overrides:
        return checkpoint
    if not isinstance(checkpoint.model, RVQVAE) or checkpoint.config is None:
        raise CheckpointError(
            str(checkpoint.path),
            expected="a model of the convolutional family",
            found="codebooks only" if checkpoint.model is None else checkpoint.format,
            do="leave " + ", ".join(overrides) + " out",
        )
    config = dataclasses.replace(checkpoint.config, **overrides)
    where = f"{checkpoint.path}: with " + ", ".join(f"{name} = {value}" for name, value in overrides.items())
    model = build_model(where, lambda: RVQVAE(config), checkpoint.model.state_dict())
    # Nothing given here concerns the quantizer, and it knows more than its tensors: whether the file held EMA state.
    model.quantizer = checkpoint.quantizer
    assumed = tuple(f"{name} = " for name in overrides)
    notes = [note for note in checkpoint.notes if not note.startswith(assumed)]
    notes += [f"{name} = {value}, given by the user" for name, value in overrides.items()]
    return dataclasses.replace(checkpoint, config=config, model=model, quantizer=model.quantizer, notes=notes)


def _override_normalizer(checkpoint: Checkpoint, mean: Values | None, std: Values | None) -> Checkpoint:
    if mean is None and std is None:
        return checkpoint
    if mean is None or std is None:
        raise SettingsError(
            "mean and std", expected="both", found="only one of them", do="give the other one too, or neither"
        )
    dim = None if checkpoint.config is None else checkpoint.config.input_dim
    normalizer = Normalizer(_read_values("mean", mean, dim), _read_values("std", std, dim))
    notes = [*checkpoint.notes, "normalizer given by the user"]
    return dataclasses.replace(checkpoint, normalizer=normalizer, notes=notes)


def _read_values(name: str, values: Values, dim: int | None) -> Tensor:
    """Values [D] float32 from a .npy path, an array or a tensor."""
    where = f"{name} {values}" if isinstance(values, str | PathLike) else name
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        array = _load_npy(Path(values)) if isinstance(values, str | PathLike) else np.asarray(values)
    except (OSError, ValueError, EOFError, MemoryError, BadZipFile) as error:
        raise CheckpointError(
            where, expected="a .npy file of numbers", found=str(error), do="check the path"
        ) from error
    if array.dtype.kind not in "fiu":
        raise CheckpointError(where, expected="numbers", found=str(array.dtype), do="give the file of this model")
    with np.errstate(over="ignore"):
        tensor = torch.tensor(array.astype(np.float32))
    if tensor.dim() != 1 or (dim is not None and tensor.shape[0] != dim):
        raise CheckpointError(
            where,
            expected=f"{dim or 'D'} values",
            found=f"shape {tuple(tensor.shape)}",
            do="give the file of this model",
        )
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(
            where, expected="finite float32 values", found="NaN or infinity", do="give the file of this model"
        )
    if name == "std":
        refuse_negative(where, tensor)
    return tensor


def _load_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        array: NDArray[Any] | np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
    if isinstance(array, np.lib.npyio.NpzFile):
        raise ValueError("an .npz archive")
    return array
