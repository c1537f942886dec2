"""What the script of faults changes, and what it leaves alone; its own run: test_doc_commands.py."""

import ast
import importlib.util
import time
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks/mutation.py"


@pytest.fixture(scope="module")
def mutation():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)  # it imports its neighbours
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
    found = [ast.unparse(mutant.tree) for mutant in mutation.mutants_of(before)]
    assert ast.unparse(ast.parse(after)) in found
    assert ast.unparse(ast.parse(before)) not in found


def test_results_are_lost_and_words_are_left(mutation):
    source = 'def f(x: int = 1 + 1) -> "a < b":\n    if x:\n        raise ValueError(f"{x + 1}")\n    return x'
    found = list(mutation.mutants_of(source))
    assert ("return x", "return None") in [(mutant.before, mutant.after) for mutant in found]
    sources = [ast.unparse(mutant.tree) for mutant in found]
    assert all("raise ValueError(f'{x + 1}')" in source and "-> 'a < b'" in source for source in sources)
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


def test_faults_know_the_function_that_they_lie_in(mutation):
    source = "a = 1\ndef f(x=2):\n    y = [3,\n         4]\n    def g():\n        return 5\n    return lambda z=6: 7\n"
    found = {mutant.before: mutant.function for mutant in mutation.mutants_of(source)}
    assert {found[number] for number in "12"} == {None}  # defaults are made where the function is
    assert {found[number] for number in "346"} == {(2, 7)}
    assert (found["5"], found["7"]) == ((5, 6), (7, 7))


GROWN = """import functools

START = 1


def grow(x):
    return x + START


@functools.cache
def twice(x):
    return [number * 2 for number in range(x)]


TABLE = twice(3)


def unused(x):
    return x < 1


def three_or_more(x):
    while x < 3:
        x = x + 1
    return x
"""
TESTS = """import pytest
from grown import grow, three_or_more, twice


@pytest.fixture(scope="module")
def three():
    return twice(3)


def test_it(tmp_path):
    assert grow(1) == 2


def test_it_comes_to_an_end():
    assert three_or_more(2) == 3


@pytest.mark.parametrize("number", [0, 1, 2])
def test_numbers(three, number, tmp_path):
    assert three[number] == 2 * number
"""


@pytest.fixture
def grown(mutation, tmp_path: Path, monkeypatch) -> list[str]:
    """A module of the test's own and its tests."""
    (tmp_path / "grown.py").write_text(GROWN)
    (tmp_path / "test_grown.py").write_text(TESTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    options = [word for word in mutation.OPTIONS if word not in ("-o", "timeout=0")]
    monkeypatch.setattr(mutation, "OPTIONS", options)
    return ["test_grown.py", f"--rootdir={tmp_path}", "-c", "/dev/null"]


def test_a_fault_reaches_the_tests(mutation, grown: list[str], monkeypatch):
    monkeypatch.setattr("in_place.PATIENCE", 1.0)  # as one of them makes a loop without end
    faults = list(mutation.mutants_of(GROWN))
    words = [*mutation.OPTIONS, *grown]
    in_place = mutation.killed_in_place("grown.py", words, faults)
    assert {faults[number].before for number in in_place} == {
        "return x + START", "x + START", "x < 3", "3", "x + 1", "1", "return x",
    }  # fmt: skip
    # A number of the module, and what it computes when it is imported, are changed by a start from its text alone.
    by_text = {fault.before: fault for fault in faults if fault.function is None or "for" in fault.before}
    assert by_text.keys() == {"1", "3", "return [number * 2 for number in range(x)]"}
    assert not mutation.passes("grown.py", by_text["1"], words, 60.0)
    unseen = [fault for fault in faults if fault.before == "x < 1"]
    assert mutation.survivors("grown.py", grown, [*unseen, by_text["1"]], quick=True) == unseen


def test_tests_that_fail_as_they_are_end_the_program(mutation, grown: list[str]):
    Path("test_grown.py").write_text("def test_it():\n    assert False\n")
    with pytest.raises(SystemExit, match="expected tests that pass"):
        mutation.survivors("grown.py", grown, list(mutation.mutants_of(GROWN)))


def test_a_process_ends_when_its_time_is_over(mutation):
    assert mutation.in_process(lambda: True, 60.0)
    assert not mutation.in_process(lambda: False, 60.0)
    assert not mutation.in_process(lambda: time.sleep(60) is None, 1.0)
    assert not mutation.in_process(lambda: 1 / 0 > 0, 60.0)
