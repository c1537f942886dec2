"""What a training run can be told, and reading it from a file."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from rvq_core.autoencoder import RVQVAEConfig
from rvq_core.errors import SettingsError
from rvq_core.limits import SETTINGS, bounded_text
from rvq_core.training.body_part import BODY_PARTS

CHOICES = {
    "reconstruction": ("l1_smooth", "l2"),
    "schedule": ("cosine", "constant"),
    "precision": ("float32", "bf16"),
}
"""What settings that are words can be."""

FASTEST = 1000
"""Frames a second beyond which a setting is a slip: clips would be resampled to more than memory holds."""


_NOT_NEGATIVE = ("velocity", "commit", "position", "rotation_std_floor", "still_noise", "weight_decay", "grad_clip")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of a run; the model's own stand in ``model``.

    ``part`` (upper, hands, lower) takes that part of the body of clips of the whole body, turned and mirrored as a
    whole; the model's ``input_dim`` follows from it.
    ``window`` frames a sample, ``batch_size`` samples a step on each rank, ``fps`` frames a second. Losses:
    ``reconstruction`` on normalised features, plus ``velocity``, ``commit`` and ``position`` times theirs (position:
    mean joint distance in
    metres by forward kinematics, 0 turns it off). ``rotation_std_floor``: the least that 6D rotation columns that move
    are divided by (entries of rotation matrices; 0.1 is some 6 degrees). Without it, joints that hardly move in the
    training motion drown all others in a clip where they do. ``still_noise``: standard deviation of what is added to
    the inputs, never the targets, of rotation columns that stand still in every clip: one draw a sample and column
    (entries of rotation matrices), so that the model learns to leave the body alone whatever such joints do; 0 turns
    it off. ``learning_rate`` rises over ``warm_up`` steps, then falls as a cosine to a twentieth, or with
    ``schedule`` constant stays. ``grad_clip``: gradients of a larger norm are scaled to it (Pascanu et al. 2013); 0
    turns it off. ``precision`` bf16 computes encoder and decoder in bfloat16 (autocast), distances, EMA and losses in
    float32. ``held_out`` names
    clips that are never trained on; where empty, ``held_out_share`` of the clips is drawn. ``yaw`` turns each sample
    about the vertical by a random angle; ``mirror`` adds left-right images. ``evaluate_every`` steps the held-out
    error is measured and the checkpoint written. Every ``snapshot_every`` steps, a multiple of that, a copy of it is
    kept, of which the newest ``snapshots`` stay; 0 keeps none.
    """

    model: RVQVAEConfig = field(default_factory=lambda: RVQVAEConfig(width=128, nb_code=256))
    part: str | None = None
    iterations: int = 10_000
    batch_size: int = 32
    window: int = 128
    fps: float = 30.0
    reconstruction: str = "l1_smooth"
    velocity: float = 0.5
    commit: float = 0.02
    position: float = 5.0
    rotation_std_floor: float = 0.1
    still_noise: float = 0.3
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warm_up: int = 300
    grad_clip: float = 0.0
    precision: str = "float32"
    held_out: tuple[str, ...] = ()
    held_out_share: float = 0.1
    yaw: bool = True
    mirror: bool = True
    evaluate_every: int = 500
    snapshot_every: int = 0
    snapshots: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("part", self.part is None or self.part in tuple(BODY_PARTS), "upper, hands or lower")
        for name in ("iterations", "batch_size", "window", "evaluate_every", "snapshots"):
            self._require(name, _is_integer(getattr(self, name), 1), "an integer >= 1")
        for name in ("warm_up", "snapshot_every"):
            self._require(name, _is_integer(getattr(self, name), 0), "an integer >= 0")
        every = self.evaluate_every
        self._require("snapshot_every", self.snapshot_every % every == 0, f"a multiple of evaluate_every ({every})")
        self._require("seed", _is_integer(self.seed, 0) and self.seed < 1 << 63, "an integer >= 0 and below 2 ** 63")
        for name in _NOT_NEGATIVE:
            self._require(name, _is_number(getattr(self, name)) and getattr(self, name) >= 0, "a number >= 0")
        self._require("fps", _is_number(self.fps) and 0 < self.fps <= FASTEST, f"a number > 0, at most {FASTEST}")
        self._require("learning_rate", _is_number(self.learning_rate) and self.learning_rate > 0, "a number > 0")
        share = self.held_out_share
        self._require("held_out_share", _is_number(share) and 0 <= share < 1, "a number in 0..1 (below 1)")
        for name in ("yaw", "mirror"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        for name, choices in CHOICES.items():
            self._require(name, getattr(self, name) in choices, " or ".join(choices))
        self._require("window", self.window % self.model.stride == 0, f"a multiple of the stride {self.model.stride}")
        upsampling = 2**self.model.down_t
        self._require_model("stride_t", self.model.stride == upsampling, "2, the decoder's upsampling")

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise SettingsError(
                f"training: {name}", expected=expected, found=repr(getattr(self, name)), do="change this setting"
            )

    def _require_model(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise SettingsError(
                f"model config: {name}",
                expected=expected,
                found=repr(getattr(self.model, name)),
                do="change this setting",
            )

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, the model's under ``model``."""
        return asdict(self)

    def without_model(self) -> dict[str, Any]:
        """Settings of the training alone, by name."""
        return {name: value for name, value in self.to_dict().items() if name != "model"}

    def changed(self, values: dict[str, Any], where: str) -> TrainSettings:
        """These settings with others by name, the model's own names included; errors name ``where``."""
        own = {f.name for f in fields(TrainSettings)} - {"model"}
        of_model = {f.name for f in fields(RVQVAEConfig)}
        given = dict(values)
        if isinstance(given.get("model"), dict):
            given |= cast(dict[str, Any], given.pop("model"))
        unknown = sorted(set(given) - own - of_model)
        if unknown:
            raise SettingsError(
                f"{where}: {unknown[0]}", expected="a setting: " + ", ".join(sorted(own | of_model)),
                found=repr(unknown[0]), do="remove or rename it",
            )  # fmt: skip
        if "held_out" in given:
            given["held_out"] = _names(given["held_out"], where)
        if isinstance(given.get("part"), str) and given["part"] in BODY_PARTS:
            given = {"input_dim": BODY_PARTS[given["part"]].width} | given
        try:
            model = replace(self.model, **{name: value for name, value in given.items() if name in of_model})
            return replace(self, model=model, **{name: value for name, value in given.items() if name in own})
        except TypeError as error:
            raise SettingsError(
                where, expected="numbers and names", found=str(error), do="correct the value"
            ) from error


def _names(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in cast(list[object], value)):
        return tuple(cast(list[str], value))
    raise SettingsError(
        f"{where}: held_out", expected="a list of names", found=repr(value), do='write it like ["walk", "kick"]'
    )


def _is_integer(value: object, least: int) -> bool:
    # Values come from files: true is no number there, and 2.0 no count.
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_settings(path: Path, base: TrainSettings) -> TrainSettings:
    """``base`` changed by a TOML or JSON file; model settings may stand under ``model``. Raises SettingsError."""
    try:
        text = bounded_text(path, SETTINGS, SettingsError)
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            str(path), expected="a TOML or JSON file of settings", found=str(error), do="correct the file"
        ) from error
    if not isinstance(values, dict):
        raise SettingsError(str(path), expected="names and values", found=type(values).__name__, do="correct the file")
    return base.changed(cast(dict[str, Any], values), str(path))
