"""The convolutional RVQ-VAE of the motion field (T2M-GPT, MoMask, SynTalker, GestureLSM).

Module names follow the public checkpoints, so that their weights fit key by key: ``encoder.model.2.1.model.0.conv1``
is the first convolution of the first residual block after the first halving.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from torch import Tensor, nn

from rvq_core.codebook_options import CodebookOptions
from rvq_core.errors import SettingsError
from rvq_core.quantizer import ResidualVQ

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
"""What the public configurations call their activations."""

NORM_GROUPS = 32
"""Groups of a GroupNorm, which the width must be a multiple of."""

_SWITCHES = ("shared_codebook", "kmeans_init", "cosine_codebooks", "dropout_per_sample", "rotation_trick")

_MOST_MODULES = {"num_quantizers": 1024, "depth": 64, "down_t": 16}
"""A number that a file declares must not build modules without end."""


@dataclass(frozen=True, slots=True)
class RVQVAEConfig:
    """Sizes and options of an ``RVQVAE``; the defaults are those of the published description.

    ``input_dim`` D features a frame; ``width`` channels inside; ``code_dim`` C; ``nb_code`` K; ``num_quantizers`` Q;
    ``down_t`` halvings in time, each by ``stride_t``; ``depth`` residual blocks a halving, their dilations the powers
    of ``dilation_growth_rate``; ``norm`` None, 'LN', 'GN' or 'BN'; codes whose EMA count (hits a batch) is below
    ``reset_threshold`` are reset, 0 turns that off. ``reset_every``, ``kmeans_init``, ``cosine_codebooks`` and
    ``orthogonality`` are those of ``CodebookOptions``, ``dropout_per_sample`` and ``rotation_trick`` of ``ResidualVQ``.
    """

    input_dim: int = 330
    width: int = 512
    code_dim: int = 128
    nb_code: int = 1024
    num_quantizers: int = 6
    down_t: int = 1
    stride_t: int = 2
    depth: int = 3
    dilation_growth_rate: int = 3
    activation: str = "relu"
    norm: str | None = None
    shared_codebook: bool = False
    quantize_dropout_prob: float = 0.2
    mu: float = 0.99
    reset_threshold: float = 1.0
    reset_every: int = 1
    kmeans_init: bool = False
    cosine_codebooks: bool = False
    orthogonality: float = 0.0
    dropout_per_sample: bool = False
    rotation_trick: bool = False

    def __post_init__(self) -> None:
        sizes = ("input_dim", "width", "code_dim", "nb_code", "num_quantizers", "stride_t", "depth")
        for name in (*sizes, "dilation_growth_rate", "reset_every"):
            self._require(name, _is_integer(getattr(self, name)) and getattr(self, name) >= 1, "an integer >= 1")
        for name in ("quantize_dropout_prob", "mu", "reset_threshold", "orthogonality"):
            self._require(name, _is_number(getattr(self, name)), "a number")
        self._require("down_t", _is_integer(self.down_t) and self.down_t >= 0, "an integer >= 0")
        for name, most in _MOST_MODULES.items():
            self._require(name, getattr(self, name) <= most, f"at most {most}")
        self._require("activation", self.activation in tuple(ACTIVATIONS), " or ".join(ACTIVATIONS))
        for name in _SWITCHES:
            self._require(name, _is_bool(getattr(self, name)), "true or false")
        self._require("norm", self.norm in (None, "LN", "GN", "BN"), "null, LN, GN or BN")
        self._require(
            "norm", self.norm != "GN" or self.width % NORM_GROUPS == 0, f"GN only with width % {NORM_GROUPS} == 0"
        )
        self._require("quantize_dropout_prob", 0 <= self.quantize_dropout_prob <= 1, "a number in 0..1")
        self._require("mu", 0 <= self.mu < 1, "a number in 0..1 (below 1)")
        for name in ("reset_threshold", "orthogonality"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number >= 0")

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise SettingsError(
                f"model config: {name}", expected=expected, found=repr(getattr(self, name)), do="change this setting"
            )

    @property
    def stride(self) -> int:
        """Frames that one latent stands for: stride_t ** down_t."""
        return self.stride_t**self.down_t

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "model config") -> RVQVAEConfig:
        """Settings from a dictionary; unknown names raise SettingsError naming ``where``."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f"{where}: {unknown[0]}",
                expected="one of " + ", ".join(sorted(known)),
                found=repr(unknown[0]),
                do="remove or rename it",
            )
        return cls(**values)


def _is_integer(value: object) -> bool:
    # Values come from JSON, where true is not a size.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


