"""The command line, ``rvq-lens`` or ``python -m rvq_core``.

Exit codes: 0 fine, 1 a check failed, 2 bad input (one line on stderr that says what was expected, what was found and
what to do), 130 stopped by Ctrl-C. Heavy imports stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rvq_core import __version__
from rvq_core.errors import RVQLensError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from rvq_core.clips.load import ClipSet
    from rvq_core.loading import Checkpoint
    from rvq_core.report import Report

BAD_INPUT = 2
STOPPED = 130
NO_MEMORY = "expected enough memory, found too little; give fewer or shorter clips, or a smaller model"
DEBUG = "RVQ_LENS_DEBUG"
"""Set this environment variable to see where an error comes from."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code; every error becomes one line on stderr."""
    try:
        options = _parser().parse_args(arguments or ["dash"])
        options.command_line = shlex.join(["rvq-lens", *arguments])
        command: Callable[[argparse.Namespace], int] = options.run
        code = command(options)
        # A reader that has gone is noticed here, where it can still be caught.
        sys.stdout.flush()
        return code
    except RVQLensError as error:
        return _complain(str(error), error)
    except KeyboardInterrupt:
        print("rvq-lens: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader of our output has gone; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        return _complain(NO_MEMORY, error)
    except UnicodeEncodeError as error:
        # Names come from the file system, where they may be bytes of another encoding.
        name = ascii(error.object.split("\0")[0])
        return _complain(f"{name}: expected a name in UTF-8, found other bytes; rename the file", error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}expected a file that works, found {error.strerror or error}; check the path", error)
    except Exception as error:
        if isinstance(error, RuntimeError) and re.search("allocate memory|out of memory", str(error)):
            return _complain(NO_MEMORY, error)  # torch's own, of the processor and of a GPU
        kind = type(error).__name__
        return _complain(f"a fault of rvq-lens ({kind}: {error}); set {DEBUG}=1, run again and report it", error)


def _complain(line: str, error: BaseException) -> int:
    if os.environ.get(DEBUG):
        raise error
    print("rvq-lens:", " ".join(line.split()), file=sys.stderr)
    return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(
            self.prog, expected="arguments as --help shows them", found=message, do=f"see {self.prog} --help"
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rvq-lens", description="See what the codebooks of a residual-VQ motion model really do.")
    parser.add_argument("--version", action="version", version=f"rvq-lens {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _add_dash(commands)
    _add_inspect(commands)
    _add_analyze(commands)
    _add_train(commands)
    _add_convert(commands)
    parser.set_defaults(run=_dash, checkpoints=None, clips=None, port=None)
    return parser


# ---------------------------------------------------------------------------------------------- dash


def _add_dash(commands: Any) -> None:
    parser = commands.add_parser("dash", help="open the dashboard (also: rvq-lens alone)")
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="folder of checkpoints (default: the bundled ones)"
    )
    parser.add_argument("--clips", type=Path, metavar="DIR", help="folder of motion clips (default: the bundled ones)")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: 8501)")
    parser.set_defaults(run=_dash)


def _dash(options: argparse.Namespace) -> int:
    for name in ("checkpoints", "clips"):
        folder: Path | None = getattr(options, name)
        if folder is not None and not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
            raise SettingsError(f"--{name} {folder}", expected="a folder", found=found, do="check the path")
    from dashboard.launch import launch

    launch(options.checkpoints, options.clips, options.port)
    return 0


# ------------------------------------------------------------------------------------------- inspect


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="what a checkpoint file alone tells")
    _add_checkpoint(parser)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    import json

    from rvq_core.inspection import describe, inspect

    facts = inspect(_open_checkpoint(options))
    print(json.dumps(facts, indent=2, allow_nan=False) if options.json else describe(facts))
    return 0


# ------------------------------------------------------------------------------------------- analyze


