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

from rvq_core.autoencoder import ACTIVATIONS, NORM_GROUPS, RVQVAE, RVQVAEConfig
from rvq_core.clips import smplx
from rvq_core.clips.representations import guess_representation
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading.checkpoint import Checkpoint, Normalizer
from rvq_core.loading.formats.base import Format, all_equal, build_model, checked_codebooks, codebook_notes, refuse_gap
from rvq_core.loading.sidecars import Options, find_normalizer, find_options
from rvq_core.loading.unwrap import State

_ENCODER = "encoder.model.0.weight"
_FAMILY_KEY = re.compile(
    r"(encoder|decoder)\.model\.\d+(\.[012])?(\.model\.\d+\.(conv|norm)[12])?"
    r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"
)
_LAYER = re.compile(r"quantizer\.layers\.(\d{1,6})\.codebook")
_PROJECTION = re.compile(r"quantizer\.layers\.\d+\.embedding_proj\.(weight|bias)")
_SINGLE = ("quantizer.codebook", "quantizer.embedding.weight")
_NEEDED = {"activation": "/".join(ACTIVATIONS), "dilation_growth_rate": "any growth"}
"""Settings without which the model computes something else, and what their weights fit."""

_PARTS = {6 * len(joints): joints for joints in (smplx.UPPER, smplx.HANDS, smplx.LOWER)}


def read_config(state: State, codebooks: list[Tensor], options: Options, notes: list[str]) -> RVQVAEConfig:
    """Sizes from shapes, the rest from options or defaults; what was assumed is added to ``notes``."""
    tensors = state.tensors
    width, input_dim, _ = tensors[_ENCODER].shape
    down_t = sum(1 for key in tensors if re.fullmatch(r"encoder\.model\.\d+\.0\.weight", key))
    blocks = {key.split(".")[5] for key in tensors if key.startswith("encoder.model.2.1.model.")}
    halving = tensors.get("encoder.model.2.0.weight")
    try:
        config = RVQVAEConfig(
            input_dim=input_dim,
            width=width,
            code_dim=codebooks[0].shape[1],
            nb_code=codebooks[0].shape[0],
            num_quantizers=len(codebooks),
            down_t=down_t,
            stride_t=2 if halving is None or halving.dim() != 3 else halving.shape[2] // 2,
            depth=max(1, len(blocks)),
            norm=_norm(tensors, width, options, notes),
            shared_codebook=all_equal(codebooks),
        )
    except SettingsError as error:
        raise CheckpointError(
            f"{state.where}: {error.where}", expected=error.expected, found=error.found, do="save the model again"
        ) from error
    return _with_options(config, options, notes)


def model_state(state: State, codebooks: list[Tensor]) -> dict[str, Tensor]:
    """The state dict of our model: encoder and decoder as they are, the codebooks as they act."""
    kept = {key: value for key, value in state.tensors.items() if key.startswith(("encoder.", "decoder."))}
    for q, codebook in enumerate(codebooks):
        kept[f"quantizer.layers.{q}.codebook"] = codebook
        ema = [f"quantizer.layers.{q}.{name}" for name in ("code_sum", "code_count", "init")]
        if all(key in state.tensors for key in ema):
            kept |= {key: state.tensors[key] for key in ema}
    return kept


def build(state: State, name: str) -> Checkpoint:
    """A checkpoint of the format ``name`` from a state of this family."""
    notes: list[str] = []
    options = find_options(state.raw.path)
    codebooks = _codebooks(state)
    config = read_config(state, codebooks, options, notes)
    model = build_model(state.where, lambda: RVQVAE(config), model_state(state, codebooks))
    notes += codebook_notes(model.quantizer)
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
            return checked_codebooks(state.where, {key: tensors[key]})
    numbers = sorted(int(match[1]) for key in tensors if (match := _LAYER.fullmatch(key)))
    refuse_gap(state.where, numbers, "quantizer.layers.{}.codebook")
    keys = [f"quantizer.layers.{q}.codebook" for q in numbers]
    found = checked_codebooks(state.where, {key: tensors[key] for key in keys})
    if not _has_projection(state):
        return found
    return [_projected(state, codebook, f"quantizer.layers.{q}.embedding_proj.") for q, codebook in enumerate(found)]


def _projected(state: State, codebook: Tensor, prefix: str) -> Tensor:
    """``embedding_proj(codebook)``, [K, C]."""
    dim = codebook.shape[1]
    weight, bias = _tensor(state, prefix + "weight"), _tensor(state, prefix + "bias")
    for name, tensor, shape in (("weight", weight, (dim, dim)), ("bias", bias, (dim,))):
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise CheckpointError(
                f"{state.where}: {prefix}{name}", expected=f"floats of shape {shape}",
                found=f"{tensor.dtype} of shape {tuple(tensor.shape)}", do="save the model again",
            )  # fmt: skip
    return torch.nn.functional.linear(codebook, weight.float(), bias.float())


def _norm(tensors: dict[str, Tensor], width: int, options: Options, notes: list[str]) -> str | None:
    """The kind of norm: none without weights, BN with running means; LN and GN look alike."""
    keys = [key for key in tensors if ".norm1." in key]
    if not keys:
        return None
    if any(key.endswith("running_mean") for key in keys):
        return "BN"
    named = options.values.get("norm")
    if named == "LN" or (named == "GN" and width % NORM_GROUPS == 0):
        return str(named)
    notes.append("norm = LN assumed: the weights fit LN and GN alike, and no options beside the file tell")
    return "LN"


def _with_options(config: RVQVAEConfig, options: Options, notes: list[str]) -> RVQVAEConfig:
    """Settings that no shape tells, from the options beside the file or assumed."""
    taken: list[str] = []
    for name in ("activation", "dilation_growth_rate", "mu", "quantize_dropout_prob"):
        value = options.values.get(name)
        try:
            config = config if value is None else replace(config, **{name: value})
        except SettingsError as error:
            # It may be anyone's file, and a setting of another model.
            notes.append(f"{name} = {value!r} in {options.file} is left aside: {error.expected} expected")
            value = None
        if value is not None:
            taken.append(f"{name} = {value}")
        elif name in _NEEDED:
            notes.append(
                f"{name} = {getattr(config, name)} assumed: the weights fit {_NEEDED[name]} alike, and no options tell"
            )
    if taken:
        notes.append(f"from {options.file}: {', '.join(taken)}")
    return config


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
    """Encoder and decoder of this family: others (MoGenTS, InterMask) use some of its names for other modules."""
    first = state.tensors.get(_ENCODER)
    if first is None or first.dim() != 3:
        return False
    return all(_FAMILY_KEY.fullmatch(key) for key in state.tensors if key.startswith(("encoder.", "decoder.")))


def _has_layers(state: State) -> bool:
    return _is_family(state) and any(_LAYER.fullmatch(key) for key in state.tensors)


def _has_projection(state: State) -> bool:
    return _has_layers(state) and any(_PROJECTION.fullmatch(key) for key in state.tensors)


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
    lambda state: _is_single(state) and not {"vae.", "motion_vae."}.isdisjoint(state.prefixes),
)
T2M_GPT = _format("t2m-gpt", (_ENCODER, "quantizer.codebook"), _is_single)
