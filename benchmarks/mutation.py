"""Do the tests see it when the code is wrong? Small faults put into a module one at a time, its tests run on each.

    python benchmarks/mutation.py [--only NAME,...] [--sample 60] [--seed 0] [--list] [--quick]

A fault (mutant) is a comparison, an operator, a number, a truth value, a branch or a result that is another. Each is
put into a process of its own and counts as killed when a test fails or takes far longer than it should: first with the
tests that reach its function, in a process where all is imported already; what they do not see, with all tests of the
module from the start. ``--quick`` leaves that second try out for faults inside functions: what it calls not seen may
yet be. Those that no test sees are listed with their lines: some change nothing that can be seen, the others are tests
that are missing. Linux and macOS.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from in_place import InPlace
from mutants import Mutant, mutants_of, sample
from numba.core import config as numba_config

ROOT = Path(__file__).resolve().parent.parent


def _tests(*names: str) -> list[str]:
    return [f"tests/rvq_core/{name}.py" for name in names]


def _loading(*names: str) -> list[str]:
    return _tests(*(f"loading/test_{name}" for name in names))


QUANTIZER = _tests(
    "test_quantizer", "test_quantizer_indices", "test_quantizer_inputs", "test_quantizer_state", "test_ema_layer",
    "test_quantizer_options", "test_codebook_options",
)  # fmt: skip
SEARCH = _tests(*(f"search/test_{name}" for name in ("search", "scores", "loops", "compiled", "unwaiting")))
LOOPS = "rvq_core/search/loops.py"
REFUSED = _loading("formats_refused")
FORMATS = _loading("formats", "formats_refused")
TARGETS = {
    "quantizer": ("rvq_core/quantizer.py", QUANTIZER),
    "residual_pass": ("rvq_core/residual_pass.py", [*_tests("test_residual_pass"), *QUANTIZER]),
    "ema_layer": ("rvq_core/ema_layer.py", QUANTIZER),
    "search": ("rvq_core/search/__init__.py", SEARCH),
    "by_torch": ("rvq_core/search/by_torch.py", SEARCH),
    "compiled": ("rvq_core/search/compiled.py", [*SEARCH, *_tests("test_residual_pass")]),
    "loops": (LOOPS, _tests("search/test_loops")),
    "scores": ("rvq_core/search/scores.py", SEARCH),
    "unwaiting": ("rvq_core/search/unwaiting.py", SEARCH),
    "usage": ("rvq_core/stats/usage.py", _tests("stats/test_usage")),
    "reconstruction": ("rvq_core/stats/reconstruction.py", _tests("stats/test_reconstruction")),
    "errors": ("rvq_core/stats/errors.py", _tests("stats/test_errors")),
    "metrics": ("rvq_core/stats/metrics.py", _tests("stats/test_metrics")),
    "loading": ("rvq_core/loading/__init__.py", [*REFUSED, *_loading("native_overrides", "overrides", "sidecars")]),
    "checkpoint": ("rvq_core/loading/checkpoint.py", _loading("checkpoint", "normalizer", "native")),
    "convert": ("rvq_core/loading/convert.py", _loading("convert", "overrides")),
    "read": ("rvq_core/loading/read.py", [*REFUSED, *_loading("read", "containers", "native_refused", "hostile")]),
    "sidecars": ("rvq_core/loading/sidecars.py", _loading("sidecars")),
    "unwrap": ("rvq_core/loading/unwrap.py", _loading("unwrap", "formats")),
    "base": ("rvq_core/loading/formats/base.py", [*REFUSED, *_loading("base", "native_refused", "hostile")]),
    "codebooks": ("rvq_core/loading/formats/codebooks.py", [*FORMATS, *_loading("codebooks")]),
    "convolutional": (
        "rvq_core/loading/formats/convolutional.py",
        [*FORMATS, *_loading("convolutional", "containers")],
    ),
    "emage": ("rvq_core/loading/formats/emage.py", [*FORMATS, *_loading("emage")]),
    "native": ("rvq_core/loading/formats/native.py", _loading("native", "native_refused")),
    "vector_quantize": ("rvq_core/loading/formats/vector_quantize.py", [*FORMATS, *_loading("vector_quantize")]),
}
"""A name, the module that faults are put into, and the tests that should see them."""

SLOWER, PATIENCE = 4, 10.0
"""A mutant is killed when its tests take so many times as long as without it, and so many seconds more."""

LIBRARIES = ("numpy", "pandas", "scipy.spatial.transform", "scipy.stats")
"""There before a fork: each mutant would import them again."""

OPTIONS = ["-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"]
"""Of pytest: the first failure is enough, and nobody reads it."""


def main() -> None:
    """Try mutants and print a table; on stderr those that no test saw."""
    parser = argparse.ArgumentParser(description="Faults that the tests should see.")
    parser.add_argument("--only", default=",".join(TARGETS), help="names of modules, by comma")
    parser.add_argument("--sample", type=int, help="so many of each module, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="count the mutants and try none")
    parser.add_argument("--quick", action="store_true", help="only with the tests that reach a mutant's function")
    told = parser.parse_args()
    os.chdir(ROOT)
    torch.set_num_threads(1)
    for name in LIBRARIES:
        importlib.import_module(name)
    print("| module | mutants | tried | killed | not seen | s |\n|---|---:|---:|---:|---:|---:|")
    for name in told.only.split(","):
        path, tests = TARGETS[name]
        mutants = list(mutants_of(Path(path).read_text(encoding="utf-8")))
        tried = mutants if told.sample is None else sample(mutants, told.sample, told.seed)
        begun = time.perf_counter()
        alive = [] if told.list else survivors(path, tests, tried, quick=told.quick)
        spent = time.perf_counter() - begun
        shown = len(tried) if not told.list else 0
        print(f"| {path} | {len(mutants)} | {shown} | {shown - len(alive)} | {len(alive)} | {spent:.0f} |", flush=True)
        for one in alive:
            print(f"{path}:{one.line}: {one.before}  ->  {one.after}", file=sys.stderr, flush=True)


def survivors(path: str, tests: list[str], mutants: list[Mutant], *, quick: bool = False) -> list[Mutant]:
    """Those that no test sees. Ends the program where the tests fail on the module as it is."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*OPTIONS, f"--basetemp={folder}/tests", *tests]  # each process empties what the one before it left
        killed = killed_in_place(path, words, mutants)
        left = [mutant for number, mutant in enumerate(mutants) if number not in killed]
        again = [mutant for mutant in left if mutant.function is None or not quick]
        if again:
            begun = time.perf_counter()
            passes(path, None, words, 3600.0)
            patience = SLOWER * (time.perf_counter() - begun) + PATIENCE
            seen = [mutant for mutant in again if not passes(path, mutant, words, patience)]
            left = [mutant for mutant in left if mutant not in seen]
        return left


