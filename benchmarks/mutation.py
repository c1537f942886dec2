"""Do the tests see it when the code is wrong? Small faults put into a module one at a time, its tests run on each.

    python benchmarks/mutation.py [--only NAME,...] [--sample 60] [--seed 0] [--list]

A fault (mutant) is a comparison, an operator, a number, a truth value, a branch or a result that is another. Each is
put into a process of its own, forked after the libraries are there, and counts as killed when a test fails or takes far
longer than it should. Those that no test sees are listed with their lines: some change nothing that can be seen, the
others are tests that are missing. Linux and macOS.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

QUANTIZER = [f"tests/rvq_core/test_{name}.py" for name in ("quantizer", "quantizer_options", "codebook_options")]
TARGETS = {
    "quantizer": ("rvq_core/quantizer.py", QUANTIZER),
    "ema_layer": ("rvq_core/ema_layer.py", QUANTIZER),
    "nearest": ("rvq_core/nearest.py", ["tests/rvq_core/test_nearest.py"]),
    "usage": ("rvq_core/stats/usage.py", ["tests/rvq_core/stats/test_usage.py"]),
    "reconstruction": ("rvq_core/stats/reconstruction.py", ["tests/rvq_core/stats/test_reconstruction.py"]),
    "loading": ("rvq_core/loading/__init__.py", ["tests/rvq_core/loading"]),
    "unwrap": ("rvq_core/loading/unwrap.py", ["tests/rvq_core/loading"]),
    "checkpoint": ("rvq_core/loading/checkpoint.py", ["tests/rvq_core/loading"]),
    "sidecars": ("rvq_core/loading/sidecars.py", ["tests/rvq_core/loading"]),
    "base": ("rvq_core/loading/formats/base.py", ["tests/rvq_core/loading"]),
    "convolutional": ("rvq_core/loading/formats/convolutional.py", ["tests/rvq_core/loading"]),
}
"""A name, the module that faults are put into, and the tests that should see them."""

SLOWER, PATIENCE = 4, 10.0
"""A mutant is killed when its tests take so many times as long as without it, and so many seconds more."""

LIBRARIES = ("numpy", "pandas", "scipy.spatial.transform", "scipy.stats")
"""There before a fork: each mutant would import them again."""

OPTIONS = ["-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"]
"""Of pytest: the first failure is enough, and nobody reads it."""

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.MatMult: ast.Add,
}  # fmt: skip


class Mutant(NamedTuple):
    """One fault: where, what stood there, what stands there now, and the module with it."""

    line: int
    before: str
    after: str
    source: str


def main() -> None:
    """Try mutants and print a table; on stderr those that no test saw."""
    parser = argparse.ArgumentParser(description="Faults that the tests should see.")
    parser.add_argument("--only", default=",".join(TARGETS), help="names of modules, by comma")
    parser.add_argument("--sample", type=int, help="so many of each module, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="count the mutants and try none")
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
        alive = [] if told.list else survivors(path, tests, tried)
        spent = time.perf_counter() - begun
        shown = len(tried) if not told.list else 0
        print(f"| {path} | {len(mutants)} | {shown} | {shown - len(alive)} | {len(alive)} | {spent:.0f} |", flush=True)
        for one in alive:
            print(f"{path}:{one.line}: {one.before}  ->  {one.after}", file=sys.stderr, flush=True)


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Some of them, in their order."""
    chosen = random.Random(seed).sample(range(len(mutants)), min(count, len(mutants)))
    return [mutants[number] for number in sorted(chosen)]


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every fault that can be put into a module."""
    tree = ast.parse(source)
    for number, node in enumerate(places(tree)):
        for change in changes(node):
            mutated = copy.deepcopy(tree)
            target = places(mutated)[number]
            replaced = copy.deepcopy(change)
            ast.copy_location(replaced, target)
            text = ast.unparse(ast.fix_missing_locations(_Put(target, replaced).visit(mutated)))
            yield Mutant(getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(change), text)


class _Put(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def places(tree: ast.AST) -> list[ast.AST]:
    """The nodes that may be changed: none of annotations, decorators, docstrings and error messages."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            waiting += [
                child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
            ]
    return found


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        yield ast.Compare(node.left, [COMPARED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
        yield ast.BinOp(node.left, CALCULATED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)


def survivors(path: str, tests: list[str], mutants: list[Mutant]) -> list[Mutant]:
    """Those that no test sees. Ends the program where the tests fail on the module as it is."""
    begun = time.perf_counter()
    if not passes(path, None, tests, 3600.0):
        raise SystemExit(f"mutation: {' '.join(tests)}: expected tests that pass on {path} as it is, found a failure")
    patience = SLOWER * (time.perf_counter() - begun) + PATIENCE
    return [mutant for mutant in mutants if passes(path, mutant.source, tests, patience)]


def passes(path: str, source: str | None, tests: list[str], patience: float) -> bool:
    """Whether all tests pass, in a process of its own, with ``source`` as the module's text (None: as it is)."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):  # whatever a fault does, this process ends here
            signal.alarm(int(patience))  # which ends it by itself
            quiet()
            if source is not None:
                sys.meta_path.insert(0, _Mutated(path, source))
            status = int(pytest.main([*OPTIONS, *tests]))
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def quiet() -> None:
    """Nothing of what the tests print."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text in the place of its file."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
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
        exec(compile(self.source, str(ROOT / self.path), "exec"), vars(module))


if __name__ == "__main__":
    main()
