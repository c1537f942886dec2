"""Small faults for a module: comparisons, operators, numbers, truth values, branches and results that are others."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from typing import NamedTuple

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.MatMult: ast.Add,
}  # fmt: skip

Lines = tuple[int, int]
"""The first and the last line of a function."""


class Mutant(NamedTuple):
    """One fault: where, what stood there, what stands there now, the module with it, the function that it lies in."""

    line: int
    before: str
    after: str
    tree: ast.Module
    function: Lines | None
    """None where it acts when the module is imported."""


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Some of them, in their order."""
    chosen = random.Random(seed).sample(range(len(mutants)), min(count, len(mutants)))
    return [mutants[number] for number in sorted(chosen)]


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every fault that can be put into a module; what is left keeps its lines."""
    tree = ast.parse(source)
    for number, (node, function) in enumerate(places(tree)):
        for change in changes(node):
            mutated = copy.deepcopy(tree)
            target, _ = places(mutated)[number]
            replaced = copy.deepcopy(change)
            ast.copy_location(replaced, target)
            whole = ast.fix_missing_locations(_Put(target, replaced).visit(mutated))
            yield Mutant(getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(change), whole, function)


class _Put(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def places(tree: ast.AST) -> list[tuple[ast.AST, Lines | None]]:
    """The nodes that may be changed, each with its function: none of annotations, decorators and error messages."""
    found: list[tuple[ast.AST, Lines | None]] = []
    waiting: list[tuple[ast.AST, Lines | None]] = [(tree, None)]
    while waiting:
        node, function = waiting.pop()
        found.append((node, function))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            inside = function
            if field == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inside = (node.lineno, node.end_lineno or node.lineno)
            children = value if isinstance(value, list) else [value]
            waiting += [(child, inside) for child in children if isinstance(child, ast.AST)]
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
