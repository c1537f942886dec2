"""The project's own checkpoint: one ``.safetensors`` file, configuration and training summary in its header.

Tensors stand under ``encoder.* decoder.* quantizer.* normalizer.*``. The header's metadata has one entry,
``rvq-lens``: JSON with ``schema``, ``config``, ``representation``, ``fps`` and ``training``. A shared codebook is
written once, as layer 0. EMA buffers are left out where they are not known, so that reading tells the truth. The code
counts of the training corpora and the resets of each code, by far the longest parts of ``training``, are packed: base64
of the zlib-compressed JSON.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, cast

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.files import written_whole
from rvq_core.loading.checkpoint import Checkpoint, Normalizer, refuse_negative
from rvq_core.loading.formats.base import COSINE, Format, build_model
from rvq_core.loading.read import RawFile
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

SCHEMA = 1
_ENTRY = "rvq-lens"
_PACKED = ("code_counts", "code_resets")
_UNIT = 1e-4

MOST_COUNTS_BYTES = 64 << 20
"""Unpacked code counts beyond this are refused: 64 layers of 65,536 codes take less."""


@dataclass(frozen=True, slots=True)
class NativeHeader:
    """What the header of a native checkpoint tells beside the tensors."""

    config: RVQVAEConfig
    representation: str | None
    fps: float | None
    training: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())


def save_native(path: Path, model: RVQVAE, normalizer: Normalizer | None, header: NativeHeader) -> None:
    """Write a native checkpoint; the file appears whole or not at all."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if header.config.shared_codebook:
        later = tuple(f"quantizer.layers.{q}." for q in range(1, header.config.num_quantizers))
        tensors = {key: value for key, value in tensors.items() if not key.startswith(later)}
    if not all(layer.ema_known for layer in model.quantizer.ema_layers()):
        tensors = {
            key: value for key, value in tensors.items() if not key.endswith((".code_sum", ".code_count", ".init"))
        }
    if normalizer is not None:
        tensors |= {"normalizer.mean": normalizer.mean.contiguous(), "normalizer.std": normalizer.std.contiguous()}
    entry = {
        "schema": SCHEMA,
        "config": header.config.to_dict(),
        "representation": header.representation,
        "fps": header.fps,
        "training": _packed(header.training),
    }
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={_ENTRY: json.dumps(entry, allow_nan=False)})


def _matches(state: State) -> bool:
    return _ENTRY in state.raw.metadata


def _build(state: State) -> Checkpoint:
    raw = state.raw
    header = _read_header(raw)
    tensors = dict(state.tensors)
    normalizer = _take_normalizer(raw, tensors, header.config.input_dim)
    if header.config.shared_codebook:
        _repeat_shared_layer(tensors, header.config.num_quantizers)
    model = build_model(str(raw.path), lambda: RVQVAE(header.config), tensors)
    if header.config.cosine_codebooks:
        _refuse_other_lengths(raw, model.quantizer)
    return Checkpoint(
        path=raw.path,
        name=raw.name,
        format="rvq-lens",
        sha256=raw.sha256,
        quantizer=model.quantizer,
        config=header.config,
        model=model,
        normalizer=normalizer,
        representation=header.representation,
        fps=header.fps,
        training=header.training,
        notes=[COSINE] if header.config.cosine_codebooks else [],
    )


def _refuse_other_lengths(raw: RawFile, quantizer: ResidualVQ) -> None:
    """Raise CheckpointError where codes that have been trained are not of length 1, as cosine codebooks are."""
    for q, layer in enumerate(quantizer.ema_layers()):
        off = float((layer.codebook.norm(dim=1) - 1).abs().max())
        if bool(layer.init) and off > _UNIT:
            raise CheckpointError(
                f"{raw.path}: quantizer.layers.{q}.codebook", expected="codes of length 1 (cosine_codebooks)",
                found=f"one that is off by {off:.3g}", do="write the checkpoint again",
            )  # fmt: skip


