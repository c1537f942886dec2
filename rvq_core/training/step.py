"""What one step computes: a batch in, its losses out, as a module so that it can be run by several ranks."""

from __future__ import annotations

from torch import Tensor, nn

from rvq_core.autoencoder import RVQVAE
from rvq_core.clips.representations import Representation
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
        latents = self.model.encode(truth + noise)
        # A latent counts as data when its first frame does.
        quantized, _, commit_loss, _ = self.model.quantizer(latents, mask=present[:, :: self._settings.model.stride])
        return training_losses(
            self._settings, self._representation, self._normalizer,
            self.model.decode(quantized), truth, present, commit_loss,
        )  # fmt: skip