def _add_analyze(commands: Any) -> None:
    parser = commands.add_parser("analyze", help="run clips through a checkpoint and write a report")
    _add_checkpoint(parser)
    _add_clips(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (needed unless --json)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="measure a random subset of this many frames")
    parser.add_argument("--seed", type=int, default=0, help="of the subset and of the intervals (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the content of report.json alone")
    parser.set_defaults(run=_analyze)


def _analyze(options: argparse.Namespace) -> int:
    from rvq_core.analysis import analyze
    from rvq_core.report import refuse_foreign_folder

    if options.out is None and not options.json:
        raise SettingsError("rvq-lens analyze", expected="--out DIR", found="none", do="say where the report goes")
    if options.out is not None:
        refuse_foreign_folder(options.out)
    checkpoint = _open_checkpoint(options)
    clips = _read_clips(options)
    with _progress("clips") as progress, warnings.catch_warnings():
        # What analyze warns about stands in the manifest, which is told line by line below.
        warnings.simplefilter("ignore")
        report = analyze(
            checkpoint,
            clips.clips,
            device=options.device,
            max_frames=options.max_frames,
            seed=options.seed,
            progress=progress,
            left_out=clips.left_out,
            command=options.command_line,
        )
    for entry in report.manifest["left_out"]:
        _tell_left_out(entry["clip"], entry["reason"])
    if options.out is not None:
        report.save(options.out)
    print(report.json().rstrip("\n") if options.json else _summary(report, options.out))
    return 0


def _summary(report: Report, out: Path | None) -> str:
    """A few lines for the terminal: what was measured, a row a layer, the error at full depth."""
    clips, checkpoint = report.manifest["clips"], report.manifest["checkpoint"]
    lines = [
        f"{checkpoint['name']} ({checkpoint['format']}) on {clips['count']} clips, {clips['frames']} frames, "
        f"{clips['seconds']:.1f} s, {int(report.layers['tokens'].iloc[0])} tokens a layer",
        "",
        "layer   codes  unseen  perplexity  (95 %)             residual energy",
    ]
    for row in _rows(report.layers):
        known = row["perplexity_low"] == row["perplexity_low"]
        interval = f"({row['perplexity_low']:.1f} to {row['perplexity_high']:.1f})" if known else "(under 5 clips)"
        lines.append(
            f"{row['layer']:>5}{row['codes']:>8}{row['unseen']:>8}{row['perplexity']:>12.1f}  {interval:<18}"
            f"{_or_none(row['residual_energy'], '.3f'):>14}"
        )
    lines.append("")
    full = report.reconstruction.query("n_active == n_active.max()")
    for row in _rows(full):
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        lines.append(
            f"{row['metric']}: {_or_none(row['value'], '.4g', unit)} with all quantizers, "
            f"{_or_none(row['reference'], '.4g', unit)} unquantised"
        )
    lines += _split_lines(report)
    told = [(kind, text) for kind in ("warning", "note") for text in report.manifest[f"{kind}s"]]
    lines += ["", *(f"{kind}: {text}" for kind, text in told), f"report: {out}"]
    return "\n".join(lines)


def _split_lines(report: Report) -> list[str]:
    """The error at full depth of held-out and of training clips apart, where the checkpoint tells them."""
    from rvq_core.stats.reconstruction import errors_by_split

    split = errors_by_split(report.clips, report.clip_errors)
    told = split[split["metric"].isin(["mpjpe", "feature_mse"])].sort_values("held_out", ascending=False, kind="stable")
    return [
        f"  {row['metric']} of the {row['clips']} {'held-out' if row['held_out'] else 'training'} clips: "
        f"{row['value']:.4g}{' mm' if row['metric'] == 'mpjpe' else ''}"
        for row in _rows(told)
    ]


def _or_none(value: float, form: str, unit: str = "") -> str:
    return "none" if value != value else f"{value:{form}}{unit}"


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, values, strict=True)) for values in table.itertuples(index=False)]


# --------------------------------------------------------------------------------------------- train


