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


def measured(pipeline, encoded):
    kept = [*Path(shards).glob("block_*.npz")]
    if rank == "1" and kept and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        if fault == "kill":
            Path(log).with_name("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise ClipError(encoded.clip.name, expected="no fault", found="one that was made", do="look at the test")
    with open(log, "a") as file:
        file.write(encoded.clip.name + "\\n")
    time.sleep(0.2)  # so that no rank is through before the other begins
    return measure(pipeline, encoded)


one_pass.measure_clip = measured
main(sys.argv[1:])
"""
"""The command, telling in LOG which clips are measured; rank 1 ends by FAULT once a shard is kept."""


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
