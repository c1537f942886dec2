"""The convolutional family: T2M-GPT, MoMask, SynTalker, GestureLSM, MotionGPT, MMM, LaMP, BAMM, DisCoRD.

They share encoder and decoder key by key; they differ in the container, a prefix, and how the quantizer is written.
Sizes come from shapes. Activation, dilation growth and the kind of norm cannot be seen in the weights: they come from
the options beside the file, else from the field's defaults, with a note.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rvq_core.autoencoder import ACTIVATIONS, RVQVAE, RVQVAEConfig
from rvq_core.clips import smplx
from rvq_core.clips.representations import guess_representation
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading.checkpoint import Checkpoint, Normalizer
from rvq_core.loading.formats.base import Format, build_model
from rvq_core.loading.sidecars import Options, find_normalizer, find_options
from rvq_core.loading.unwrap import State

_ENCODER = "encoder.model.0.weight"
_LAYER = re.compile(r"quantizer\.layers\.(\d+)\.codebook")
_SINGLE = ("quantizer.codebook", "quantizer.embedding.weight")
_PARTS = {6 * len(joints): joints for joints in (smplx.UPPER, smplx.HANDS, smplx.LOWER)}


def read_config(state: State, options: Options, notes: list[str]) -> RVQVAEConfig:
    """Sizes from shapes, the rest from options or defaults; what was assumed is added to ``notes``."""
    tensors = state.tensors
    first, last = _tensor(state, _ENCODER), _tensor(state, "decoder.model.0.weight")
    down_t = sum(1 for key in tensors if re.fullmatch(r"encoder\.model\.\d+\.0\.weight", key))
    blocks = {key.split(".")[5] for key in tensors if key.startswith("encoder.model.2.1.model.")}
    kernel = tensors["encoder.model.2.0.weight"].shape[2] if "encoder.model.2.0.weight" in tensors else 4
    codebooks = _codebooks(state)
    values = RVQVAEConfig(
        input_dim=first.shape[1],
        width=first.shape[0],
        code_dim=last.shape[1],
        nb_code=codebooks[0].shape[0],
        num_quantizers=len(codebooks),
        down_t=down_t,
        stride_t=kernel // 2,
        depth=max(1, len(blocks)),
        norm=_norm(tensors, options, notes),
        shared_codebook=_all_equal(codebooks),
    )
    return _with_options(state, values, options, notes)


def model_state(state: State, codebooks: list[Tensor]) -> dict[str, Tensor]:
    """The state dict of our model: encoder and decoder as they are, the codebooks as they act."""
    kept = {key: value for key, value in state.tensors.items() if key.startswith(("encoder.", "decoder."))}
    for q, codebook in enumerate(codebooks):
        kept[f"quantizer.layers.{q}.codebook"] = codebook
        for name in ("code_sum", "code_count", "init"):
            stored = state.tensors.get(f"quantizer.layers.{q}.{name}")
            if stored is not None and _has_all_ema(state, q):
                kept[f"quantizer.layers.{q}.{name}"] = stored
    return kept


def build(state: State, name: str) -> Checkpoint:
    """A checkpoint of the format ``name`` from a state of this family."""
    notes: list[str] = []
    options = find_options(state.raw.path)
    config = read_config(state, options, notes)
    tensors = model_state(state, _codebooks(state))
    model = build_model(state.where, lambda: RVQVAE(config), tensors)
    _note_codebooks(model, notes)
    normalizer = _normalizer(state, config, notes)
    kind = guess_representation(config.input_dim)
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format=name, sha256=state.raw.sha256, quantizer=model.quantizer,
        config=config, model=model, normalizer=normalizer, representation=None if kind.name == "raw" else kind.name,
        fps=kind.fps, notes=notes,
    )  # fmt: skip


def _codebooks(state: State) -> list[Tensor]:
    """Each layer's codebook [K, C] as it acts: GestureLSM's projection folded in."""
    tensors = state.tensors
    for key in _SINGLE:
        if key in tensors:
            return [tensors[key].float()]
    numbers = sorted(int(match[1]) for key in tensors if (match := _LAYER.fullmatch(key)))
    if not numbers or numbers != list(range(len(numbers))):
        missing = next(q for q in range(len(numbers) + 1) if q not in numbers)
        raise CheckpointError(
            f"{state.where}: quantizer.layers.{missing}.codebook", expected="a codebook for every layer",
            found=f"layers {', '.join(map(str, numbers)) or 'none'}", do="the file is cut: copy or save it again",
        )  # fmt: skip
    found = [_acting(tensors, f"quantizer.layers.{q}.") for q in numbers]
    for q, codebook in enumerate(found):
        if codebook.dim() != 2 or codebook.shape != found[0].shape:
            raise CheckpointError(
                f"{state.where}: quantizer.layers.{q}.codebook", expected=f"shape {tuple(found[0].shape)} as layer 0",
                found=str(tuple(codebook.shape)), do="save the model again",
            )  # fmt: skip
    return found


def _acting(tensors: dict[str, Tensor], prefix: str) -> Tensor:
    codebook = tensors[prefix + "codebook"].float()
    weight, bias = tensors.get(prefix + "embedding_proj.weight"), tensors.get(prefix + "embedding_proj.bias")
    if weight is None or bias is None:
        return codebook
    return torch.nn.functional.linear(codebook, weight.float(), bias.float())


def _has_all_ema(state: State, q: int) -> bool:
    return all(f"quantizer.layers.{q}.{name}" in state.tensors for name in ("code_sum", "code_count", "init"))


def _all_equal(codebooks: list[Tensor]) -> bool:
    return len(codebooks) > 1 and all(torch.equal(codebook, codebooks[0]) for codebook in codebooks[1:])


def _norm(tensors: dict[str, Tensor], options: Options, notes: list[str]) -> str | None:
    """The kind of norm: none without weights, BN with running means; LN and GN look alike."""
    keys = [key for key in tensors if ".norm1." in key]
    if not keys:
        return None
    if any(key.endswith("running_mean") for key in keys):
        return "BN"
    named = options.values.get("norm")
    if named in ("LN", "GN"):
        return str(named)
    notes.append("norm = LN assumed: the weights fit LN and GN alike, and no options beside the file tell")
    return "LN"


def _with_options(state: State, config: RVQVAEConfig, options: Options, notes: list[str]) -> RVQVAEConfig:
    """Settings that no shape tells, from the options beside the file or assumed."""
    known: dict[str, Any] = {
        key: value
        for key, value in options.values.items()
        if key in ("activation", "dilation_growth_rate", "mu", "quantize_dropout_prob") and value is not None
    }
    if options.source is not None and known:
        shown = ", ".join(f"{key} = {value}" for key, value in sorted(known.items()))
        notes.append(f"from {options.source.name}: {shown}")
    for key, why in (("activation", "/".join(ACTIVATIONS)), ("dilation_growth_rate", "any growth")):
        if key not in known:
            notes.append(f"{key} = {getattr(config, key)} assumed: the weights fit {why} alike, and no options tell")
    try:
        return replace(config, **known)
    except (SettingsError, TypeError) as error:
        raise CheckpointError(
            str(options.source or state.where), expected="options that this model can have", found=str(error),
            do="correct the file, or move it away and give the setting yourself",
        ) from error  # fmt: skip


def _note_codebooks(model: RVQVAE, notes: list[str]) -> None:
    layers = model.quantizer.ema_layers()
    if model.config.shared_codebook:
        notes.append("all layers hold the same codebook: shared_codebook = True")
    if not layers[0].ema_known:
        notes.append("EMA counts are not in this checkpoint: dead codes cannot be seen in the file alone")
    blank = [q for q, layer in enumerate(layers, start=1) if not bool(layer.codebook.any())]
    if blank:
        notes.append(f"codebook all zero in layer {', '.join(map(str, blank))}: never trained")


def _normalizer(state: State, config: RVQVAEConfig, notes: list[str]) -> Normalizer | None:
    joints = _PARTS.get(config.input_dim)
    columns = None if joints is None else torch.tensor([6 * joint + i for joint in joints for i in range(6)])
    found = find_normalizer(state.raw.path, config.input_dim, columns)
    if found is None:
        notes.append("no mean and std found beside the file: features are taken as normalised unless you give them")
        return None
    normalizer, folder = found
    notes.append(f"mean and std from the folder {folder.name}")
    return normalizer


def _tensor(state: State, key: str) -> Tensor:
    if key not in state.tensors:
        raise CheckpointError(f"{state.where}: {key}", expected="a tensor", found="none", do="the file is cut")
    return state.tensors[key]


def _is_family(state: State) -> bool:
    return _ENCODER in state.tensors


def _has_layers(state: State) -> bool:
    return _is_family(state) and any(_LAYER.fullmatch(key) for key in state.tensors)


def _has_projection(state: State) -> bool:
    return _has_layers(state) and any(".embedding_proj." in key for key in state.tensors)


def _is_single(state: State) -> bool:
    return _is_family(state) and any(key in state.tensors for key in _SINGLE)


def _format(name: str, required: tuple[str, ...], matches: Any) -> Format:
    return Format(name, required, matches, lambda state: build(state, name))


GESTURELSM = _format(
    "gesturelsm",
    (_ENCODER, "quantizer.layers.0.codebook", "quantizer.layers.0.embedding_proj.weight"),
    _has_projection,
)
SYNTALKER = _format(
    "syntalker",
    (_ENCODER, "quantizer.layers.0.codebook"),
    lambda state: _has_layers(state) and state.container == "net",
)
MOMASK = _format("momask", (_ENCODER, "quantizer.layers.0.codebook"), _has_layers)
MOTIONGPT = _format(
    "motiongpt",
    (_ENCODER, "quantizer.codebook"),
    lambda state: _is_single(state) and state.prefixes[-1:] in (("vae.",), ("motion_vae.",)),
)
T2M_GPT = _format("t2m-gpt", (_ENCODER, "quantizer.codebook"), _is_single)
