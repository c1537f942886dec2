"""What the script of faults changes, and what it leaves alone; its own run: test_doc_commands.py."""

import ast
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks/mutation.py"


@pytest.fixture(scope="module")
def mutation():
    spec = importlib.util.spec_from_file_location("mutation", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a < b", "a <= b"), ("a in b", "a not in b"), ("a + b", "a - b"), ("a // b", "a * b"), ("a and b", "a or b"),
        ("not a", "a"), ("-a", "a"), ("~a", "a"), ("a if c else b", "a if not c else b"), ("f(True)", "f(False)"),
        ("x[3:]", "x[4:]"), ("0.5 * x", "1.5 * x"),
    ],
)  # fmt: skip
def test_each_fault_is_another_program(mutation, before: str, after: str):
    found = [mutant.source for mutant in mutation.mutants_of(before)]
    assert ast.unparse(ast.parse(after)) in found
    assert ast.unparse(ast.parse(before)) not in found


def test_results_are_lost_and_words_are_left(mutation):
    source = 'def f(x: int = 1 + 1) -> "a < b":\n    if x:\n        raise ValueError(f"{x + 1}")\n    return x'
    found = list(mutation.mutants_of(source))
    assert ("return x", "return None") in [(mutant.before, mutant.after) for mutant in found]
    assert all("raise ValueError(f'{x + 1}')" in mutant.source and "-> 'a < b'" in mutant.source for mutant in found)
    assert {mutant.line for mutant in found} == {1, 4}


def test_the_same_seed_draws_the_same(mutation):
    mutants = list(mutation.mutants_of("a + b + c + d + e"))
    assert len(mutants) == 4
    assert mutation.sample(mutants, 2, 0) == mutation.sample(mutants, 2, 0)
    assert mutation.sample(mutants, 9, 0) == mutants


def test_every_module_and_its_tests_are_there(mutation):
    for path, tests in mutation.TARGETS.values():
        assert (PATH.parents[1] / path).is_file()
        assert all((PATH.parents[1] / test).exists() for test in tests)


def test_a_fault_reaches_the_tests(mutation, tmp_path: Path, monkeypatch):
    """A module of the test's own, seen through the finder that puts the faulty text in its place."""
    (tmp_path / "grown.py").write_text("def grow(x):\n    return x + 1\n")
    (tmp_path / "test_grown.py").write_text("from grown import grow\n\n\ndef test_it():\n    assert grow(1) == 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    tests = ["test_grown.py", f"--rootdir={tmp_path}", "-c", "/dev/null"]
    options = [word for word in mutation.OPTIONS if word not in ("-o", "timeout=0")]
    monkeypatch.setattr(mutation, "OPTIONS", options)
    assert mutation.passes("grown.py", None, tests, 60.0)
    (fault, *others) = mutation.mutants_of((tmp_path / "grown.py").read_text())
    assert others
    assert mutation.survivors("grown.py", tests, [fault, *others]) == []
    blind = fault._replace(source="def grow(x):\n    return 2\n")
    assert mutation.survivors("grown.py", tests, [blind]) == [blind]
