"""Reader of ``.pt`` files: a tensor of features, joints, latents or indices of codes (see ``arrays``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rvq_core.clips.arrays import clips_of_array
from rvq_core.clips.checks import shown
from rvq_core.clips.clip import Clip
from rvq_core.errors import CheckpointError, ClipError

if TYPE_CHECKING:
    from torch import Tensor

KEYS = ("features", "motion", "data", "joints", "latents", "latent", "indices", "tokens", "codes")
"""Names under which a dictionary may hold the one tensor that is meant, where it holds several; the first counts."""


def read_pt(
    path: Path,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - every reader is called alike
) -> Clip | list[Clip]:
    """Read a tensor that torch.save wrote, alone or in a dictionary, as ``clips_of_array`` takes it.

    Read like a checkpoint: by torch's restricted unpickler, and nothing in the file runs.
    """
    key, tensor = _plain_tensor(path)
    array = tensor.detach().resolve_conj().resolve_neg()
    if array.is_floating_point():
        array = array.double()  # bfloat16 is unknown to numpy
    return clips_of_array(array.numpy(), path, shown(path, key), representation=representation, fps=fps)


def _plain_tensor(path: Path) -> tuple[str, Tensor]:
    """The name of the tensor that is meant, and the tensor: numbers in memory, no view that claims far more."""
    from rvq_core.loading.formats.base import refuse_odd_tensors
    from rvq_core.loading.read import read_object

    try:
        key, tensor = _tensor(path, read_object(path))
        refuse_odd_tensors(str(path), {key or "its tensor": tensor})
        return key, tensor
    except CheckpointError as error:
        # What is wrong with the file is the same; what was looked for is not a checkpoint.
        expected = "a tensor that torch.save wrote" if error.expected.startswith("a checkpoint") else error.expected
        raise ClipError(error.where, expected=expected, found=error.found, do="save tensors alone") from error


def _tensor(path: Path, content: object) -> tuple[str, Tensor]:
    from torch import Tensor

    if isinstance(content, Tensor):
        return "", content
    if isinstance(content, dict):
        named = cast(dict[object, object], content)
        tensors = {str(key): value for key, value in named.items() if isinstance(value, Tensor)}
        for key in [key for key in KEYS if key in tensors] or (list(tensors) if len(tensors) == 1 else []):
            return key, tensors[key]
        found = f"a dictionary with {len(tensors)} tensors" + (f" ({', '.join([*tensors][:4])} ...)" if tensors else "")
    else:
        found = f"an object of type {type(content).__name__}"
    raise ClipError(
        str(path),
        expected=f"a tensor, or a dictionary with one (or one named {', '.join(KEYS[:3])}, ...)",
        found=found,
        do="save the features [T, D] of the clip with torch.save; a checkpoint is no clip",
    )
