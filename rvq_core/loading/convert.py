"""Any checkpoint of the convolutional family as a native one."""

from __future__ import annotations

from pathlib import Path

from rvq_core.autoencoder import RVQVAE
from rvq_core.errors import CheckpointError
from rvq_core.loading import Checkpoint, load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native


def convert(checkpoint: Checkpoint, out: Path) -> None:
    """Write ``checkpoint`` as a native ``.safetensors``: the same tokens, its codebooks as they act.

    Notes, origin and sha256 of the source are kept under ``training.converted``. Raises CheckpointError where the file
    holds no model of the convolutional family, or ``out`` is not a new ``.safetensors`` name, nor what became of the
    same source earlier.
    """
    if out.suffix != ".safetensors":
        raise CheckpointError(
            str(out), expected="a name that ends in .safetensors", found=f"'{out.suffix}'", do="rename it"
        )
    if out.exists() and out.samefile(checkpoint.path):
        raise CheckpointError(str(out), expected="a new file", found="the checkpoint itself", do="choose another name")
    if out.exists() and not _is_made_of(checkpoint, out):
        raise CheckpointError(
            str(out), expected="a new file, or this checkpoint as it was converted before", found="another file",
            do="choose another name, or move that file away",
        )  # fmt: skip
    if not isinstance(checkpoint.model, RVQVAE) or checkpoint.config is None:
        raise CheckpointError(
            str(checkpoint.path), expected="a model of the convolutional family, which the native format holds",
            found="codebooks only" if checkpoint.model is None else f"a model of {checkpoint.format}",
            do="analyse the file as it is: it opens in every command",
        )  # fmt: skip
    origin = {"format": checkpoint.format, "sha256": checkpoint.sha256, "notes": checkpoint.notes}
    training = checkpoint.training | ({} if checkpoint.format == "rvq-lens" else {"converted": origin})
    header = NativeHeader(checkpoint.config, checkpoint.representation, checkpoint.fps, training)
    save_native(out, checkpoint.model, checkpoint.normalizer, header)


def _is_made_of(checkpoint: Checkpoint, out: Path) -> bool:
    try:
        origin = load_checkpoint(out).training.get("converted")
    except CheckpointError:
        return False
    return isinstance(origin, dict) and origin.get("sha256") == checkpoint.sha256
