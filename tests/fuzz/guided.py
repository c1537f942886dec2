"""Damaged files guided by what they make the code do: atheris (libFuzzer) on the project's own parsers.

    pip install -e '.[fuzz]' -c constraints.txt
    python tests/fuzz/guided.py [--only NAME] [--seconds 60] [--seed 1] [--keep FOLDER]

Changes that reach code which no earlier one has reached are kept and changed again. Kinds and whole files are those of
run.py; here a file is only opened, not used. Each is read, or refused in one line, within 20 seconds (waiting time)
and 1 GB. What failed, or took too long, is kept in FOLDER, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from run import MEGABYTES, one_line  # noqa: E402

OWN = ("clip .bvh", "clip .amc, .asf", "clip .txt (DeepMimic)", "options, mean and std", "split .txt", "groups .csv")
"""Kinds that no library reads for us; the first of a kind's damaged files is changed."""

SLOWEST = 20
"""Seconds that a file may take, with others at work on the machine."""

BELOW = 600
"""Megabytes that the process has before a file is read."""


def fuzz(target: str, seconds: int, seed: int, keep: Path) -> bool:
    """Change and read files of a kind for so long, in a process of its own; tells whether all went well."""
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rvq-lens-guided-") as folder:
        (Path(folder) / "corpus").mkdir()
        limits = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={SLOWEST}", "-max_len=65536"]
        limits += [f"-rss_limit_mb={MEGABYTES + BELOW:.0f}", f"-artifact_prefix={keep}/", "-print_final_stats=1"]
        command = [sys.executable, __file__, "--inside", folder, "--only", target, *limits, f"{folder}/corpus"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    told = re.findall(r"^stat::(?:number_of_executed_units|peak_rss_mb): +(\d+)", done.stderr, re.MULTILINE)
    reached = re.findall(r"cov: (\d+)", done.stderr)[-1:]
    if done.returncode or len(told) < 2 or not reached:
        print(f"{target}: failed\n{done.stderr[-3000:]}", file=sys.stderr)
        return False
    print(f"| {target} | {int(told[0]):,} | {reached[0]} | {told[1]} |", flush=True)
    return True


def inside(name: str, folder: Path, arguments: list[str]) -> None:
    """Change and read; what goes wrong ends the process, and libFuzzer keeps the file."""
    import atheris

    with atheris.instrument_imports(include=["rvq_core"]):
        from seeds import TARGETS
    from run import warm

    from rvq_core import load_checkpoint, load_clips
    from rvq_core.errors import RVQLensError

    target = next(target for target in TARGETS if target.name == name)
    whole = folder / "whole"
    whole.mkdir()
    target.write(whole)
    warm(target, whole)
    changed = whole / target.damaged[0]
    shutil.copy(changed, folder / "corpus" / "whole")
    opener = {"clip": load_clips, "options": load_checkpoint}.get(re.split(r"\W", name)[0], target.read)
    warnings.simplefilter("ignore")

    def read(content: bytes) -> None:
        changed.write_bytes(content)
        try:
            opener(whole / target.opened)
        except RVQLensError as error:
            if not one_line(str(error)):
                raise AssertionError(f"refused in more than a line: {str(error)[:300]!r}") from error

    atheris.Setup([sys.argv[0], *arguments], read)
    atheris.Fuzz()


def main() -> int:
    """Fuzz each kind in turn and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--seconds", type=int, default=60, help="for each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    told, rest = parser.parse_known_args()
    if told.inside is not None:
        inside(told.only, told.inside, rest)
        return 0
    kinds = [name for name in OWN if told.only in name]
    if rest or not kinds:
        parser.error(f"expected a part of one of {', '.join(OWN)}, found {' '.join(rest) or told.only!r}")
    print("| kind | files | places in the code reached | most memory, MB |\n|---|---:|---:|---:|")
    went_well = [fuzz(name, told.seconds, told.seed, told.keep.resolve()) for name in kinds]
    return 0 if all(went_well) else 1


if __name__ == "__main__":
    sys.exit(main())
