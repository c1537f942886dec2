"""The thresholds of all rules, each with a name: changed from a dict, from flags or from a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from rvq_core.errors import SettingsError
from rvq_core.limits import SETTINGS, bounded_text


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a rule begins to speak. Shares are of 1; docs/verdicts.md says why each stands where it does.

    Unseen codes and perplexity are compared with what as many tokens would show if all K codes were used evenly.
    ``max_unseen`` and ``min_perplexity_ratio`` are severe, ``many_unseen`` and ``low_perplexity_ratio`` warnings.
    ``max_top1_share``: tokens on one code. ``max_duplicates``: codes that lie on another. ``reset_threshold``: EMA
    count of a dead code, where the checkpoint tells none; ``max_ema_dead``: such codes of a layer.
    ``batch_tokens_per_code``, ``corpus_tokens_per_code``: fewer are too few to train a code on.
    ``judged_tokens_per_code``: fewer tokens of the clips do not judge a codebook. ``max_held_out_ratio``: error of
    held-out over that of training clips. ``quantizer_share``: of the error, below which the quantizer is no
    bottleneck. ``beam_gain``: of the error, that beam search takes off. ``max_layer_ami``: adjusted mutual information
    of two layers.
    """

    max_unseen: float = 0.5
    many_unseen: float = 0.2
    min_perplexity_ratio: float = 0.1
    low_perplexity_ratio: float = 0.25
    max_top1_share: float = 0.25
    max_duplicates: float = 0.01
    reset_threshold: float = 1.0
    max_ema_dead: float = 0.25
    batch_tokens_per_code: float = 4.0
    corpus_tokens_per_code: float = 20.0
    judged_tokens_per_code: float = 10.0
    max_held_out_ratio: float = 1.5
    quantizer_share: float = 0.1
    beam_gain: float = 0.05
    max_layer_ami: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not is_number(value) or value < 0:
                raise _refused("thresholds", field.name, "a number >= 0", value)

    def changed(self, values: Mapping[str, Any], where: str = "thresholds") -> Self:
        """These thresholds with others by name. Raises SettingsError that names ``where`` and the threshold."""
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise SettingsError(
                    f"{where}: {name}", expected="a threshold: " + ", ".join(sorted(known)), found=repr(name),
                    do="remove or rename it",
                )  # fmt: skip
            if not is_number(value) or value < 0:
                raise _refused(where, name, "a number >= 0", value)
        return replace(self, **{name: float(value) for name, value in values.items()})

    def to_dict(self) -> dict[str, float]:
        """All thresholds by name."""
        return asdict(self)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of thresholds. Raises SettingsError where it cannot be read."""
    try:
        return tomllib.loads(bounded_text(path, SETTINGS, SettingsError))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            str(path), expected="a TOML file of thresholds", found=str(error), do="correct the file"
        ) from error


def is_number(value: object) -> bool:
    """Whether a value of a file is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refused(where: str, name: str, expected: str, value: object) -> SettingsError:
    return SettingsError(f"{where}: {name}", expected=expected, found=repr(value), do="change this threshold")
