"""The real command on several processes of this machine, and what its reports must agree in."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FAULTY = """
import os, signal, sys, time
from pathlib import Path

from rvq_core import one_pass
from rvq_core.cli import main
from rvq_core.errors import ClipError

measure = one_pass.measure_clip
rank, log, shards, fault = os.environ.get("RANK", "0"), *(os.environ[name] for name in ("LOG", "SHARDS", "FAULT"))
faulty = fault != "none" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
begun = Path(log).with_name("begun")


def wait_for(there):
    while not there():
        time.sleep(0.02)


def measured(pipeline, encoded):
    if faulty and rank == "0":
        wait_for(begun.exists)
    if faulty and rank == "1":
        begun.touch()
        wait_for(lambda: [*Path(shards).glob("block_*.npz")])
        if fault == "kill":
            Path(log).with_name("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        raise ClipError(encoded.clip.name, expected="no fault", found="one that was made", do="look at the test")
    with open(log, "a") as file:
        file.write(encoded.clip.name + "\\n")
    return measure(pipeline, encoded)


one_pass.measure_clip = measured
main(sys.argv[1:])
"""
"""The command, telling in LOG which clips are measured; rank 1 ends by FAULT once rank 0, which waits for it to have
begun, has kept a shard."""


def on_ranks(count: int, *arguments: object, program: str | Path | None = None, restarts: int = 0, **environment: str):
    """The command under torchrun; ``program`` instead of it."""
    started = ["-m", "rvq_core"] if program is None else [str(program)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    line = [*launcher, f"--max-restarts={restarts}", *started, *map(str, arguments)]
    told = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=240, cwd=ROOT,
        env=told | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


def content(report: Path) -> dict[str, object]:
    """Every file of a report by its bytes, the manifest without the two lines that may differ."""
    files = {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    manifest = json.loads(files.pop("report.json"))
    del manifest["created"], manifest["command"]
    return files | {"report.json": manifest}
