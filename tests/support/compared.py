"""Reports whose differences are known beforehand, for tests of comparisons."""

import numpy as np
from reports import make_report

K, CLIPS = 16, 8


def tokens_of(depth: int = 3, *, length: int = 40, seed: int = 0, codes: int = K) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(codes, size=(length + 3 * i, depth)) for i in range(CLIPS)]


def errors_of(depth: int = 3, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """[M, Q + 2], lower with every quantizer; the last is unquantised."""
    rng = np.random.default_rng(seed)
    clip = rng.uniform(80, 200, size=(CLIPS, 1))
    return np.hstack([clip / np.arange(1, depth + 2), clip / (depth + 3)]) + shift


def made(name: str = "a", *, depth: int = 3, shift: float = 0.0, seed: int = 0, metrics=("mpjpe",), **more):
    given = {"tokens": tokens_of(depth, seed=seed), "codes": K, "name": name, "normalizer": "n"}
    given["errors"] = {metric: errors_of(depth, shift=shift) for metric in metrics}
    return make_report(**(given | more))
