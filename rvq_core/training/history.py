"""What a run records of itself: usage of every code over a corpus, and the held-out error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.autoencoder import RVQVAE
from rvq_core.clips.representations import Representation
from rvq_core.loading.checkpoint import Normalizer
from rvq_core.stats.errors import mpjpe
from rvq_core.stats.usage import count_codes, perplexity


@torch.no_grad()
def corpus_counts(model: RVQVAE, normalizer: Normalizer, clips: Iterable[Tensor]) -> NDArray[np.int64]:
    """Tokens on each code [Q, K] over whole clips of raw features [T, D]; ``model`` must be in eval mode."""
    counts = np.zeros((model.config.num_quantizers, model.config.nb_code), dtype=np.int64)
    for clip in clips:
        indices = model.quantizer(_latents(model, normalizer, clip))[1][0].cpu().numpy()
        for q in range(model.config.num_quantizers):
            counts[q] += count_codes(indices[:, q], model.config.nb_code)
    return counts


@torch.no_grad()
def held_out_mpjpe(
    model: RVQVAE, normalizer: Normalizer, representation: Representation, clips: Sequence[Tensor]
) -> float | None:
    """MPJPE in mm at full depth over clips of raw features [T, D], weighted by frames; None without clips or joints."""
    errors: list[float] = []
    frames: list[int] = []
    for clip in clips:
        quantized = model.quantizer(_latents(model, normalizer, clip))[0]
        decoded = normalizer.invert(model.decode(quantized)[0].cpu())
        truth = clip[: len(decoded)]
        found = representation.joints(decoded, first=len(representation.body))
        wanted = representation.joints(truth, first=len(representation.body))
        if found is None or wanted is None:
            return None
        errors.append(float(mpjpe(found.numpy(), wanted.numpy())))
        frames.append(len(truth))
    return float(np.average(errors, weights=frames)) if errors else None


def usage_row(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Per layer: perplexity and number of unseen codes, of counts [Q, K]."""
    return {
        "perplexity": [round(perplexity(layer), 3) for layer in counts],
        "unseen": [int((layer == 0).sum()) for layer in counts],
    }


def _latents(model: RVQVAE, normalizer: Normalizer, clip: Tensor) -> Tensor:
    whole = len(clip) - len(clip) % model.config.stride
    device = next(model.parameters()).device
    return model.encode(normalizer.apply(clip[:whole])[None].to(device))
