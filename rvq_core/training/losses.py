"""The training losses, each over the frames that are data."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from rvq_core.clips.representations import Representation
from rvq_core.distributed import sum_over_ranks, weighted_by_rank, world_size
from rvq_core.loading.checkpoint import Normalizer
from rvq_core.training.settings import TrainSettings


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """The weighted sum that is minimised, and its parts without their weights; scalars []."""

    total: Tensor
    reconstruction: Tensor
    velocity: Tensor
    commit: Tensor
    position: Tensor

    def over_ranks(self) -> Losses:
        """Their means over ranks, without gradients."""
        values = torch.stack([getattr(self, one.name).detach() for one in fields(self)])
        sum_over_ranks(values)
        return Losses(*(values / world_size()).unbind())


def training_losses(
    settings: TrainSettings,
    representation: Representation,
    normalizer: Normalizer,
    predicted: Tensor,
    truth: Tensor,
    present: Tensor,
    commit_loss: Tensor,
) -> Losses:
    """Losses of normalised ``predicted`` and ``truth`` [B, T, D]; ``present`` [B, T] marks the frames that count.

    On several ranks each is weighted so that the mean over ranks is the loss of all their samples together.
    """
    criterion = F.smooth_l1_loss if settings.reconstruction == "l1_smooth" else F.mse_loss
    reconstruction = _mean(criterion(predicted, truth, reduction="none").mean(dim=-1), present)
    steps = criterion(predicted.diff(dim=1), truth.diff(dim=1), reduction="none").mean(dim=-1)
    velocity = _mean(steps, present[:, 1:] & present[:, :-1])
    position = predicted.new_zeros(())
    if settings.position > 0:
        position = position_loss(representation, normalizer.invert(predicted), normalizer.invert(truth), present)
    total = reconstruction + settings.velocity * velocity + settings.commit * commit_loss + settings.position * position
    return Losses(total, reconstruction, velocity, commit_loss, position)


def position_loss(representation: Representation, predicted: Tensor, truth: Tensor, present: Tensor) -> Tensor:
    """Mean distance in metres between the body joints of raw features [B, T, D]; 0 where there are no joints."""
    bodies = len(representation.body)
    found = representation.joints(predicted, first=bodies)
    with torch.no_grad():
        wanted = representation.joints(truth, first=bodies)
    if found is None or wanted is None:
        return predicted.new_zeros(())
    # The root of the square is not differentiable at 0: a tenth of a millimetre rounds the corner.
    distance = ((found - wanted).square().sum(dim=-1) + 1e-8).sqrt()
    return _mean(distance.mean(dim=-1), present)


def _mean(values: Tensor, present: Tensor) -> Tensor:
    count = present.sum()
    return weighted_by_rank((values * present).sum() / count.clamp(min=1), count)