def _add_train(commands: Any) -> None:
    parser = commands.add_parser("train", help="train a model on motion clips")
    _add_clips(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML or JSON")
    parser.add_argument("--iterations", type=int, metavar="N", help="optimizer steps")
    parser.add_argument(
        "--held-out", metavar="NAMES", help="clips never trained on: names with commas, or a file of names"
    )
    parser.add_argument("--seed", type=int, help="of weights, batches and the draw of held-out clips")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting, such as nb_code=1024"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from rvq_core.training import TrainSettings, train
    from rvq_core.training.settings import read_settings
    from rvq_core.training.trainer import CHECKPOINT

    base = TrainSettings()
    settings = base if options.config is None else read_settings(options.config, base)
    settings = settings.changed(_settings_from_flags(options), "rvq-lens train")
    clips = _read_clips(options)
    for path, reason in clips.left_out:
        _tell_left_out(str(path), reason)
    try:
        path = train(clips.clips, options.out, settings, command=options.command_line, quiet=options.quiet)
    except KeyboardInterrupt:
        if (options.out / CHECKPOINT).is_file():
            print(f"rvq-lens: kept what was reached: {options.out / CHECKPOINT}", file=sys.stderr)
        raise
    print(f"checkpoint: {path}")
    return 0


def _settings_from_flags(options: argparse.Namespace) -> dict[str, Any]:
    values = dict(_assignment(text) for text in options.set)
    for name in ("iterations", "seed"):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    if options.held_out is not None:
        values["held_out"] = _names(options.held_out)
    return values


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


# ------------------------------------------------------------------------------------------- convert


def _add_convert(commands: Any) -> None:
    parser = commands.add_parser("convert", help="write a checkpoint of any format as the native .safetensors")
    _add_checkpoint(parser)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    from rvq_core.loading.convert import convert

    checkpoint = _open_checkpoint(options)
    convert(checkpoint, options.out)
    print(f"checkpoint: {options.out} (from {checkpoint.format}, sha256 {checkpoint.sha256})")
    return 0


# -------------------------------------------------------------------------------------------- shared


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, and what can be said of it where its file does not tell."""
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="a checkpoint file, or a folder with one")
    said = parser.add_argument_group("where the file does not tell, or tells wrong")
    said.add_argument("--activation", help="of the residual blocks: relu, silu, gelu")
    said.add_argument("--norm", help="of the residual blocks: LN, GN or BN")
    said.add_argument("--dilation-growth-rate", type=int, metavar="N")
    said.add_argument("--mean", type=Path, metavar="FILE.npy", help="mean of the features (with --std)")
    said.add_argument("--std", type=Path, metavar="FILE.npy", help="standard deviation of the features (with --mean)")


def _open_checkpoint(options: argparse.Namespace) -> Checkpoint:
    from rvq_core.loading import load_checkpoint

    return load_checkpoint(
        options.checkpoint,
        activation=options.activation,
        norm=options.norm,
        dilation_growth_rate=options.dilation_growth_rate,
        mean=options.mean,
        std=options.std,
    )


def _add_clips(parser: argparse.ArgumentParser) -> None:
    """The clips, and what can be said of their bones."""
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIPS", help="motion files, or folders of them")
    parser.add_argument(
        "--bone-map", type=Path, metavar="FILE", help='TOML or JSON for unknown skeletons: left_hip = "LeftUpLeg", ...'
    )


def _read_clips(options: argparse.Namespace) -> ClipSet:
    from rvq_core.clips.load import read_clips

    return read_clips(options.clips, bone_map=options.bone_map)


def _tell_left_out(clip: str, reason: str) -> None:
    # A reason mostly names the file itself, and the field after it.
    print("rvq-lens: left out", reason if reason.startswith(clip) else f"{clip}: {reason}", file=sys.stderr)


@contextmanager
def _progress(unit: str) -> Generator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", disable=None, file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.n = done
            bar.set_postfix_str(what)

        yield show
