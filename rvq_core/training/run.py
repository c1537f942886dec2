"""A run at one moment: weights, codebooks, optimizer and draws; its next step, and all of it as a state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from rvq_core.autoencoder import RVQVAE
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading.checkpoint import Normalizer
from rvq_core.ranks import Ranks
from rvq_core.training.batches import WindowSampler, fit_normalizer, still_features
from rvq_core.training.corpus import Corpus
from rvq_core.training.losses import Losses
from rvq_core.training.schedule import learning_rate
from rvq_core.training.settings import TrainSettings
from rvq_core.training.state_file import State, take
from rvq_core.training.step import StepLosses

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""


class Run:
    """A model in training on a corpus; ``iteration`` steps are done. On several ranks each holds the same weights."""

    def __init__(
        self,
        model: RVQVAE,
        normalizer: Normalizer,
        corpus: Corpus,
        settings: TrainSettings,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = torch.device("cpu") if device is None else device
        self.ranks = Ranks() if ranks is None else ranks
        self.model = model.to(self.device)
        self.normalizer = normalizer
        self.corpus = corpus
        self.settings = settings
        self.iteration = 0
        on_device = Normalizer(normalizer.mean.to(self.device), normalizer.std.to(self.device))
        losses = StepLosses(model, on_device, corpus.representation, settings)
        self._losses = _on_all_ranks(losses) if self.ranks.size > 1 else losses
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.sampler = WindowSampler(
            corpus.train,
            window=settings.window,
            batch_size=settings.batch_size,
            yaw=corpus.yaw,
            seed=settings.seed,
            share=(self.ranks.rank, self.ranks.size),
        )
        still = still_features(corpus.train) if corpus.of_rotations else torch.zeros(len(normalizer.mean))
        self._noise = settings.still_noise * still / normalizer.scale
        self._noise_generator = torch.Generator().manual_seed(settings.seed)

    @classmethod
    def begun(
        cls, corpus: Corpus, settings: TrainSettings, ranks: Ranks | None = None, device: torch.device | None = None
    ) -> Run:
        """A run before its first step, by the seed alone."""
        torch.manual_seed(settings.seed)
        floor = settings.rotation_std_floor if corpus.of_rotations else 0.0
        normalizer = fit_normalizer(corpus.train, corpus.yaw, floor=floor)
        return cls(RVQVAE(settings.model), normalizer, corpus, settings, ranks, device)

    @property
    def beside(self) -> dict[str, object]:
        """What beside the settings decides on every number: clips, how many ranks, and the kind of device."""
        clips = f"fingerprint {self.corpus.fingerprint}"
        return {"clips": clips, "ranks": self.ranks.size, "device": self.device.type}

    def step(self) -> Losses:
        """One optimizer step on one batch; its losses over all ranks, without gradients.

        Raises SettingsError where the loss is no finite number.
        """
        batch = self.sampler.draw()
        noise = self.sampler.noise(len(self._noise), self._noise_generator) * self._noise
        losses: Losses = self._losses(*(given.to(self.device) for given in (batch.features, batch.present, noise)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.iteration)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        if self.settings.grad_clip > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self.iteration += 1
        found = losses.over_ranks()
        if not bool(torch.isfinite(found.total)):
            raise SettingsError(
                f"training: step {self.iteration}", expected="a finite loss", found=str(float(found.total)),
                do="lower learning_rate, or look for outliers in the clips",
            )  # fmt: skip
        return found

    def state(self) -> State:
        """All that the next step depends on beside settings and clips: tensors, and ``iteration`` and ``numpy``."""
        tensors = {f"model.{name}": tensor for name, tensor in self._model_tensors()}
        for name, weight in self.model.named_parameters():
            moments = self.optimizer.state.get(weight, {})
            tensors |= {f"optimizer.{name}.{moment}": moments[moment] for moment in _MOMENTS if moments}
        tensors |= {f"random.{name}": generator.get_state() for name, generator in self._generators().items()}
        return State(tensors, {"iteration": self.iteration, "numpy": _numpy_state()})

    def restore(self, state: State, path: Path) -> None:
        """Become the run whose ``state`` that was, read from ``path``. Raises CheckpointError where it does not fit."""
        tensors = dict(state.tensors)
        with torch.no_grad():
            for name, tensor in self._model_tensors():
                tensor.copy_(take(tensors, f"model.{name}", tensor, path))
        for name, weight in self.model.named_parameters():
            if f"optimizer.{name}.step" in tensors:
                likes = zip(_MOMENTS, (torch.zeros(()), weight, weight), strict=True)
                self.optimizer.state[weight] = {
                    moment: take(tensors, f"optimizer.{name}.{moment}", like, path).to(like.device)
                    for moment, like in likes
                }
        for name, generator in self._generators().items():
            generator.set_state(take(tensors, f"random.{name}", generator.get_state(), path))
        if tensors:
            raise CheckpointError(
                str(path), expected="the state of a run of these settings",
                found=f"a tensor '{min(tensors)}' beside it", do="choose another --out",
            )  # fmt: skip
        self.iteration = int(state.told["iteration"])
        _set_numpy_state(state.told["numpy"])

    def _model_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Weights, buffers and counters by name, each once, those of a shared codebook too."""
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()
        for q, layer in enumerate(dict.fromkeys(self.model.quantizer.ema_layers())):
            yield f"resets.{q}", layer.code_resets
            yield f"updates.{q}", layer.updates

    def _generators(self) -> dict[str, torch.Generator]:
        found = {
            "torch": torch.default_generator,
            "batches": self.sampler.generator,
            "noise": self._noise_generator,
        }
        if self.device.type == "cuda":
            found["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
        return found


def _numpy_state() -> dict[str, Any]:
    """Numpy's own generator, as plain values: nothing here draws from it, what is called from here may."""
    found = dict(np.random.get_state(legacy=False))  # noqa: NPY002 - it is this one that must be kept
    return found | {"state": {"key": found["state"]["key"].tolist(), "pos": found["state"]["pos"]}}


def _set_numpy_state(found: dict[str, Any]) -> None:
    key = np.array(found["state"]["key"], dtype=np.uint32)
    np.random.set_state(found | {"state": {"key": key, "pos": found["state"]["pos"]}})  # noqa: NPY002 - as above


def _on_all_ranks(losses: StepLosses) -> DistributedDataParallel:
    """Losses whose gradients are averaged; codebooks are alike on all ranks by themselves, so no buffers are sent."""
    with warnings.catch_warnings():
        # The newest torch calls the option by another name, which the oldest that is supported does not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(losses, broadcast_buffers=False)
