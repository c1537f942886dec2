"""What several commands share: naming a checkpoint and clips, progress, lines on stderr."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from rvq_core.clips.load import ClipSet
    from rvq_core.corpus import ClipFiles
    from rvq_core.loading import Checkpoint
    from rvq_core.parts import PartsReport
    from rvq_core.ranks import Ranks
    from rvq_core.report import Report
    from rvq_core.shards import Shards

AnyReport = TypeVar("AnyReport", bound="Report | PartsReport")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, and what can be said of it where its file does not tell."""
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="a checkpoint file, or a folder with one")
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How a checkpoint is to be read."""
    said = parser.add_argument_group("where the file does not tell, or tells wrong")
    said.add_argument("--activation", help="of the residual blocks: relu, silu, gelu")
    said.add_argument("--norm", help="of the residual blocks: LN, GN or BN")
    said.add_argument("--dilation-growth-rate", type=int, metavar="N")
    said.add_argument("--mean", type=Path, metavar="FILE.npy", help="mean of the features (with --std)")
    said.add_argument("--std", type=Path, metavar="FILE.npy", help="standard deviation of the features (with --mean)")


def open_checkpoint(options: argparse.Namespace) -> Checkpoint:
    """Open the checkpoint that is named, as ``add_reading`` asked for."""
    from rvq_core.loading import load_checkpoint

    return load_checkpoint(
        options.checkpoint,
        activation=options.activation,
        norm=options.norm,
        dilation_growth_rate=options.dilation_growth_rate,
        mean=options.mean,
        std=options.std,
    )


def add_clips(parser: argparse.ArgumentParser) -> None:
    """The clips, and how they are to be read."""
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIPS", help="motion files, or folders of them")
    add_clip_reading(parser)


def add_clip_reading(parser: argparse.ArgumentParser) -> None:
    """How clips are to be read: their bones, and which of them."""
    parser.add_argument(
        "--bone-map", type=Path, metavar="FILE", help='TOML or JSON for unknown skeletons: left_hip = "LeftUpLeg", ...'
    )
    parser.add_argument("--split", type=Path, metavar="FILE", help="read only the clips of this list, one name a line")


def read_clips_of(options: argparse.Namespace) -> ClipSet:
    """Read the clips that are named, as ``add_clip_reading`` asked for."""
    from rvq_core.clips.load import read_clips

    return read_clips(options.clips, bone_map=options.bone_map, split=options.split)


def clip_files_of(
    options: argparse.Namespace, checkpoint: Checkpoint, ranks: Ranks, shards: Shards
) -> tuple[ClipFiles, tuple[str, ...]]:
    """The files of the clips that are named, to be read between ranks; and warnings of what is not there."""
    from rvq_core.analysis import identity
    from rvq_core.clips.bones import read_bone_map
    from rvq_core.clips.load import list_files, nothing_read
    from rvq_core.corpus import ClipFiles

    given, files, told = list_files(options.clips, options.split)
    if not files:
        raise nothing_read(given, [])
    bones = None if options.bone_map is None else read_bone_map(options.bone_map)
    return ClipFiles(given, files, bones, ranks, shards, identity(checkpoint)), told


def measured(options: argparse.Namespace, measure: Callable[..., AnyReport], **settings: Any) -> AnyReport:
    """The clips measured with ``analyze`` or its like and its ``settings``; what was left out is told on stderr."""
    clips = read_clips_of(options)
    with progress_bar("clips") as progress, quiet_warnings():
        report = measure(
            clips.clips,
            device=options.device,
            seed=options.seed,
            progress=progress,
            left_out=clips.left_out,
            warned=clips.warnings,
            command=options.command_line,
            **settings,
        )
    tell_all_left_out(report.manifest)
    return report


@contextmanager
def quiet_warnings() -> Generator[None]:
    """No warnings of Python: what is warned about stands in the manifest, which the commands tell line by line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tell_all_left_out(manifest: Mapping[str, Any]) -> None:
    """Say on stderr which clips were left out, and why."""
    for entry in manifest["left_out"]:
        tell_left_out(entry["clip"], entry["reason"])


def refuse_useless(options: argparse.Namespace, command: str, what: str) -> None:
    """Raise before the work where its result could not be kept: no ``--out``, or one that cannot be written."""
    from rvq_core.report import KIND

    if options.out is not None:
        KIND.refuse_unwritable(options.out)
    elif not options.json:
        raise SettingsError(f"rvq-lens {command}", expected="--out DIR", found="none", do=f"say where the {what} goes")


def tell_left_out(clip: str, reason: str) -> None:
    """Say on stderr why a clip was left out."""
    # A reason mostly names the file itself, and the field after it.
    print("rvq-lens: left out", reason if reason.startswith(clip) else f"{clip}: {reason}", file=sys.stderr)


def launched_with_others() -> bool:
    """Whether torchrun, or its like, has started several processes of this command."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def progress_bar(unit: str, *, shown: bool = True) -> Generator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, where that is a terminal and it is to be ``shown``."""
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", disable=None if shown else True, file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.n = done
            bar.set_postfix_str(what)

        yield show


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    return [dict(zip(table.columns, values, strict=True)) for values in table.itertuples(index=False)]
