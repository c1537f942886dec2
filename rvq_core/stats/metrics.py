"""Every error that is told, in the order in which tables list them: its unit, what it compares, and how.

Adding one is a function of ``stats.errors`` and a line here: what measures clips, writes reports, compares
checkpoints, draws and exports reads this list (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvq_core.stats import errors

Values = NDArray[np.floating[Any]]
ErrorsOf = Callable[[Values, Values, float], Values]


class Of(Enum):
    """What of a motion and of its reconstruction a metric compares."""

    FEATURES = "normalised features [..., T, D]"
    BODY = "positions of the body's joints [..., T, J, 3] in metres, the root first"
    HANDS = "positions of the root and the hands' joints, where hands move"
    ROTATIONS = "rotations of the body's joints [..., T, J, 3, 3]"


@dataclass(frozen=True, slots=True)
class Metric:
    """One error.

    ``errors`` gives its value in every frame and joint [..., F, J] from a reconstruction, the motion and the frames
    per second; its first frame is the clip's frame ``start``. ``of`` is what it compares; both are None where it is
    measured by code of its own. ``by_joint``: told of each joint too. ``rate_bound``: other frames per second change
    it by themselves. ``curve``: it depends on the number of quantizers, so it has figures and is compared.
    """

    name: str
    unit: str
    of: Of | None = None
    errors: ErrorsOf | None = None
    start: int = 0
    by_joint: bool = True
    rate_bound: bool = False
    curve: bool = True


def _untimed(errors_of: Callable[[Values, Values], Values]) -> ErrorsOf:
    """Errors that frames per second do not matter to."""
    return lambda found, wanted, _: errors_of(found, wanted)


_positions = _untimed(errors.position_errors)

METRICS: tuple[Metric, ...] = (
    Metric("feature_mse", "1", Of.FEATURES, _untimed(errors.feature_errors), by_joint=False, rate_bound=True),
    Metric("mpjpe", "mm", Of.BODY, _positions),
    Metric("mpjpe_hands", "mm", Of.HANDS, _positions),
    Metric("velocity_error", "mm/s", Of.BODY, errors.velocity_errors, start=1, by_joint=False, rate_bound=True),
    Metric(
        "acceleration_error", "mm/s^2", Of.BODY, errors.acceleration_errors, start=1, by_joint=False, rate_bound=True
    ),
    Metric("rotation_error", "deg", Of.ROTATIONS, _untimed(errors.rotation_errors)),
    Metric("foot_skating", "mm/s", rate_bound=True),
    Metric("foot_skating_original", "mm/s", curve=False),  # of the clip alone: the same at every depth
    Metric("latent_distortion", "1", curve=False),  # of other ways to encode
)

UNITS = {metric.name: metric.unit for metric in METRICS}
"""The unit of each."""

CURVES = tuple(metric.name for metric in METRICS if metric.curve)
"""Names of those that depend on the number of quantizers."""
