"""The texts of docs/ as the Docs page shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from rvq_core.bundled import bundled_docs

FIRST = ("metrics", "verdicts", "dashboard")
"""Topics that come before the others."""

PATH = "docs"
"""Address of the page."""


class Topic(NamedTuple):
    """One text: its title, and its sections by their headings; what stands before the first one is under ''."""

    title: str
    sections: dict[str, str]


def topics() -> dict[str, Topic]:
    """All texts by the name of their file, without ending."""
    found = {path.stem: _read(path) for path in sorted(bundled_docs().glob("*.md"))}
    return {name: found[name] for name in (*FIRST, *found) if name in found}


def link(topic: str, section: str = "") -> str:
    """Address of a text, or of a section of it, as seen from any page."""
    return f"{PATH}?topic={topic}" + (f"&section={section.replace(' ', '+')}" if section else "")


def _read(path: Path) -> Topic:
    """A text: links to other texts lead to the page, pictures are left out."""
    body = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", path.read_text(encoding="utf-8"))
    body = re.sub(r"\]\((?:docs/)?(\w+)\.md(?:#[\w-]+)?\)", lambda found: f"]({link(found[1])})", body)
    head, *sections = re.split(r"^## ", body, flags=re.MULTILINE)
    title, _, start = head.partition("\n")
    parts = (section.partition("\n") for section in sections)
    return Topic(title.removeprefix("# "), {"": start.strip()} | {name: text.strip() for name, _, text in parts})
