"""What one step computes: a batch in, its losses out, as a module so that it can be run by several ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rvq_core.autoencoder import RVQVAE
from rvq_core.clips.representations import Representation
from rvq_core.distributed import weighted_by_rank
from rvq_core.loading.checkpoint import Normalizer
from rvq_core.training.losses import Losses, training_losses
from rvq_core.training.settings import TrainSettings


class StepLosses(nn.Module):
    """The losses of ``model`` on a batch. In training mode the codebooks take their EMA step with it."""

    def __init__(
        self, model: RVQVAE, normalizer: Normalizer, representation: Representation, settings: TrainSettings
    ) -> None:
        super().__init__()
        self.model = model
        self._normalizer = normalizer
        self._representation = representation
        self._settings = settings

    def forward(self, features: Tensor, present: Tensor, noise: Tensor) -> Losses:
        """Losses of raw ``features`` [B, T, D], of which ``present`` [B, T] count.

        ``noise`` [B, 1, D] is added to the normalised input alone.
        """
        truth = self._normalizer.apply(features)
        with self._precision(features):
            latents = self.model.encode(truth + noise)
        # A latent counts as data when its first frame does.
        mask = present[:, :: self._settings.model.stride]
        # Distances, EMA sums and losses are computed in float32 whatever the precision of encoder and decoder.
        quantized, _, commit_loss, _ = self.model.quantizer(latents.float(), mask=mask)
        with self._precision(features):
            predicted = self.model.decode(quantized)
        return training_losses(
            self._settings, self._representation, self._normalizer,
            predicted.float(), truth, present, weighted_by_rank(commit_loss, mask.sum()),
        )  # fmt: skip

    def _precision(self, like: Tensor) -> torch.autocast:
        """Source: Micikevicius et al. 2018, mixed precision training; bfloat16 needs no scaling of the loss."""
        return torch.autocast(like.device.type, torch.bfloat16, enabled=self._settings.precision == "bf16")
