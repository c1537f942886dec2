import pytest

from rvq_core.shape import misfit

SHAPE = {"name": str, "fps": (float, None), "counts": [int], "inner": {"more": [{"low": float}]}}
FITS = {"name": "a", "fps": 30, "counts": [1, 2], "inner": {"more": [{"low": 0.5}], "other": object()}, "else": 1}


def test_what_has_all_entries_fits_and_more_may_be_there():
    assert misfit(FITS, SHAPE) is None
    assert misfit(FITS | {"fps": None, "counts": [], "inner": {"more": []}}, SHAPE) is None


@pytest.mark.parametrize(("change", "told"), [
    ({"name": 3}, ("name", "a text", "3")),
    ({"fps": "30"}, ("fps", "a number", "'30'")),
    ({"counts": 4}, ("counts", "a list", "4")),
    ({"counts": [1, 2.5]}, ("counts, entry 2", "a whole number", "2.5")),
    ({"counts": [True]}, ("counts, entry 1", "a whole number", "True")),
    ({"counts": [10**30]}, ("counts, entry 1", "a whole number", str(10**30))),
    ({"inner": []}, ("inner", "an object", "[]")),
    ({"inner": {}}, ("inner.more", "an entry of this name", "none")),
    ({"inner": {"more": [{"low": 1}, {"low": None}]}}, ("inner.more, entry 2.low", "a number", "None")),
])  # fmt: skip
def test_the_first_that_does_not_fit_is_named_with_what_stands_there(change, told):
    assert misfit(FITS | change, SHAPE) == told


def test_long_values_are_shown_in_part():
    assert misfit("x" * 10_000, int, "a") == ("a", "a whole number", "'" + "x" * 78 + "…")


@pytest.mark.parametrize("value", [None, 3, "text", []])
def test_what_is_no_object_at_all(value):
    assert misfit(value, SHAPE) == ("", "an object", repr(value))
