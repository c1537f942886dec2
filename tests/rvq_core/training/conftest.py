"""Runs small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rvq_core.autoencoder import RVQVAEConfig
from rvq_core.training import TrainSettings


@pytest.fixture
def small() -> Callable[..., TrainSettings]:
    """Settings of a tiny run; keywords of the run or, under ``model``, of the model change them."""

    def make(model: dict[str, Any] | None = None, **settings: Any) -> TrainSettings:
        sizes = {"width": 16, "code_dim": 8, "nb_code": 16, "num_quantizers": 2, "depth": 1} | (model or {})
        known = {"iterations": 10, "batch_size": 4, "window": 32, "warm_up": 2, "evaluate_every": 5} | settings
        return TrainSettings(model=RVQVAEConfig(**sizes), **known)

    return make