class RVQVAE(nn.Module):
    """Encoder, residual quantizer, decoder. Motion is [B, T, D] normalised; latents are [B, C, T']."""

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = ResidualVQ(
            config.num_quantizers,
            config.shared_codebook,
            config.quantize_dropout_prob,
            nb_code=config.nb_code,
            code_dim=config.code_dim,
            mu=config.mu,
            reset_threshold=config.reset_threshold,
            options=CodebookOptions(
                config.kmeans_init, config.reset_every, config.cosine_codebooks, config.orthogonality
            ),
            dropout_per_sample=config.dropout_per_sample,
            rotation_trick=config.rotation_trick,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Motion x [B, T, D] -> (reconstruction [B, T, D], commit_loss [], perplexity []).

        Where the stride does not divide T, the reconstruction is shorter: T' times the decoder's upsampling.
        """
        quantized, _, commit_loss, perplexity = self.quantizer(self.encode(x))
        return self.decode(quantized), commit_loss, perplexity

    def encode(self, x: Tensor) -> Tensor:
        """Motion [B, T, D] -> latents [B, C, T']."""
        if x.dim() != 3 or x.shape[2] != self.config.input_dim:
            raise ValueError(f"motion must be [B, T, {self.config.input_dim}], got {list(x.shape)}")
        return cast(Tensor, self.encoder(x.transpose(1, 2)))

    def decode(self, quantized: Tensor) -> Tensor:
        """Latents [B, C, T'] -> motion [B, T, D]."""
        return cast(Tensor, self.decoder(quantized)).transpose(1, 2)


class Encoder(nn.Module):
    """[B, D, T] -> [B, C, T / stride]."""

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        width, stride = config.width, config.stride_t
        layers: list[nn.Module] = [nn.Conv1d(config.input_dim, width, 3, 1, 1), nn.ReLU()]
        for _ in range(config.down_t):
            halve = nn.Conv1d(width, width, 2 * stride, stride, stride // 2)
            layers.append(nn.Sequential(halve, ResidualStack(config)))
        layers.append(nn.Conv1d(width, config.code_dim, 3, 1, 1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, T] -> [B, C, T']."""
        return self.model(x)


class Decoder(nn.Module):
    """[B, C, T'] -> [B, D, 2 ** down_t T']: the upsampling is by 2 whatever the stride, as in the public code."""

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = [nn.Conv1d(config.code_dim, width, 3, 1, 1), nn.ReLU()]
        for _ in range(config.down_t):
            upsample = nn.Upsample(scale_factor=2, mode="nearest")
            layers.append(nn.Sequential(ResidualStack(config), upsample, nn.Conv1d(width, width, 3, 1, 1)))
        layers += [nn.Conv1d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv1d(width, config.input_dim, 3, 1, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T'] -> [B, D, T]."""
        return self.model(x)


class ResidualStack(nn.Module):
    """``depth`` residual blocks, the widest dilation first (the public models reverse the order on both sides)."""

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        powers = reversed(range(config.depth))
        self.model = nn.Sequential(*(ResidualBlock(config, config.dilation_growth_rate**power) for power in powers))

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, T] -> [B, W, T]."""
        return self.model(x)


class ResidualBlock(nn.Module):
    """x + conv2(act(norm2(conv1(act(norm1(x)))))), conv1 dilated with kernel 3, conv2 with kernel 1."""

    def __init__(self, config: RVQVAEConfig, dilation: int) -> None:
        super().__init__()
        width, activation = config.width, ACTIVATIONS[config.activation]
        self.norm1 = _norm(config.norm, width)
        self.norm2 = _norm(config.norm, width)
        self.activation1 = activation()
        self.activation2 = activation()
        self.conv1 = nn.Conv1d(width, width, 3, 1, dilation, dilation)
        self.conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, through: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__) -> Tensor:
        """[B, W, T] -> [B, W, T]; ``through`` applies the one convolution that sees its neighbours."""
        inner = through(self.conv1, self.activation1(self.norm1(x)))
        return x + self.conv2(self.activation2(self.norm2(inner)))


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, W, T]."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


def _norm(kind: str | None, width: int) -> nn.Module:
    if kind == "LN":
        return _ChannelNorm(width)
    if kind == "GN":
        return nn.GroupNorm(NORM_GROUPS, width, eps=1e-6)
    if kind == "BN":
        return nn.BatchNorm1d(width, eps=1e-6)
    return nn.Identity()


def count_parameters(model: nn.Module) -> int:
    """Number of trained weights; codebooks are buffers and are not among them."""
    return sum(p.numel() for p in model.parameters())