def _read_header(raw: RawFile) -> NativeHeader:
    where = f"{raw.path}: metadata '{_ENTRY}'"
    try:
        entry = json.loads(raw.metadata[_ENTRY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            where, expected="JSON", found=f"unreadable text ({error})", do="write it again"
        ) from error
    if not isinstance(entry, dict) or cast(dict[str, Any], entry).get("schema") != SCHEMA:
        raise CheckpointError(
            where,
            expected=f"schema {SCHEMA}",
            found=repr(cast(dict[str, Any], entry).get("schema")) if isinstance(entry, dict) else "no object",
            do="open it with the rvq-lens version that wrote it",
        )
    values = cast(dict[str, Any], entry)
    try:
        config = RVQVAEConfig.from_dict(_field(where, values, "config", dict))
    except SettingsError as error:
        raise CheckpointError(
            f"{where}: {error.where}", expected=error.expected, found=error.found, do="write it again"
        ) from error
    representation = _field(where, values, "representation", str | None)
    training: dict[str, Any] = _field(where, values, "training", dict | None) or {}
    for name in ("train_clips", "held_out_clips"):
        _field(f"{where}: training", training, name, list | None)
    shape = (config.num_quantizers, config.nb_code)
    for name in _PACKED:
        counts = _field(f"{where}: training", training, name, str | dict | None)
        if counts is not None:
            training |= {name: _read_counts(f"{where}: training: {name}", counts, shape)}
    fps = _field(where, values, "fps", int | float | None)
    if fps is not None and not 0 < fps < math.inf:
        raise CheckpointError(f"{where}: fps", expected="a number above 0", found=repr(fps), do="write it again")
    return NativeHeader(config, representation, None if fps is None else float(fps), training)


def _packed(training: dict[str, Any]) -> dict[str, Any]:
    texts = {name: json.dumps(training[name], separators=(",", ":")) for name in _PACKED if name in training}
    return training | {name: base64.b64encode(zlib.compress(text.encode(), 9)).decode() for name, text in texts.items()}


def _read_counts(where: str, counts: str | dict[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Code counts by corpus, lists [Q, K]; as packed text, or as the lists that were written at first."""
    try:
        found: Any = json.loads(_inflate(counts)) if isinstance(counts, str) else counts
        fit = isinstance(found, dict) and all(
            (array := np.array(values)).shape == shape and array.dtype.kind == "i" and array.min() >= 0
            for values in cast(dict[str, Any], found).values()
        )
    except (zlib.error, ValueError, RecursionError) as error:
        raise CheckpointError(where, expected="packed JSON", found=str(error), do="write it again") from error
    if not fit:
        raise CheckpointError(
            where, expected=f"counts {list(shape)} by corpus", found=repr(found)[:80], do="write it again"
        )
    return found


def _inflate(text: str) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(base64.b64decode(text, validate=True), MOST_COUNTS_BYTES)
    if not inflater.eof:
        raise ValueError(f"more than {MOST_COUNTS_BYTES:,} bytes, or a part of them")
    return content


def _field(where: str, values: dict[str, Any], name: str, kind: type | UnionType) -> Any:
    """A value of the header, after a look at its type."""
    value = values.get(name)
    if not isinstance(value, kind):
        kinds = kind.__name__ if isinstance(kind, type) else str(kind)
        raise CheckpointError(f"{where}: {name}", expected=kinds, found=repr(value)[:80], do="write it again")
    return value


def _take_normalizer(raw: RawFile, state: dict[str, Tensor], dim: int) -> Normalizer | None:
    mean, std = state.pop("normalizer.mean", None), state.pop("normalizer.std", None)
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise CheckpointError(
            f"{raw.path}: normalizer.{'mean' if mean is None else 'std'}", expected=f"a tensor ({dim},)", found="none",
            do="write the checkpoint again with its own normalizer",
        )  # fmt: skip
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (dim,):
            raise CheckpointError(
                f"{raw.path}: normalizer.{name}", expected=f"shape ({dim},)", found=str(tuple(values.shape)),
                do="write the checkpoint again with its own normalizer",
            )  # fmt: skip
    refuse_negative(f"{raw.path}: normalizer.std", std)
    return Normalizer(mean.float(), std.float())


def _repeat_shared_layer(state: dict[str, Tensor], num_quantizers: int) -> None:
    first = "quantizer.layers.0."
    for key in [key for key in state if key.startswith(first)]:
        for q in range(1, num_quantizers):
            state[f"quantizer.layers.{q}.{key.removeprefix(first)}"] = state[key]


FORMAT = Format(
    id="rvq-lens",
    required=(f"metadata entry '{_ENTRY}'", "encoder.model.0.weight", "quantizer.layers.0.codebook"),
    matches=_matches,
    build=_build,
)
