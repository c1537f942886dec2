"""What is told of a clip without its features: enough to plan an analysis of clips that no memory holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from rvq_core.clips.clip import Clip


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A clip without its features: name, frame rate, number of frames, and what was done to it."""

    name: str
    fps: float
    frames: int
    representation: str
    source: Path | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, clip: Clip) -> Self:
        """The facts of a clip."""
        return cls(clip.name, clip.fps, clip.frames, clip.representation, clip.source, clip.notes)

    @property
    def seconds(self) -> float:
        """Duration in seconds: frames / fps."""
        return self.frames / self.fps

    def cut(self, frames: int, note: str) -> ClipFacts:
        """Those of the first ``frames``, with ``note`` added."""
        return replace(self, frames=frames, notes=(*self.notes, note))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        source = None if self.source is None else str(self.source)
        return {
            "name": self.name, "fps": self.fps, "frames": self.frames, "representation": self.representation,
            "source": source, "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(
            name=told["name"],
            fps=told["fps"],
            frames=told["frames"],
            representation=told["representation"],
            source=None if told["source"] is None else Path(told["source"]),
            notes=tuple(told["notes"]),
        )
