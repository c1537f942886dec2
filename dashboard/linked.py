"""What is selected in one view and marked in all others: layers, codes and clips, in the address of every page.

A chart hands its selection over by its name in ``VIEWS``; pages draw from ``current()`` alone, so that a click, a link
and another page's selection show the same. The breadcrumb tells what is selected and clears it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dashboard import words

Code = tuple[int, int]
Points = Sequence[Mapping[str, Any]]

LAYERS, CODES, CLIPS = "layers", "codes", "clips"
KINDS = (LAYERS, CODES, CLIPS)
MOST_IN_LINK = 200
"""Codes or clips that the address holds: of more it would become too long for some browsers and mail programs."""

_LINKED, _SOURCES, _SEEN, _GENERATIONS, _TAKEN, _GONE = (
    f"_linked{name}" for name in ("", "_of", "_seen", "_generations", "_taken", "_gone")
)


@dataclass(frozen=True, slots=True)
class Linked:
    """Layers (1-based), codes as (layer, code), and names of clips; empty where nothing is selected."""

    layers: tuple[int, ...] = ()
    codes: tuple[Code, ...] = ()
    clips: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.layers or self.codes or self.clips)


def current() -> Linked:
    """What is selected in this run."""
    return st.session_state.get(_LINKED, Linked())


def choose(kind: str, values: Iterable[Any], *, source: str = "") -> None:
    """Select other values of a kind; the chart ``source`` keeps its own selection, all others forget theirs."""
    chosen = tuple(dict.fromkeys(values))
    if kind != CLIPS:
        chosen = tuple(sorted(chosen))
    if getattr(current(), kind) == chosen:
        return
    st.session_state[_LINKED] = replace(current(), **{kind: chosen})
    generations: dict[str, int] = st.session_state.setdefault(_GENERATIONS, {})
    for view, (of, _) in VIEWS.items():
        if of == kind and view != source:
            generations[view] = generations.get(view, 0) + 1


def clear(*kinds: str) -> None:
    """Select nothing of these kinds."""
    for kind in kinds:
        choose(kind, ())


def key(view: str) -> str:
    """Key of a chart's widget: another one once its selection was replaced from elsewhere, as a chart keeps its own."""
    generation = st.session_state.get(_GENERATIONS, {}).get(view, 0)
    return f"{view}_{generation}" if generation else view


def begin(checkpoint: str, part: str | None) -> None:
    """Take what the address and the charts say, before anything is drawn; keep it in the address."""
    if _LINKED not in st.session_state:
        st.session_state[_LINKED] = read(st.query_params.to_dict(), st.query_params.get_all(_name(CLIPS)))
    of = (checkpoint, part)
    if st.session_state.setdefault(_SOURCES, of) != of:  # codes of another codebook are other codes
        st.session_state[_SOURCES] = of
        clear(CODES)
    for view, (kind, values) in VIEWS.items():
        _take(view, kind, values)
    for kind in KINDS:
        _tell_address(kind)


def _take(view: str, kind: str, values: Callable[[Points], list[Any]]) -> None:
    """Select what was selected in a chart since the last run."""
    event = st.session_state.get(key(view))
    seen: dict[str, Points] = st.session_state.setdefault(_SEEN, {})
    if event is None:  # not on this page: when it comes back it has forgotten its selection, the others have not
        seen.pop(key(view), None)
        return
    points = list(event["selection"]["points"])
    if points == seen.get(key(view), []):
        return
    seen[key(view)] = points
    if points:  # a chart that is drawn anew loses its own selection without anyone's wish: clearing is the breadcrumb's
        choose(kind, values(points), source=view)


def _tell_address(kind: str) -> None:
    """Only where it differs: each write to the address is sent to the browser."""
    values, name = getattr(current(), kind), _name(kind)
    written = written_values(kind, values) if len(values) <= MOST_IN_LINK else []
    told = st.query_params.get_all(name)
    if written and told != written:
        st.query_params[name] = written
    elif told and not written:
        del st.query_params[name]


def _name(kind: str) -> str:
    return f"selected_{kind}"


def written_values(kind: str, values: Sequence[Any]) -> list[str]:
    """Values as the address holds them: ``1,3``, ``1:17,2:5``, or a clip an entry."""
    if kind == CLIPS or not values:
        return [str(value) for value in values]
    return [",".join(f"{value[0]}:{value[1]}" if kind == CODES else str(value) for value in values)]


def read(query: Mapping[str, str], clips: Sequence[str]) -> Linked:
    """What an address selects; what it cannot mean is left out."""
    layers = [int(text) for text in re.findall(r"(?<![\d:])\d{1,6}(?![\d:])", query.get(_name(LAYERS), ""))]
    pairs = re.findall(r"(?<!\d)(\d{1,6}):(\d{1,9})(?!\d)", query.get(_name(CODES), ""))
    codes = sorted({(int(layer), int(code)) for layer, code in pairs})
    return Linked(
        tuple(sorted(set(layers)))[:MOST_IN_LINK], tuple(codes[:MOST_IN_LINK]),
        tuple(dict.fromkeys(clips))[:MOST_IN_LINK],
    )  # fmt: skip


def hold_to(sizes: Mapping[int, int], clips: Sequence[str]) -> None:
    """Let go of what a report does not have: layers with their number of codes ``sizes``, and its ``clips``."""
    chosen, names = current(), set(clips)
    kept = Linked(
        tuple(layer for layer in chosen.layers if layer in sizes),
        tuple((layer, code) for layer, code in chosen.codes if code < sizes.get(layer, 0)),
        tuple(clip for clip in chosen.clips if clip in names),
    )
    gone = {kind: len(getattr(chosen, kind)) - len(getattr(kept, kind)) for kind in KINDS}
    if not any(gone.values()):
        return
    for kind in KINDS:
        choose(kind, getattr(kept, kind))
    lost = " and ".join(words.many(count, kind[:-1]) for kind, count in gone.items() if count)
    st.session_state[_GONE] = f"No longer selected: {lost} that this checkpoint and these clips do not have."
    st.rerun()


def told_gone() -> str | None:
    """What ``hold_to`` let go of, once."""
    return st.session_state.pop(_GONE, None)


def news(reader: str, kind: str) -> tuple[Any, ...]:
    """What is selected of a kind, once for each ``reader`` and selection; empty when it has been told already."""
    values, taken = getattr(current(), kind), st.session_state.setdefault(_TAKEN, {})
    if taken.get((reader, kind), ()) == values:
        return ()
    taken[reader, kind] = values
    return values


def _codes(points: Points) -> list[Code]:
    return [(int(point["customdata"][0]), int(point["customdata"][1])) for point in points if point.get("customdata")]


def _clips(points: Points) -> list[str]:
    return [str(point["y"]) for point in points]


def _layers(points: Points) -> list[int]:
    return [int(point["x"]) for point in points if float(point["x"]) == int(point["x"]) and int(point["x"]) > 0]


VIEWS: dict[str, tuple[str, Callable[[Points], list[Any]]]] = {
    "map": (CODES, _codes),
    "clip_errors": (CLIPS, _clips),
    "code_clips": (CLIPS, _clips),
    "perplexity": (LAYERS, _layers),
    "error_by_layer": (LAYERS, _layers),
    "gain": (LAYERS, _layers),
}
"""Charts whose selection is everyone's, by name: what their points are, and how to tell it from Plotly's points."""
