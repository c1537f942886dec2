"""What lies beside a checkpoint: the options its training was started with, its mean and std.

Projects write options as ``opt.txt`` (MoMask), ``run.log`` (T2M-GPT, SynTalker, GestureLSM), ``config.json`` (EMAGE) or
YAML (MotionGPT). Only settings that shapes cannot tell are taken from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from torch import Tensor

from rvq_core.loading.checkpoint import Normalizer

LARGEST_TEXT = 1 << 18
"""Bytes of an options file that are read; they are a few kilobytes long."""

MOST_FEATURES = 1 << 16
"""Values of a mean or std that are read; the longest in use are a few hundred."""

_ALIASES = {
    "vq_act": "activation",
    "activation": "activation",
    "vq_norm": "norm",
    "norm": "norm",
    "dilation_growth_rate": "dilation_growth_rate",
    "quantize_dropout_prob": "quantize_dropout_prob",
    "mu": "mu",
    "dataset_name": "dataset",
    "body_part": "body_part",
}
_LARGEST_SETTING, _LONGEST_WORD = 1e9, 80
_NAMES = ("opt.txt", "run.log", "config.json")


@dataclass(frozen=True, slots=True)
class Options:
    """Training options found beside a file, by our names; ``source`` is the file they stand in, None where none."""

    values: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    source: Path | None = None

    @property
    def file(self) -> str:
        """The file's name, for notes."""
        return "" if self.source is None else self.source.name


def find_options(checkpoint: Path) -> Options:
    """Options from the first readable file in the checkpoint's folder, or the one above it."""
    for path in _candidates(checkpoint.absolute()):
        plain = {_ALIASES[key]: _plain(value) for key, value in _read(path).items() if key in _ALIASES}
        taken = {key: value for key, value in plain.items() if _is_setting(value)}
        if taken:
            return Options(taken, path)
    return Options()


def find_normalizer(checkpoint: Path, dim: int, columns: Tensor | None = None) -> tuple[Normalizer, Path] | None:
    """Mean and std [D] where the project keeps them, and the folder; None where there are none of the right length.

    ``columns`` picks a body part's features from the mean and std of the whole body.
    """
    for folder in _statistics_folders(checkpoint.absolute()):
        found = _read_statistics(folder, dim, columns)
        if found is not None:
            return found, folder
    return None


def files_beside(checkpoint: Path) -> list[Path]:
    """All files whose content decides how a checkpoint is read; those that are not there are not listed."""
    options = [path for path in _candidates(checkpoint.absolute()) if path.is_file()]
    folders = _statistics_folders(checkpoint.absolute())
    means = [mean for folder in folders for mean in sorted(folder.glob("*[mM]ean.npy"))]
    return [*options, *means, *(path for path in map(_partner, means) if path.is_file())]


class _PlainYaml(yaml.SafeLoader):
    """YAML without ``<<`` keys: a few lines of them unfold to billions of entries."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave the node as it is; a ``<<`` key then has no meaning, and the file is not read."""


def _candidates(checkpoint: Path) -> Iterator[Path]:
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        yield from (folder / name for name in _NAMES)
        yield from sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))


def _statistics_folders(checkpoint: Path) -> Iterator[Path]:
    for above in (checkpoint.parent, checkpoint.parent.parent, checkpoint.parent.parent.parent):
        yield from (above / "meta", above / "mean_std", above)


def _read_statistics(folder: Path, dim: int, columns: Tensor | None) -> Normalizer | None:
    for mean_path in sorted(folder.glob("*[mM]ean.npy")):
        std_path = _partner(mean_path)
        mean, std = _values(mean_path), _values(std_path)
        if mean is None or std is None or mean.shape != std.shape or bool((std < 0).any()):
            continue
        if columns is not None and len(mean) > int(columns.max()):
            mean, std = mean[columns], std[columns]
        if len(mean) == dim:
            return Normalizer(mean, std)
    return None


def _partner(mean_path: Path) -> Path:
    """The std file that belongs to a mean file: mean.npy -> std.npy, Mean.npy -> Std.npy."""
    stem = mean_path.name.removesuffix("ean.npy")
    return mean_path.with_name(stem[:-1] + ("Std.npy" if stem.endswith("M") else "std.npy"))


def _values(path: Path) -> Tensor | None:
    """One-dimensional finite numbers of a .npy file; None where it does not hold such (it may be anyone's file)."""
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r") if path.is_file() else None
    except Exception:  # numpy raises what it happens to meet in a damaged header
        return None
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim != 1:
        return None
    if not 0 < len(values) <= MOST_FEATURES:
        return None
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    return torch.from_numpy(floats) if np.isfinite(floats).all() else None


def _read(path: Path) -> dict[str, Any]:
    """Names and values of an options file; empty where it is absent, too long, or not such a file."""
    try:
        if not path.is_file() or (path.stat().st_size > LARGEST_TEXT and path.name != "run.log"):
            return {}
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST_TEXT)
    except OSError:
        return {}
    if path.name == "opt.txt":
        return _read_opt(text)
    try:
        if path.name == "run.log":
            start = text.index("{")
            return _mapping(json.JSONDecoder().raw_decode(text, start)[0])
        if path.suffix == ".json":
            return _mapping(json.loads(text))
        values = _mapping(yaml.load(text, _PlainYaml))
    except Exception:  # PyYAML raises KeyError, IndexError, AttributeError... on values that are no such
        return {}
    return values | _mapping(values.get("params"))


def _read_opt(text: str) -> dict[str, Any]:
    """``key: value`` lines between two dashed ones."""
    pairs = (line.partition(": ") for line in text.splitlines() if not line.startswith("-"))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _is_setting(value: object) -> bool:
    """Whether a value is a short word or a number of a size that settings have."""
    if isinstance(value, int | float):
        return abs(value) < _LARGEST_SETTING
    return value is None or (isinstance(value, str) and len(value) < _LONGEST_WORD)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {key: item for key, item in cast(Mapping[Any, Any], value).items() if isinstance(key, str)}


def _plain(value: object) -> Any:
    """Text as it was meant: options files write None, numbers and booleans as words."""
    if not isinstance(value, str):
        return value
    if value in ("None", "null", ""):
        return None
    if value in ("True", "False"):
        return value == "True"
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() and "." not in value else number
