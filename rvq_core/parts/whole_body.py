"""The parts of a set acting as one: a clip of the whole body through all of them, and put together again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rvq_core.clips.clip import Clip
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.representations import SMPLX_ROT6D
from rvq_core.clips.smplx import JOINT_NAMES, JOINTS
from rvq_core.errors import CheckpointError
from rvq_core.parts.load import PartSet
from rvq_core.stats.reconstruction import UNQUANTISED
from rvq_core.tokens import Encoded, Pipeline

_REST = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Two rows of the identity: a joint at rest."""

WIDTH = 6


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBody(Encoded):
    """A clip of the whole body after the encoders and quantizers of its ``parts``.

    ``features`` [T, D] are those of the parts one behind the other, normalised by each; ``latents`` are theirs alone,
    so empty here, and ``partial`` only tells the depth. ``indices`` [T', sum of Q] have a column for each layer of each
    part, repeated where one part has fewer tokens a second than another.
    """

    parts: dict[str, Encoded]


class WholeBody:
    """Pipelines of all parts of a set. It takes, decodes and restores clips as a ``Pipeline`` does.

    Raises CheckpointError where the parts were trained at different frame rates.
    """

    def __init__(self, part_set: PartSet, device: str = "auto") -> None:
        self.part_set = part_set
        self.pipelines = {part: Pipeline(checkpoint, device) for part, checkpoint in part_set.parts.items()}
        self.device = next(iter(self.pipelines.values())).device
        self.fps = _common_fps(part_set)
        self.strides = {part: _stride(pipeline) for part, pipeline in self.pipelines.items()}
        self.layers = [
            (part, layer + 1)
            for part, checkpoint in part_set.parts.items()
            for layer in range(checkpoint.quantizer.num_quantizers)
        ]
        """Part and number of each column of ``EncodedBody.indices``."""
        widths = [WIDTH * len(joints) for joints in part_set.joints.values()]
        self._columns = dict(zip(part_set.parts, np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1]), strict=True))

    def fit(self, clip: Clip) -> Clip:
        """The clip as SMPL-X rotations at the set's frame rate, whole tokens of every part. Raises ClipError.

        Joints that no part has are put at rest, so that original and reconstruction are the same body.
        """
        dim = JOINTS * WIDTH
        fitted = fit_clip(clip, dim=dim, fps=self.fps, stride=self.whole_stride, representation=SMPLX_ROT6D.name)
        covered = {joint for joints in self.part_set.joints.values() for joint in joints}
        missing = [joint for joint in range(JOINTS) if joint not in covered]
        features = fitted.features.reshape(fitted.frames, JOINTS, WIDTH).copy()
        features[:, missing] = _REST
        posed = features.reshape(fitted.frames, dim)
        if np.allclose(posed, fitted.features, atol=1e-6):
            return replace(fitted, features=posed)
        note = f"put at rest, as no part has them: {len(missing)} joints ({JOINT_NAMES[missing[0]]}, ...)"
        return replace(fitted, features=posed, notes=(*fitted.notes, note))

    @property
    def whole_stride(self) -> int:
        """Frames that are whole tokens of every part."""
        return math.lcm(*self.strides.values())

    def part_clip(self, part: str, fitted: Clip) -> Clip:
        """The part's own columns of a fitted clip."""
        return self.pipelines[part].fit(fitted)

    def stride(self, clip: Clip) -> int:  # noqa: ARG002 - called as a Pipeline's is
        """Frames that a row of ``EncodedBody.indices`` stands for."""
        return math.gcd(*self.strides.values())

    def encode(self, clip: Clip) -> EncodedBody:
        """Encode and quantize the parts of a fitted clip."""
        encoded = {part: pipeline.encode(self.part_clip(part, clip)) for part, pipeline in self.pipelines.items()}
        features = [one.features for one in encoded.values() if one.features is not None]
        rows = clip.frames // self.stride(clip)
        indices = [np.repeat(one.indices, rows // len(one.indices), axis=0) for one in encoded.values()]
        partial = torch.zeros((self.part_set.depth + 1, 0, rows), device=self.device)
        return EncodedBody(
            clip, torch.cat(features, dim=1), partial[0], np.concatenate(indices, axis=1), partial, encoded
        )

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Iterator[tuple[int, Tensor]]:
        """Normalised reconstructions [T, D] with the first n = 0..Q quantizers of every part and, last, with none (-1).

        A part with fewer quantizers gives all that it has.
        """
        assert isinstance(encoded, EncodedBody)
        parts = {part: dict(self.pipelines[part].decode(one)) for part, one in encoded.parts.items()}
        for depth in (*range(self.part_set.depth + 1), UNQUANTISED):
            yield depth, torch.cat([by_depth[min(depth, max(by_depth))] for by_depth in parts.values()], dim=1)

    def restore(self, features: Tensor) -> Tensor:
        """The parts' output [..., T, D] as rotations of the whole body [..., T, 330]; joints of no part at rest."""
        body = torch.tensor(_REST, device=features.device).repeat(*features.shape[:-1], JOINTS, 1)
        for part, columns in self._columns.items():
            joints = list(self.part_set.joints[part])
            own = self.pipelines[part].restore(features[..., columns[0] : columns[-1] + 1])
            body[..., joints, :] = own.reshape(*own.shape[:-1], len(joints), WIDTH)
        return body.flatten(-2)


def _stride(pipeline: Pipeline) -> int:
    config = pipeline.checkpoint.config
    assert config is not None  # a part is a whole model
    return config.stride


def _common_fps(part_set: PartSet) -> float | None:
    rates = {part: checkpoint.fps for part, checkpoint in part_set.parts.items() if checkpoint.fps is not None}
    if len(set(rates.values())) > 1:
        raise CheckpointError(
            part_set.name,
            expected="parts of one frame rate",
            found=", ".join(f"{part} {rate:g}" for part, rate in rates.items()),
            do="put together parts that were trained on the same motion",
        )
    return next(iter(rates.values()), SMPLX_ROT6D.fps)
