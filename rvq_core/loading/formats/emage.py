"""EMAGE: one convolutional VQ-VAE a body part, without downsampling, LeakyReLU 0.2, a single codebook.

Files: a folder with ``config.json`` and ``model.safetensors``, or a ``.bin`` with ``model_state`` and ``module.`` keys.
"""

from __future__ import annotations

import re

from torch import Tensor, nn

from rvq_core.autoencoder import RVQVAEConfig
from rvq_core.errors import CheckpointError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.loading.formats.base import Format, build_model, checked_codebooks, codebook_notes
from rvq_core.loading.unwrap import State
from rvq_core.quantizer import ResidualVQ

_SLOPE = 0.2
_FIRST = "encoder.main.0.weight"
_CODEBOOK = "quantizer.embedding.weight"
_FPS = 30.0


class EmageVQVAE(nn.Module):
    """EMAGE's ``VQVAEConv``: motion [B, T, D] to latents [B, C, T] and back, one latent a frame."""

    def __init__(self, config: RVQVAEConfig, encoder_layers: int, decoder_blocks: int, ups: list[int]) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Module()
        self.encoder.main = _encoder(config, encoder_layers)
        self.decoder = nn.Module()
        self.decoder.main = _decoder(config, decoder_blocks, ups)
        self.quantizer = ResidualVQ(1, nb_code=config.nb_code, code_dim=config.code_dim)

    def encode(self, x: Tensor) -> Tensor:
        """Motion [B, T, D] -> latents [B, C, T]."""
        return self.encoder.main(x.transpose(1, 2))  # type: ignore[operator]  # the Sequential assigned above

    def decode(self, quantized: Tensor) -> Tensor:
        """Latents [B, C, T] -> motion [B, T, D]."""
        return self.decoder.main(quantized).transpose(1, 2)  # type: ignore[operator]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv1d(width, width, 3, 1, 1), nn.LeakyReLU(_SLOPE), nn.Conv1d(width, width, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, T] -> [B, W, T]."""
        return x + self.model(x)


def _encoder(config: RVQVAEConfig, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for number in range(layers):
        first = config.input_dim if number == 0 else config.width
        parts += [nn.Conv1d(first, config.width, 3, 1, 1), nn.LeakyReLU(_SLOPE), _Block(config.width)]
    return nn.Sequential(*parts)


def _decoder(config: RVQVAEConfig, blocks: int, ups: list[int]) -> nn.Sequential:
    parts: list[nn.Module] = [_Block(config.width) for _ in range(blocks)]
    before = config.width
    for channels in ups:
        parts += [nn.Conv1d(before, channels, 3, 1, 1), nn.LeakyReLU(_SLOPE)]
        before = channels
    return nn.Sequential(*parts, nn.Conv1d(before, before, 3, 1, 1))


def _matches(state: State) -> bool:
    return _FIRST in state.tensors and _CODEBOOK in state.tensors


def _build(state: State) -> Checkpoint:
    tensors = dict(state.tensors)
    (codebook,) = checked_codebooks(state.where, {_CODEBOOK: tensors.pop(_CODEBOOK)})
    config = _config(state, tensors[_FIRST], codebook)
    encoder_layers = sum(1 for key in tensors if re.fullmatch(r"encoder\.main\.\d+\.weight", key))
    blocks = sum(1 for key in tensors if re.fullmatch(r"decoder\.main\.\d+\.model\.0\.weight", key))
    convolutions = [key for key in tensors if re.fullmatch(r"decoder\.main\.\d+\.weight", key)]
    ordered = sorted(convolutions, key=lambda key: int(key.split(".")[2]))
    for key in ordered:
        _refuse_no_convolution(f"{state.where}: {key}", tensors[key])
    ups = [len(tensors[key]) for key in ordered[:-1]]
    tensors["quantizer.layers.0.codebook"] = codebook
    model = build_model(state.where, lambda: EmageVQVAE(config, encoder_layers, blocks, ups), tensors)
    return Checkpoint(
        path=state.raw.path, name=state.raw.name, format="emage", sha256=state.raw.sha256, quantizer=model.quantizer,
        config=config, model=model, fps=_FPS,
        notes=[*codebook_notes(model.quantizer), "its codebook is trained by gradient, not by EMA",
               "LeakyReLU 0.2 and kernel 3, as EMAGE builds it"],
    )  # fmt: skip


def _refuse_no_convolution(where: str, weight: Tensor) -> None:
    if weight.dim() != 3 or not weight.numel():
        raise CheckpointError(
            where, expected="a weight [out, in, 3]", found=f"shape {tuple(weight.shape)}", do="save the model again"
        )


def _config(state: State, first: Tensor, codebook: Tensor) -> RVQVAEConfig:
    """Sizes from the first convolution [W, D, 3] and the codebook [K, C]."""
    _refuse_no_convolution(f"{state.where}: {_FIRST}", first)
    if codebook.shape[1] != first.shape[0]:
        raise CheckpointError(
            f"{state.where}: {_CODEBOOK}", expected=f"codes of the encoder's width {first.shape[0]}",
            found=f"shape {tuple(codebook.shape)}", do="save the model again",
        )  # fmt: skip
    return RVQVAEConfig(
        input_dim=first.shape[1], width=first.shape[0], code_dim=codebook.shape[1], nb_code=codebook.shape[0],
        num_quantizers=1, down_t=0, depth=1, quantize_dropout_prob=0.0,
    )  # fmt: skip


FORMAT = Format("emage", (_FIRST, _CODEBOOK), _matches, _build)
