import pytest

from rvq_core.errors import LONGEST_PART, ClipError


def test_an_error_is_one_line_of_its_parts():
    error = ClipError("a.bvh: line 3", expected="a\n number", found="'x'", do="write  one")
    assert str(error) == "a.bvh: line 3: expected a number, found 'x'; write one"
    assert (error.expected, error.do) == ("a number", "write one")


@pytest.mark.parametrize(("found", "told"), [
    ("\x1b[31mred\x07", r"\x1b[31mred\x07"),  # a terminal would obey it
    ("a\u202eb", r"a\u202eb"),  # turns what follows around
    ("\ud800", r"\ud800"),  # cannot be written as UTF-8
    ("naïve 走る", "naïve 走る"),
])  # fmt: skip
def test_what_cannot_be_printed_is_escaped(found, told):
    error = ClipError("a", expected="b", found=found, do="c")
    assert f"found {told};" in str(error) and str(error).encode()


def test_what_is_very_long_is_cut():
    error = ClipError("a", expected="b", found="x" * 100_000, do="c")
    assert len(error.found) == LONGEST_PART and error.found.endswith("x…")
