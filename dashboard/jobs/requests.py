"""What can be asked of the worker: plain values that go through JSON, and name files instead of holding data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dashboard.settings import Reading, UmapSettings

AS_THE_FILE_TELLS = Reading()


@dataclass(frozen=True, slots=True)
class Source:
    """What is opened: the file of a checkpoint, or the folder of a set of body parts."""

    path: str
    reading: Reading = AS_THE_FILE_TELLS

    @property
    def told(self) -> dict[str, Any]:
        """The same as values for JSON."""
        return {"path": self.path, "reading": self.reading._asdict()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Source:
        """The source that ``told`` tells of."""
        return cls(told["path"], Reading(**told["reading"]))


@dataclass(frozen=True, slots=True)
class Analysis:
    """A report on clips; ``split`` and ``groups`` are files."""

    kind: ClassVar[str] = "analysis"

    source: Source
    clips: tuple[str, ...]
    split: str | None = None
    groups: str | None = None
    held_out_only: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """The same as values for JSON."""
        own = {name: getattr(self, name) for name in ("split", "groups", "held_out_only")}
        return {"kind": self.kind, "source": self.source.told, "clips": list(self.clips), **own}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Analysis:
        """The request that ``told`` tells of."""
        own = {name: told[name] for name in ("split", "groups", "held_out_only")}
        return cls(Source.of(told["source"]), tuple(told["clips"]), **own)


@dataclass(frozen=True, slots=True)
class Umap:
    """Coordinates of the codes of all sources, their codebooks counted on from one to the next."""

    kind: ClassVar[str] = "umap"

    sources: tuple[Source, ...]
    settings: UmapSettings

    @property
    def told(self) -> dict[str, Any]:
        """The same as values for JSON."""
        sources = [source.told for source in self.sources]
        return {"kind": self.kind, "sources": sources, "settings": dataclasses.asdict(self.settings)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Umap:
        """The request that ``told`` tells of."""
        settings = told["settings"] | {"layers": tuple(told["settings"]["layers"])}
        return cls(tuple(map(Source.of, told["sources"])), UmapSettings(**settings))


Request = Analysis | Umap


def request_of(told: Mapping[str, Any]) -> Request:
    """The request that values from JSON tell of."""
    kinds: dict[str, type[Analysis] | type[Umap]] = {Analysis.kind: Analysis, Umap.kind: Umap}
    return kinds[told["kind"]].of(told)
