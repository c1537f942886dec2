"""The command line, ``rvq-lens`` or ``python -m rvq_core``.

Exit codes: 0 fine, 1 a check failed, 2 bad input (one line on stderr that says what was expected, what was found and
what to do), 130 stopped by Ctrl-C. Heavy imports stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from rvq_core import __version__
from rvq_core.cli import analyze, check, compare, convert, dash, export, inspect, train
from rvq_core.errors import OtherRankError, RVQLensError, SettingsError

COMMANDS = (dash, inspect, analyze, compare, check, export, train, convert)
"""One module a command, in the order of ``--help``: ``add_to`` declares it, ``run`` does it."""

BAD_INPUT = 2
STOPPED = 130
NO_MEMORY = "expected enough memory, found too little; give fewer or shorter clips, or a smaller model"
DEBUG = "RVQ_LENS_DEBUG"
"""Set this environment variable to see where an error comes from."""

WAITING = "OMP_WAIT_POLICY"
"""How torch's threads wait for each other; read when torch is imported, by the commands."""

_INTERRUPTED = threading.Event()


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    # Beside a training run threads that wait busily take each other's turn: 20 s for an analysis of 3 s, measured.
    os.environ.setdefault(WAITING, "passive")
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
    except OtherRankError:
        return BAD_INPUT
    except RVQLensError as error:
        return _complain(str(error), error)
    except KeyboardInterrupt:
        return _stopped()
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
        if _INTERRUPTED.is_set():  # a library that was being imported has made something else of it
            return _stopped()
        if isinstance(error, RuntimeError) and re.search("allocate memory|out of memory", str(error)):
            return _complain(NO_MEMORY, error)  # torch's own, of the processor and of a GPU
        kind = type(error).__name__
        return _complain(f"a fault of rvq-lens ({kind}: {error}); set {DEBUG}=1, run again and report it", error)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _INTERRUPTED.set()
    signal.default_int_handler(number, frame)


def _stopped() -> int:
    print("rvq-lens: stopped", file=sys.stderr)
    return STOPPED


def _complain(line: str, error: BaseException) -> int:
    if os.environ.get(DEBUG):
        raise error
    rank = os.environ.get("RANK", "0")
    of_rank = "" if rank == "0" else f"rank {rank}: "
    print(f"rvq-lens: {of_rank}{' '.join(line.split())}", file=sys.stderr)
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
    for command in COMMANDS:
        command.add_to(commands)
    parser.set_defaults(run=dash.run, checkpoints=None, clips=None, port=None)
    return parser
