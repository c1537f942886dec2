"""Damaged files by the thousand: each is read, or refused in one line, soon and in little memory.

    python tests/fuzz/run.py [--files 20000] [--seed 0] [--only NAME] [--keep FOLDER]

Files of all kinds in turn, changed at random: bytes anywhere, or what a file says. One process reads them; it may take
5 seconds of processor time and 1 GB above what it had for a file. Whatever else happens is a failure: another error
than RVQLensError, one of several lines, a crash, a hang. What failed is kept in FOLDER; the exit code is 1 then. The
same seed damages the same files alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

import numpy as np  # noqa: E402

SECONDS = 5.0
"""Processor time that a file may take."""

WAIT = 120.0
"""Seconds without an answer, however busy the machine is."""

MEGABYTES = 1000.0
LONGEST_LINE = 3000
READ, REFUSED = "read", "refused"
TICKS = os.sysconf("SC_CLK_TCK")


class Outcome(NamedTuple):
    """What became of a damaged file: ``read``, ``refused``, or what went wrong."""

    target: str
    number: int
    outcome: str
    seconds: float
    megabytes: float
    told: str = ""

    @property
    def failed(self) -> bool:
        """Whether it is neither a result nor a refusal within the bounds."""
        return self.outcome not in (READ, REFUSED) or self.seconds > SECONDS or self.megabytes > MEGABYTES


def fuzz(files: int, seed: int, only: str | None = None, keep: Path | None = None) -> Iterator[Outcome]:
    """Damage and read so many files, the kinds in turn; yields what became of each."""
    from seeds import TARGETS

    names = [target.name for target in TARGETS if only is None or only in target.name]
    with tempfile.TemporaryDirectory(prefix="rvq-lens-fuzz-") as folder:
        child = Child(Path(folder), seed)
        for number in range(files if names else 0):
            outcome = child.ask(names[number % len(names)], number // len(names))
            if outcome.failed and keep is not None:
                kept(keep, child.place, outcome)
            yield outcome
        child.close()


def kept(keep: Path, place: Path, outcome: Outcome) -> None:
    target = keep / f"{outcome.target.replace(' ', '_').replace('/', '_')}_{outcome.number}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(place, target)
    (target / "told.txt").write_text(f"{outcome}\n{outcome.told}", encoding="utf-8", errors="replace")


class Child:
    """The process that reads; another one takes its place when it dies or takes too long."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.place, self._folder, self._seed = folder / "file", folder, seed
        self._process: multiprocessing.process.BaseProcess | None = None

    def ask(self, target: str, number: int) -> Outcome:
        """Damage and read one file."""
        if self._process is None:
            self._start()
        assert self._process is not None
        self._pipe.send((target, number))
        begun, used = time.monotonic(), self._cpu()
        while not self._pipe.poll(0.2):
            spent = self._cpu() - used
            if not self._process.is_alive():
                return self._lost(Outcome(target, number, f"crash (exit {self._process.exitcode})", spent, 0.0))
            if spent > SECONDS + 1 or time.monotonic() - begun > WAIT:
                return self._lost(Outcome(target, number, "hang", spent, 0.0))
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            return self._lost(Outcome(target, number, f"crash (exit {self._process.exitcode})", 0.0, 0.0))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._folder, self._seed), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # ready: what it imports counts for no file

    def _lost(self, outcome: Outcome) -> Outcome:
        self.close()
        return outcome

    def _cpu(self) -> float:
        assert self._process is not None
        try:
            told = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(told[11]) + int(told[12])) / TICKS


def serve(pipe: Connection, folder: Path, seed: int) -> None:
    """Damage and read what is asked for, until the pipe closes."""
    import torch
    from seeds import TARGETS

    torch.set_num_threads(1)
    targets = {target.name: target for target in TARGETS}
    for target in TARGETS:
        whole = folder / "whole" / target.name.replace("/", "_")
        if not whole.is_dir():
            whole.mkdir(parents=True)
            torch.manual_seed(0)
            target.write(whole)
        warm(target, whole)
    pipe.send("ready")
    while True:
        try:
            name, number = pipe.recv()
        except EOFError:
            return
        target = targets[name]
        damage(folder / "whole" / name.replace("/", "_"), folder / "file", target.damaged, name, number, seed)
        pipe.send(outcome_of(target, number, folder / "file"))


def warm(target, whole: Path) -> None:
    """Read the whole file once: it must be one that is read, and what is imported for it counts for no other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.read(whole / target.opened if target.opened else whole)


def damage(whole: Path, place: Path, damaged: tuple[str, ...], name: str, number: int, seed: int) -> None:
    """A copy of the folder ``whole`` in which one of the files ``damaged`` is."""
    from mutations import mutate

    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    rng = np.random.default_rng([seed, number, *name.encode()])
    file = place / damaged[rng.integers(len(damaged))]
    file.write_bytes(mutate(file.read_bytes(), rng))


def outcome_of(target, number: int, place: Path) -> Outcome:
    """Read a damaged file, and tell what became of it."""
    from rvq_core.errors import RVQLensError

    outcome, told = READ, ""
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far is forgotten
    before, begun = memory("VmRSS"), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(place / target.opened if target.opened else place)
    except RVQLensError as error:
        outcome, told = REFUSED, str(error)
        if not one_line(told):
            outcome = "refused in more than a line"
    except (Exception, RecursionError) as error:  # whatever else it is, it is what is looked for
        outcome, told = type(error).__name__, traceback.format_exc()
    return Outcome(
        target.name, number, outcome, time.process_time() - begun, memory("VmHWM") - before, told[-20_000:]
    )  # fmt: skip


def one_line(told: str) -> bool:
    """Whether an error is told in one line that can be read."""
    return "\n" not in told and len(told) <= LONGEST_LINE


def memory(name: str) -> float:
    """Megabytes that the system tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def table(outcomes: list[Outcome]) -> str:
    """A line a kind: files, read, refused, failed, the slowest and the largest."""
    lines = [
        "| kind | files | read | refused | failed | slowest, s | most memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    names = [*dict.fromkeys(outcome.target for outcome in outcomes), "all"]
    for name in names:
        of = [outcome for outcome in outcomes if name in (outcome.target, "all")]
        counts = [sum(one.outcome == kind for one in of) for kind in (READ, REFUSED)]
        failed = sum(one.failed for one in of)
        slowest, largest = max(one.seconds for one in of), max(one.megabytes for one in of)
        lines.append(
            f"| {name} | {len(of):,} | {counts[0]:,} | {counts[1]:,} | {failed} | {slowest:.2f} | {largest:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Damage, read and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="kinds whose name holds this")
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-failures"), help="where damaged files that fail are kept"
    )
    told = parser.parse_args()
    outcomes: list[Outcome] = []
    begun = time.monotonic()
    for outcome in fuzz(told.files, told.seed, told.only, told.keep):
        outcomes.append(outcome)
        if outcome.failed:
            last = outcome.told.strip().splitlines()[-1:] or [""]
            print(f"{outcome.target} {outcome.number}: {outcome.outcome}, {outcome.seconds:.1f} s, "
                  f"{outcome.megabytes:.0f} MB: {last[0][:200]}", file=sys.stderr, flush=True)  # fmt: skip
    if not outcomes:
        sys.exit(f"fuzz: expected a kind of file whose name holds {told.only!r}, found none")
    print(table(outcomes))
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"\n{len(outcomes):,} files, seed {told.seed}, {time.monotonic() - begun:.0f} s; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
