"""What a run tells of itself: a row of its history each interval, and the summary in its checkpoint."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rvq_core.loading.formats.native import NativeHeader
from rvq_core.training.batches import HEADINGS
from rvq_core.training.curves import LOSSES
from rvq_core.training.history import corpus_counts, held_out_mpjpe, usage_row
from rvq_core.training.losses import Losses
from rvq_core.training.run import Run

RESETS = "resets"
"""In a row of the history: codes reset since the row before, by layer. In the run folder alone, not in checkpoints."""


class Records:
    """The history of ``run``: ``rows`` so far, and the losses since the last of them."""

    def __init__(self, run: Run, command: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._run = run
        self._command = command
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._counted_at = -1

    def add(self, losses: Losses) -> None:
        """Note the losses of one step."""
        for name in LOSSES:
            self._losses[name].append(float(getattr(losses, name)))

    def evaluate(self) -> dict[str, Any]:
        """Add a row: mean losses and resets since the last, usage of the training clips, held-out error."""
        run = self._run
        run.model.eval()
        error = held_out_mpjpe(run.model, run.normalizer, run.corpus.representation, run.corpus.held_out)
        row = {
            "iteration": run.iteration,
            **{name: round(float(np.mean(values)), 6) for name, values in self._losses.items()},
            **usage_row(self.code_counts()["train"]),
            RESETS: self._new_resets(),
            "held_out_mpjpe": None if error is None else round(error, 3),
        }
        run.model.train()
        self._losses.clear()
        self.rows.append(row)
        return row

    def _new_resets(self) -> list[int]:
        """Codes that were reset since the last row, by layer."""
        layers = self._run.model.quantizer.ema_layers()
        return [layer.resets - sum(row[RESETS][q] for row in self.rows) for q, layer in enumerate(layers)]

    def code_counts(self) -> dict[str, NDArray[np.int64]]:
        """Code counts [Q, K] of both corpora with the weights of this step, counted once a step; the model in eval."""
        run = self._run
        if self._counted_at != run.iteration:
            parts = {"train": run.corpus.train, "held_out": run.corpus.held_out}
            self._counts = {
                name: corpus_counts(run.model, run.normalizer, run.corpus.counted(part))
                for name, part in parts.items()
                if part
            }
            self._counted_at = run.iteration
        return self._counts

    def header(self) -> NativeHeader:
        """What a checkpoint of this moment tells beside its tensors, with the code counts of both corpora."""
        run = self._run
        run.model.eval()
        counts = {name: layers.tolist() for name, layers in self.code_counts().items()}
        run.model.train()
        training = {
            "command": self._command,
            "iterations": run.iteration,
            "settings": run.settings.without_model(),
            "train_clips": run.corpus.train_names,
            "held_out_clips": run.corpus.held_out_names,
            "mirrored": len(run.corpus.train) > len(run.corpus.train_names),
            "headings_counted": HEADINGS if run.corpus.yaw else 1,
            "clips_fingerprint": run.corpus.fingerprint,
            "history": [{name: value for name, value in row.items() if name != RESETS} for row in self.rows],
            "code_counts": counts,
            "code_resets": {"all": [layer.code_resets.tolist() for layer in run.model.quantizer.ema_layers()]},
            "torch": torch.__version__,
        }
        return NativeHeader(run.settings.model, run.corpus.representation.name, run.settings.fps, training)
