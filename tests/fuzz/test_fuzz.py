"""Fifteen damaged files of every kind: what `python tests/fuzz/run.py` does with twenty thousand."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds are measured through /proc")
def test_fifteen_damaged_files_of_every_kind_are_read_or_refused(tmp_path: Path):
    command = [sys.executable, RUN, "--files", "315", "--seed", "1", "--keep", tmp_path / "kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "315 files, seed 1" in done.stdout and "0 failed" in done.stdout
    assert not (tmp_path / "kept").exists()
