"""Whether JSON from a file has the shape that its readers count on: anyone may have edited it.

A shape is a type (``float`` takes whole numbers too), None, a tuple of shapes of which one must fit, a list of one
shape for lists of any length, or a dictionary of the entries that must be there; further ones may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

LARGEST = 1 << 53
"""Whole numbers beyond this do not survive as JSON numbers, and no count comes near it."""

_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def misfit(value: object, shape: Any, field: str = "") -> tuple[str, str, str] | None:
    """The first field that does not fit, what was expected there, and what was found; None where all fits."""
    if isinstance(shape, tuple):
        if any(misfit(value, each, field) is None for each in cast(tuple[Any, ...], shape)):
            return None
        return misfit(value, cast(tuple[Any, ...], shape)[0], field)
    if isinstance(shape, dict):
        return _of_object(value, cast(dict[str, Any], shape), field)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return field, _NAMES[list], _shown(value)
        entries = enumerate(cast(list[object], value), start=1)
        return next((wrong for i, each in entries if (wrong := misfit(each, shape[0], f"{field}, entry {i}"))), None)
    return None if _is(value, shape) else (field, "null" if shape is None else _NAMES[shape], _shown(value))


def _of_object(value: object, shape: dict[str, Any], field: str) -> tuple[str, str, str] | None:
    if not isinstance(value, Mapping):
        return field, _NAMES[dict], _shown(value)
    entries = cast(Mapping[str, object], value)
    for name, each in shape.items():
        inner = f"{field}.{name}" if field else name
        if name not in entries:
            return inner, "an entry of this name", "none"
        if wrong := misfit(entries[name], each, inner):
            return wrong
    return None


def _is(value: object, kind: type | None) -> bool:
    if kind is None:
        return value is None
    if kind in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
        return whole or (kind is float and isinstance(value, float))
    return isinstance(value, kind)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
