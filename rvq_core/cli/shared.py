"""What several commands share: naming a checkpoint and clips, progress, lines on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from rvq_core.clips.load import ClipSet
    from rvq_core.loading import Checkpoint


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, and what can be said of it where its file does not tell."""
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="a checkpoint file, or a folder with one")
    said = parser.add_argument_group("where the file does not tell, or tells wrong")
    said.add_argument("--activation", help="of the residual blocks: relu, silu, gelu")
    said.add_argument("--norm", help="of the residual blocks: LN, GN or BN")
    said.add_argument("--dilation-growth-rate", type=int, metavar="N")
    said.add_argument("--mean", type=Path, metavar="FILE.npy", help="mean of the features (with --std)")
    said.add_argument("--std", type=Path, metavar="FILE.npy", help="standard deviation of the features (with --mean)")


def open_checkpoint(options: argparse.Namespace) -> Checkpoint:
    """Open the checkpoint that ``add_checkpoint`` asked for."""
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
    """The clips, and what can be said of their bones."""
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIPS", help="motion files, or folders of them")
    parser.add_argument(
        "--bone-map", type=Path, metavar="FILE", help='TOML or JSON for unknown skeletons: left_hip = "LeftUpLeg", ...'
    )
    parser.add_argument("--split", type=Path, metavar="FILE", help="read only the clips of this list, one name a line")


def read_clips_of(options: argparse.Namespace) -> ClipSet:
    """Read the clips that ``add_clips`` asked for."""
    from rvq_core.clips.load import read_clips

    return read_clips(options.clips, bone_map=options.bone_map, split=options.split)


def tell_left_out(clip: str, reason: str) -> None:
    """Say on stderr why a clip was left out."""
    # A reason mostly names the file itself, and the field after it.
    print("rvq-lens: left out", reason if reason.startswith(clip) else f"{clip}: {reason}", file=sys.stderr)


@contextmanager
def progress_bar(unit: str) -> Generator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", disable=None, file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.n = done
            bar.set_postfix_str(what)

        yield show


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    return [dict(zip(table.columns, values, strict=True)) for values in table.itertuples(index=False)]
