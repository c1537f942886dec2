"""The real command on several processes of this machine, and what its reports must agree in."""

import json
import os
import runpy
import subprocess
import sys
import uuid
from pathlib import Path

from forked import completed

from rvq_core.cli import main

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
    return subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=240, cwd=ROOT, env=_environment(environment)
    )


def on_forked_ranks(
    count: int, *arguments: object, program: str | Path | None = None, restarts: int = 0, **environment: str
):
    """As ``on_ranks``: torchrun's own agent, whose ranks are forked and so need not import torch."""
    given = (count, restarts, program, list(map(str, arguments)))
    return completed(_launch, *given, cwd=ROOT, environment=_environment(environment))


def _environment(changed: dict[str, str]) -> dict[str, str]:
    told = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return told | {"PYTHONPATH": str(ROOT)} | changed


def _launch(count: int, restarts: int, program: Path | None, arguments: list[str]) -> None:
    from torch.distributed import run
    from torch.distributed.launcher.api import elastic_launch

    standalone = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", f"--rdzv-id={uuid.uuid4()}"]
    given = [f"--nproc-per-node={count}", f"--max-restarts={restarts}", "--start-method=fork", "a program"]
    config, *_ = run.config_from_args(run.get_args_parser().parse_args([*standalone, *given]))
    elastic_launch(config, _rank)(program, arguments)


def _rank(program: Path | None, arguments: list[str]) -> None:
    sys.argv = [str(program), *arguments]
    if program is None:
        main(arguments)
    else:
        runpy.run_path(str(program), run_name="__main__")


def content(report: Path) -> dict[str, object]:
    """Every file of a report by its bytes, the manifest without the two lines that may differ."""
    files = {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    manifest = json.loads(files.pop("report.json"))
    del manifest["created"], manifest["command"]
    return files | {"report.json": manifest}
