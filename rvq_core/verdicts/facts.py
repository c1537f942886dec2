"""What rules look at: the report, the thresholds, and for each layer the counts that may judge it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.report import Report
from rvq_core.stats.reconstruction import UNQUANTISED
from rvq_core.stats.usage import perplexity, perplexity_interval
from rvq_core.verdicts.even_use import even_codes, even_perplexity
from rvq_core.verdicts.thresholds import Thresholds

JUDGED_BY = ("mpjpe", "feature_mse")
"""The metric that judges reconstruction: the first that the report holds."""


class Ratio(NamedTuple):
    """A figure over what even use would show, with its 95 % interval; None where there is none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)  # no slots: what several rules need is computed once and kept
class LayerUse:
    """Counts [K] of one layer over the corpus that judges it: training where the checkpoint stores it, else the clips.

    ``by_clip`` [M, K] are those of the clips, None for a stored corpus.
    """

    layer: int
    counts: NDArray[np.int64]
    by_clip: NDArray[np.int64] | None
    measured_on: str

    @property
    def codes(self) -> int:
        """K."""
        return len(self.counts)

    @cached_property
    def tokens(self) -> int:
        """N."""
        return int(self.counts.sum())

    @property
    def stored(self) -> bool:
        """Whether the counts are of the training corpus."""
        return self.by_clip is None

    @cached_property
    def unseen(self) -> int:
        """Codes that no token is on."""
        return int((self.counts == 0).sum())

    @cached_property
    def unseen_share(self) -> float:
        """Share missing of the codes that even use would show in as many tokens; 0 where there are more."""
        return max(0.0, 1 - (self.codes - self.unseen) / even_codes(self.codes, self.tokens))

    @cached_property
    def perplexity(self) -> float:
        """Exact perplexity of the counts."""
        return perplexity(self.counts)

    @cached_property
    def perplexity_ratio(self) -> Ratio:
        """Perplexity over that of even use in as many tokens, at most 1."""
        even = even_perplexity(self.codes, self.tokens)
        interval = None if self.by_clip is None else perplexity_interval(self.by_clip)
        low, high = interval or (None, None)
        return Ratio(
            min(1.0, self.perplexity / even),
            None if low is None else min(1.0, low / even),
            None if high is None else min(1.0, high / even),
        )

    @cached_property
    def top1_share(self) -> float:
        """Share of the tokens on the most frequent code."""
        return float(self.counts.max() / self.tokens)


@dataclass(frozen=True, eq=False)
class Facts:
    """A report as rules read it."""

    report: Report
    thresholds: Thresholds

    @cached_property
    def layers(self) -> int:
        """Q."""
        return len(self.report.layers)

    @cached_property
    def use(self) -> list[LayerUse]:
        """Each layer that any token tells about."""
        clips, tokens = len(self.report.tokens), int(self.report.layers["tokens"].max())
        on_clips = f"{tokens:,} tokens of {clips} clip{'s' * (clips != 1)}"
        found = [self._use_of(q, rows, on_clips) for q, rows in enumerate(self._codes_by_layer)]
        return [use for use in found if use.tokens]

    def _use_of(self, q: int, codes: pd.DataFrame, on_clips: str) -> LayerUse:
        if codes["train_count"].notna().any():
            counts = codes["train_count"].to_numpy(dtype=np.int64)
            corpus = self.corpora.get("train", "as counted after training")
            return LayerUse(q + 1, counts, None, f"{counts.sum():,} tokens of the training corpus ({corpus})")
        by_clip = [np.bincount(tokens[:, q], minlength=len(codes)) for tokens in self.report.tokens]
        counts = codes["count"].to_numpy(dtype=np.int64)
        return LayerUse(q + 1, counts, np.array(by_clip, dtype=np.int64).reshape(-1, len(codes)), on_clips)

    @cached_property
    def _codes_by_layer(self) -> list[pd.DataFrame]:
        return [rows for _, rows in self.report.codes.groupby("layer")]

    @property
    def config(self) -> dict[str, Any]:
        """The checkpoint's config, empty where only codebooks are known."""
        return self.report.manifest["checkpoint"]["config"] or {}

    @property
    def corpora(self) -> dict[str, str]:
        """What the stored counts are over, by corpus."""
        return self.report.manifest["checkpoint"].get("corpora") or {}

    @cached_property
    def ema_counts(self) -> list[NDArray[np.float64]] | None:
        """EMA count of each code [K], by layer; None where the checkpoint does not hold them."""
        found = [rows["ema_count"].to_numpy(dtype=np.float64) for rows in self._codes_by_layer]
        return None if any(np.isnan(counts).any() for counts in found) else found

    @cached_property
    def reset_threshold(self) -> float:
        """EMA count below which a code is dead: the checkpoint's own, unless it never resets."""
        own = self.config.get("reset_threshold")
        return float(own) if own else self.thresholds.reset_threshold

    @property
    def never_resets(self) -> bool:
        """Whether the checkpoint says that it was trained without reset."""
        return self.config.get("reset_threshold") == 0

    @property
    def follows_by_ema(self) -> bool:
        """Whether codes follow their tokens by EMA, and not a gradient, as loading notes of some."""
        return not any("trained by gradient" in note for note in self.report.manifest["checkpoint"]["notes"])

    @cached_property
    def views(self) -> int:
        """How often the stored training counts hold each motion: mirrored, and in several headings.

        Read from the corpus's own description, the only place where a report tells it.
        """
        text = self.corpora.get("train", "")
        headings = re.search(r"each in (\d+) headings", text)
        return (int(headings.group(1)) if headings else 1) * (2 if "mirror images" in text else 1)

    @cached_property
    def metric(self) -> str | None:
        """The metric that judges reconstruction; None where nothing was decoded."""
        held = set(self.report.clip_errors["metric"])
        return next((name for name in JUDGED_BY if name in held), None)

    def errors(self, metric: str) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """Errors by clip (rows) and number of active quantizers (columns, -1: unquantised), and weights [M]."""
        table = self.report.clip_errors
        rows = table[table["metric"] == metric].dropna(subset=["value"])
        depths = [UNQUANTISED, *range(self.layers + 1)]
        wide = rows.pivot(index="clip", columns="n_active", values="value").reindex(columns=depths).dropna()
        weights = rows.groupby("clip")["weight"].first().reindex(wide.index)
        return wide, weights.to_numpy(dtype=np.float64)
