"""The pass over the clips: blocks of them, taken by whoever is free, added up in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rvq_core.block_file import of_arrays, to_arrays
from rvq_core.clips.clip import Clip
from rvq_core.clips.facts import ClipFacts
from rvq_core.clips.fit import cut_clip
from rvq_core.corpus import Corpus
from rvq_core.errors import ReportError
from rvq_core.freed import give_back_freed
from rvq_core.layer_value import ClipDetails, clip_details
from rvq_core.measure import ClipErrors, measure_clip
from rvq_core.ragged import FRAMES_TOGETHER
from rvq_core.ranks import Ranks
from rvq_core.shards import Shards, key_of
from rvq_core.sums import BlockSums, LatentSums, Sums
from rvq_core.tokens import Encoded, Pipeline
from rvq_core.workers import in_order

Progress = Callable[[int, int, str], None]
"""Called with clips done, clips in all, and what is being done."""

LEAST_FRAMES, MOST_FRAMES, BLOCKS = 2048, 1 << 16, 256
"""Frames of a block: those of all clips over BLOCKS, between the two others. It depends on the clips alone."""

FRAMES_AT_ONCE = FRAMES_TOGETHER
"""Frames of clips that one thread encodes together, in as few batches as their lengths allow."""


class Job(NamedTuple):
    """One clip to measure: its number in the survey, its facts (maybe cut), and what is asked of it.

    ``detail_frames`` of it, from its beginning, are encoded in other ways as well.
    """

    number: int
    facts: ClipFacts
    decode: bool
    detail_frames: int


class _Measured(NamedTuple):
    encoded: Encoded
    errors: ClipErrors
    details: ClipDetails | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class OnePass:
    """What measures ``jobs`` of a ``corpus``; ``name`` is that of the checkpoint and its settings."""

    pipeline: Pipeline
    corpus: Corpus
    jobs: Sequence[Job]
    seed: int
    below: float
    name: str
    workers: int
    progress: Progress

    def alone(self) -> Sums:
        """All blocks, one after the other; only the sums and the block in work are in memory."""
        blocks, total, ranks = self.blocks(), self._sums(), Ranks()
        for _, sums in self._computed(blocks, iter(range(len(blocks))), ranks):
            total.add(sums)
        return total

    def shared(self, ranks: Ranks, shards: Shards) -> Sums | None:
        """All blocks, between the ranks; on the first rank their sums, on others None."""
        blocks = self.blocks()
        # The longest first, so that the ranks end together; those of the same length in their order.
        order = sorted(range(len(blocks)), key=lambda number: -_frames(blocks[number]))

        def taken() -> Iterator[int]:
            while (turn := ranks.take("block", len(blocks))) is not None:
                number = order[turn]
                if shards.has(_file(number), self._key(blocks[number])):
                    self._tell(ranks, len(blocks[number]), "kept")
                    ranks.finished("block")
                else:
                    yield number

        for number, sums in self._computed(blocks, taken(), ranks):
            shards.save(_file(number), self._key(blocks[number]), to_arrays(sums))
            ranks.finished("block")
        if not ranks.first:
            return None
        ranks.wait("block", len(blocks), lambda: self._tell(ranks, 0, "other ranks"))
        return self._added(blocks, shards)

    def blocks(self) -> list[Sequence[Job]]:
        """Jobs in blocks of about as many frames each."""
        size = min(MOST_FRAMES, max(LEAST_FRAMES, sum(job.facts.frames for job in self.jobs) // BLOCKS))
        found: list[list[Job]] = []
        room = 0
        for job in self.jobs:
            if room <= 0:
                found.append([])
                room = size
            found[-1].append(job)
            room -= job.facts.frames
        return [*found]

    def _added(self, blocks: Sequence[Sequence[Job]], shards: Shards) -> Sums:
        total = self._sums()
        for number, jobs in enumerate(blocks):
            arrays = shards.load(_file(number), self._key(jobs))
            if arrays is None:
                raise ReportError(
                    f"{shards.folder}: {_file(number)}", expected="what a rank computed", found="nothing whole",
                    do="run the same command again: the others are kept",
                )  # fmt: skip
            total.add(of_arrays(arrays, self._empty()))
        return total

    def _computed(
        self, blocks: Sequence[Sequence[Job]], numbers: Iterator[int], ranks: Ranks
    ) -> Iterator[tuple[int, BlockSums]]:
        """The sums of each block that is asked for; clips of the next one begin before the last one is through."""
        sums = BlockSums(self._empty())
        for (number, some), found in in_order(self._measure, self._clips(blocks, numbers, ranks), self.workers):
            for (job, _), one in zip(some, found, strict=True):
                sums.add(one.encoded, one.errors, one.details, self._seconds(job), one.fingerprint)
            if len(sums.tokens) == len(blocks[number]):
                yield number, sums
                sums = BlockSums(self._empty())
                give_back_freed()

    def _clips(
        self, blocks: Sequence[Sequence[Job]], numbers: Iterator[int], ranks: Ranks
    ) -> Iterator[tuple[int, list[tuple[Job, Clip]]]]:
        """The clips of blocks, a few at once."""
        for number in numbers:
            jobs = blocks[number]
            some: list[tuple[Job, Clip]] = []
            for job, clip in zip(jobs, self.corpus.fitted([job.number for job in jobs]), strict=True):
                self._tell(ranks, 1, job.facts.name)
                if some and sum(job.facts.frames for job, _ in some) + job.facts.frames > FRAMES_AT_ONCE:
                    yield number, some
                    some = []
                some.append((job, _first(clip, job.facts.frames)))
            yield number, some

    def _measure(self, task: tuple[int, list[tuple[Job, Clip]]]) -> list[_Measured]:
        _, some = task
        encoded = self.pipeline.encode_all([clip for _, clip in some])
        return [self._measured(job, clip, one) for (job, clip), one in zip(some, encoded, strict=True)]

    def _measured(self, job: Job, clip: Clip, encoded: Encoded) -> _Measured:
        errors = measure_clip(self.pipeline, encoded) if job.decode else ClipErrors([], [])
        details = None
        if job.detail_frames:
            whole = job.detail_frames == clip.frames
            first = encoded if whole else self.pipeline.encode(_first(clip, job.detail_frames))
            details = clip_details(self.pipeline, first)
        return _Measured(encoded, errors, details, clip.fingerprint)

    def _seconds(self, job: Job) -> float | None:
        return self.pipeline.seconds_per_token(job.facts)

    def _sums(self) -> Sums:
        return Sums(self._codes, self.seed, self.below)

    def _empty(self) -> LatentSums:
        return LatentSums(self._codes, self.seed, self.below)

    @property
    def _codes(self) -> list[int]:
        return [len(codebook) for codebook in self.pipeline.checkpoint.codebooks]

    def _key(self, jobs: Sequence[Job]) -> str:
        clips = [
            [self.corpus.identity(job.number), job.facts.name, job.facts.frames, job.decode, job.detail_frames]
            for job in jobs
        ]
        return key_of("block", self.name, self.pipeline.device.type, self.seed, self.below, clips)

    def _tell(self, ranks: Ranks, begun: int, what: str) -> None:
        """Count clips that are begun; the first rank tells how many were before them, of all ranks."""
        before = ranks.add("begun", begun) - begun
        if ranks.first:
            self.progress(before, len(self.jobs), what)


def _first(clip: Clip, frames: int) -> Clip:
    return clip if frames == clip.frames else cut_clip(clip, frames, f"cut to {frames} frames")


def _frames(block: Sequence[Job]) -> int:
    return sum(job.facts.frames for job in block)


def _file(number: int) -> str:
    return f"block_{number:06d}"
