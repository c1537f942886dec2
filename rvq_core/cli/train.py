"""``rvq-lens train``: train a model on motion clips."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.shared import add_clips, read_clips_of, tell_left_out
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from rvq_core.clips.load import ClipSet


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("train", help="train a model on motion clips")
    add_clips(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML or JSON")
    parser.add_argument("--iterations", type=int, metavar="N", help="optimizer steps")
    parser.add_argument("--part", help="upper, hands or lower: a model of that part, from clips of the whole body")
    parser.add_argument(
        "--held-out", metavar="NAMES", help="clips never trained on: names with commas, or a file of names"
    )
    parser.add_argument("--seed", type=int, help="of weights, batches and the draw of held-out clips")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting, such as nb_code=1024"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, and keep what was reached when stopped."""
    from rvq_core.ranks import ranks_of_torchrun
    from rvq_core.training import TrainSettings, train
    from rvq_core.training.run_folder import CHECKPOINT
    from rvq_core.training.settings import read_settings

    with ranks_of_torchrun() as ranks:
        base = TrainSettings()
        settings = base if options.config is None else read_settings(options.config, base)
        settings = settings.changed(_settings_from_flags(options), "rvq-lens train")
        clips = read_clips_of(options)
        if ranks.first:
            _tell(clips, settings.fps)
        line, quiet = options.command_line, options.quiet
        try:
            path = train(
                clips.clips, options.out, settings, command=line, quiet=quiet, device=options.device, ranks=ranks
            )
        except KeyboardInterrupt:
            if ranks.first and (options.out / CHECKPOINT).is_file():
                kept = options.out / CHECKPOINT
                print(f"rvq-lens: kept what was reached: {kept}; the same command goes on", file=sys.stderr)
            raise
    if ranks.first:
        print(f"checkpoint: {path}")
    return 0


def _tell(clips: ClipSet, fps: float) -> None:
    """Say on stderr which clips were left out, what was read with doubts, and which will be resampled to ``fps``."""
    for path, reason in clips.left_out:
        tell_left_out(str(path), reason)
    for told in clips.warnings:
        print(f"rvq-lens: {told}", file=sys.stderr)
    others = Counter(clip.fps for clip in clips.clips if clip.fps != fps)
    if others:
        (most, _), count = others.most_common(1)[0], others.total()
        whose = f"{count} of {len(clips.clips)} clips" if count < len(clips.clips) else "all clips"
        at = f"{most:g} fps" + (" and other rates" if len(others) > 1 else "")
        print(
            f"rvq-lens: {whose} are resampled from {at} to {fps:g} fps; --set fps={most:g} trains at that rate",
            file=sys.stderr,
        )


def _settings_from_flags(options: argparse.Namespace) -> dict[str, Any]:
    values = dict(_assignment(text) for text in options.set)
    _refuse_misspelt(values)
    for name in ("part", "iterations", "seed"):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    if options.held_out is not None:
        values["held_out"] = _names(options.held_out)
    return values


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Raise SettingsError for a name that is near those of settings; of any other all of them are told later."""
    from dataclasses import fields
    from difflib import get_close_matches

    from rvq_core.autoencoder import RVQVAEConfig
    from rvq_core.training import TrainSettings

    known = sorted({field.name for kind in (TrainSettings, RVQVAEConfig) for field in fields(kind)})
    for name in names:
        near = [] if name in known else get_close_matches(name.lower().replace("-", "_"), known)
        if near:
            raise SettingsError(
                f"--set {name}", expected=f"a setting, such as {' or '.join(near)}", found=repr(name),
                do=f"correct the name: --set {near[0]}=VALUE",
            )  # fmt: skip


def _names(text: str) -> list[str]:
    """Names with commas between them, or of the lines of a file."""
    # os.path, because a list of names too long for a path is no error there.
    if os.path.isfile(text):  # noqa: PTH113
        try:
            text = Path(text).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"--held-out {text}", expected="a text file with one name a line", found=str(error), do="check the path"
            ) from error
    else:
        text = text.replace(",", "\n")
    return [name.strip() for name in text.splitlines() if name.strip()]


def _assignment(text: str) -> tuple[str, Any]:
    """``name=value``, the value read as JSON where it is JSON and as text where not."""
    import json

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"--set {text}", expected="NAME=VALUE", found=repr(text), do="write it like nb_code=1024")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
