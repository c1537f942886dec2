"""The learning rate of a step."""

from __future__ import annotations

import math

from rvq_core.training.settings import TrainSettings

LEAST = 0.05
"""Share of the learning rate that is left at the end."""


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Of step 0, 1, ...: rises in equal steps over ``warm_up`` of them, then falls as half a cosine to a twentieth.

    With ``schedule`` constant it stays. Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts.
    """
    if step < settings.warm_up:
        return settings.learning_rate * ((step + 1) / settings.warm_up)
    if settings.schedule == "constant":
        return settings.learning_rate
    share = (step - settings.warm_up) / max(1, settings.iterations - settings.warm_up)
    return settings.learning_rate * (LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
