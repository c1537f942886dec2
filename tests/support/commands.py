"""Running the real command, and what every complaint of it must look like."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from forked import completed

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "rvq_core", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=120, **options)


def assert_one_line(err: str, *parts: str) -> None:
    """One line that names what it must, with what was expected and found."""
    assert err.count("\n") == 1, err
    assert err.startswith("rvq-lens: ")
    assert "Traceback" not in err
    assert "a fault of rvq-lens" not in err
    assert "expected" in err
    assert "found" in err
    for part in parts:
        assert part in err, err


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own that finds the packages."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def script(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As ``python`` with a script, but that torch need not be imported for it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return completed(_run_script, str(path), arguments, cwd=Path.cwd(), environment=environment)


def _run_script(path: str, arguments: tuple[str, ...]) -> None:
    sys.argv = [path, *arguments]
    others = [entry for entry in sys.path if not Path(entry).is_relative_to(ROOT / "tests")]
    sys.path[:] = [str(Path(path).parent), str(ROOT), *others]
    main = sys.modules["__main__"] = sys.modules["__mp_main__"] = ModuleType("__main__")  # as processes of it look for
    main.__file__ = path
    exec(compile(Path(path).read_bytes(), path, "exec"), vars(main))