def killed_in_place(path: str, words: list[str], mutants: list[Mutant]) -> set[int]:
    """Numbers of mutants that fail the tests which reach their functions."""
    reading, writing = os.pipe()

    def work() -> bool:
        os.close(reading)
        numba_told("DISABLE_JIT", path == LOOPS)  # a fault put into a loop reaches what is in Python
        trial = InPlace(ROOT / path, mutants, in_process, lambda number: os.write(writing, b"%d\n" % number))
        return pytest.main(words, plugins=[trial]) == 0

    def told() -> set[int]:
        os.close(writing)
        with os.fdopen(reading) as numbers:
            return {int(number) for number in numbers}

    found: set[int] = set()
    if not in_process(work, 1e6, lambda: found.update(told())):
        raise SystemExit(f"mutation: {path}: expected tests that pass as it is, found a failure: run them")
    return found


def passes(path: str, mutant: Mutant | None, words: list[str], patience: float) -> bool:
    """Whether all tests pass, in a process of its own that imports the mutant (None: the module as it is)."""
    with tempfile.TemporaryDirectory() as compiled:

        def work() -> bool:
            if path == LOOPS:
                numba_told("CACHE_DIR", compiled)  # what is kept beside the file is the module's as it is
            if mutant is not None:
                sys.meta_path.insert(0, _Mutated(path, mutant.tree))
            return pytest.main(words) == 0

        return in_process(work, patience)


def numba_told(name: str, value: object) -> None:
    """One of numba's settings, which are made when it is imported."""
    setattr(numba_config, name, value)


def in_process(work: Callable[[], bool], patience: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Whether ``work`` says yes, in a process of its own that ends when its time is over; prints nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):  # whatever a fault does, this process ends here
            signal.alarm(int(patience))  # which ends it by itself
            quiet()
            status = int(not work())
        os._exit(status)
    meanwhile()
    return os.waitpid(child, 0)[1] == 0


def quiet() -> None:
    """Nothing of what the tests print."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a syntax tree in the place of its file."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path, self.tree = path, tree
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self.name:
            return None
        package = [str(ROOT / self.path).removesuffix("/__init__.py")] if self.path.endswith("__init__.py") else None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(ROOT / self.path), is_package=bool(package))
        spec.submodule_search_locations = package
        spec.has_location = True
        return spec

    def exec_module(self, module: object) -> None:
        exec(compile(self.tree, str(ROOT / self.path), "exec"), vars(module))


if __name__ == "__main__":
    main()
