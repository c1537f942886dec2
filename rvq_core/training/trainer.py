"""The training loop: clips in, one native checkpoint out, with the run's history in its header."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from rvq_core.autoencoder import RVQVAE
from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.representations import JOINT_ROT6D, SMPLX_ROT6D, Representation, get_representation
from rvq_core.errors import ClipError, SettingsError
from rvq_core.files import written_whole
from rvq_core.loading.checkpoint import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native
from rvq_core.training.batches import HEADINGS, WindowSampler, fit_normalizer, in_all_headings, mirrored, still_features
from rvq_core.training.body_part import BODY_PARTS
from rvq_core.training.history import corpus_counts, held_out_mpjpe, usage_row
from rvq_core.training.losses import Losses, training_losses
from rvq_core.training.settings import TrainSettings

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The clips of a run as raw features [T, D]: ``train`` with mirror images where wanted, ``held_out`` as they are.

    ``yaw``: whether training turns them about the vertical.
    """

    train: list[Tensor]
    held_out: list[Tensor]
    train_names: list[str]
    held_out_names: list[str]
    representation: Representation
    yaw: bool
    fingerprint: str

    @property
    def of_rotations(self) -> bool:
        """Whether the features are 6D rotations throughout."""
        return self.representation.name in (SMPLX_ROT6D.name, JOINT_ROT6D.name)

    def counted(self, part: list[Tensor]) -> Iterator[Tensor]:
        """The clips over which codes are counted: in all headings where training turns them."""
        for clip in part:
            yield from in_all_headings(clip) if self.yaw else [clip]


def train(
    clips: Sequence[Clip],
    out: Path,
    settings: TrainSettings,
    *,
    command: str = "rvq_core.training.train",
    quiet: bool = False,
) -> Path:
    """Train a model on clips of one representation and write ``out/checkpoint.safetensors``.

    The checkpoint is rewritten, whole, every ``settings.evaluate_every`` steps and when the run is interrupted
    (KeyboardInterrupt, raised again). The same seed, clips and machine give the same weights. Returns its path.
    """
    corpus = split_corpus(clips, settings)
    _prepare_folder(out, settings)
    torch.manual_seed(settings.seed)
    model = RVQVAE(settings.model)
    normalizer = fit_normalizer(
        corpus.train, corpus.yaw, floor=settings.rotation_std_floor if corpus.of_rotations else 0.0
    )
    run = _Run(model, normalizer, corpus, settings, out / CHECKPOINT, command)
    try:
        _loop(run, quiet)
    except KeyboardInterrupt:
        run.save()
        raise
    return run.path


def split_corpus(clips: Sequence[Clip], settings: TrainSettings) -> Corpus:
    """Resample clips to the run's fps and divide them into training and held-out ones, by name or by a seeded draw.

    Raises ClipError and SettingsError.
    """
    if not clips:
        raise ClipError("clips", expected="at least one clip", found="none", do="give a file or a folder with motion")
    part = None if settings.part is None else BODY_PARTS[settings.part]
    clips = [
        fit_clip(clip, dim=clip.features.shape[1], fps=settings.fps) if part is None else part.whole(clip, settings.fps)
        for clip in clips
    ]
    first = clips[0]
    for clip in clips:
        if clip.frames < settings.model.stride:
            raise ClipError(
                str(clip.source or clip.name), expected=f"at least {settings.model.stride} frames (one token)",
                found=f"{clip.frames} at {clip.fps:g} fps", do="leave this clip out",
            )  # fmt: skip
        if clip.representation != first.representation or clip.features.shape[1] != first.features.shape[1]:
            raise ClipError(
                str(clip.source or clip.name), expected=f"{first.representation} features like {first.name}",
                found=f"{clip.representation} with {clip.features.shape[1]} columns", do="train on one kind of motion",
            )  # fmt: skip
    width = first.features.shape[1] if part is None else part.width
    if width != settings.model.input_dim:
        raise SettingsError(
            "model config: input_dim", expected=str(width), found=str(settings.model.input_dim),
            do="set input_dim to the clips' number of columns, or leave it to --part",
        )  # fmt: skip
    held_out = _held_out_names(clips, settings)
    training = [clip for clip in clips if clip.name not in held_out]
    if not training:
        raise SettingsError("training: held_out", expected="clips left to train on", found="none", do="hold out fewer")
    features = [torch.from_numpy(clip.features) for clip in training]
    if settings.mirror and first.representation == SMPLX_ROT6D.name:
        features += [mirrored(clip) for clip in features]
    kept = [torch.from_numpy(clip.features) for clip in clips if clip.name in held_out]
    if part is not None:
        features, kept = [part.of(clip) for clip in features], [part.of(clip) for clip in kept]
    return Corpus(
        train=features,
        held_out=kept,
        train_names=[clip.name for clip in training],
        held_out_names=[clip.name for clip in clips if clip.name in held_out],
        representation=get_representation(first.representation) if part is None else part.representation,
        yaw=settings.yaw and first.representation == SMPLX_ROT6D.name and (part is None or part.has_pelvis),
        fingerprint=fingerprint(clips),
    )


def _held_out_names(clips: Sequence[Clip], settings: TrainSettings) -> frozenset[str]:
    names = [clip.name for clip in clips]
    if settings.held_out:
        absent = sorted(set(settings.held_out) - set(names))
        if absent:
            raise SettingsError(
                "training: held_out", expected="names of clips that were given", found=repr(absent[0]),
                do="correct the name (a clip's name is its file's, without the ending)",
            )  # fmt: skip
        return frozenset(settings.held_out)
    count = round(settings.held_out_share * len(names))
    order = np.random.default_rng(settings.seed).permutation(len(names))
    return frozenset(names[i] for i in order[:count])


def _prepare_folder(out: Path, settings: TrainSettings) -> None:
    if (out / CHECKPOINT).exists():
        raise SettingsError(
            str(out), expected="a new folder", found=f"a run with its {CHECKPOINT}",
            do="choose another --out, or move that run away",
        )  # fmt: skip
    if out.exists() and not (out / SETTINGS).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(
            str(out), expected="an empty folder or an earlier run", found="other files", do="choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    with written_whole(out / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", encoding="utf-8")


class _Run:
    """The state of a run, and how it is written down."""

    def __init__(
        self,
        model: RVQVAE,
        normalizer: Normalizer,
        corpus: Corpus,
        settings: TrainSettings,
        path: Path,
        command: str,
    ) -> None:
        self.model = model
        self.normalizer = normalizer
        self.corpus = corpus
        self.settings = settings
        self.path = path
        self.command = command
        self.iteration = 0
        self.history: list[dict[str, Any]] = []
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._counted_at = -1
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.schedule = _warm_up_then_cosine(self.optimizer, settings)
        self.sampler = WindowSampler(
            corpus.train,
            window=settings.window,
            batch_size=settings.batch_size,
            yaw=corpus.yaw,
            seed=settings.seed,
        )
        still = still_features(corpus.train) if corpus.of_rotations else torch.zeros(len(normalizer.mean))
        self._noise = settings.still_noise * still / normalizer.scale
        self._noise_generator = torch.Generator().manual_seed(settings.seed)

    def step(self) -> Losses:
        """One optimizer step on one batch."""
        batch = self.sampler.draw()
        truth = self.normalizer.apply(batch.features)
        latents = self.model.encode(truth + self._noise_for(len(truth)))
        # A latent counts as data when its first frame does.
        present = batch.present[:, :: self.settings.model.stride]
        quantized, _, commit_loss, _ = self.model.quantizer(latents, mask=present)
        losses = training_losses(
            self.settings, self.corpus.representation, self.normalizer,
            self.model.decode(quantized), truth, batch.present, commit_loss,
        )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        self.optimizer.step()
        self.schedule.step()
        self.iteration += 1
        if not bool(torch.isfinite(losses.total)):
            raise SettingsError(
                f"training: step {self.iteration}", expected="a finite loss", found=str(float(losses.total.detach())),
                do="lower learning_rate, or look for outliers in the clips",
            )  # fmt: skip
        return losses

    def _noise_for(self, samples: int) -> Tensor:
        """Noise [B, 1, D] on normalised features that stand still in the training motion, the same in all frames."""
        return torch.randn(samples, 1, len(self._noise), generator=self._noise_generator) * self._noise

    def evaluate(self, means: dict[str, float]) -> dict[str, Any]:
        """Add a row to the history: mean losses since the last, usage of the training clips, held-out error."""
        self.model.eval()
        error = held_out_mpjpe(self.model, self.normalizer, self.corpus.representation, self.corpus.held_out)
        row = {
            "iteration": self.iteration,
            **{name: round(value, 6) for name, value in means.items()},
            **usage_row(self.code_counts()["train"]),
            "held_out_mpjpe": None if error is None else round(error, 3),
        }
        self.model.train()
        self.history.append(row)
        return row

    def code_counts(self) -> dict[str, NDArray[np.int64]]:
        """Code counts [Q, K] of both corpora with the weights of this step, counted once a step; the model in eval."""
        if self._counted_at != self.iteration:
            parts = {"train": self.corpus.train, "held_out": self.corpus.held_out}
            self._counts = {
                name: corpus_counts(self.model, self.normalizer, self.corpus.counted(part))
                for name, part in parts.items()
                if part
            }
            self._counted_at = self.iteration
        return self._counts

    def save(self) -> None:
        """Write the checkpoint, with the code counts of both corpora."""
        self.model.eval()
        counts = {name: layers.tolist() for name, layers in self.code_counts().items()}
        training = {
            "command": self.command,
            "iterations": self.iteration,
            "settings": {name: value for name, value in self.settings.to_dict().items() if name != "model"},
            "train_clips": self.corpus.train_names,
            "held_out_clips": self.corpus.held_out_names,
            "mirrored": len(self.corpus.train) > len(self.corpus.train_names),
            "headings_counted": HEADINGS if self.corpus.yaw else 1,
            "clips_fingerprint": self.corpus.fingerprint,
            "history": self.history,
            "code_counts": counts,
            "torch": torch.__version__,
        }
        header = NativeHeader(self.settings.model, self.corpus.representation.name, self.settings.fps, training)
        save_native(self.path, self.model, self.normalizer, header)
        self.model.train()


def _loop(run: _Run, quiet: bool) -> None:
    sums: dict[str, list[float]] = defaultdict(list)
    total = run.settings.iterations
    with tqdm(total=total, unit="step", disable=quiet, file=sys.stderr, mininterval=1.0) as bar:
        while run.iteration < total:
            losses = run.step()
            for name in ("reconstruction", "velocity", "commit", "position"):
                sums[name].append(float(getattr(losses, name).detach()))
            bar.update()
            if run.iteration % run.settings.evaluate_every == 0 or run.iteration == total:
                row = run.evaluate({name: float(np.mean(values)) for name, values in sums.items()})
                sums.clear()
                run.save()
                bar.set_postfix_str(_one_line(row))


def _one_line(row: dict[str, Any]) -> str:
    error = row["held_out_mpjpe"]
    shown = "" if error is None else f"held-out {error:.0f} mm, "
    return (
        f"{shown}loss {row['reconstruction']:.3f}, perplexity {row['perplexity'][0]:.0f}..{row['perplexity'][-1]:.0f}"
    )


def _warm_up_then_cosine(
    optimizer: torch.optim.Optimizer, settings: TrainSettings
) -> torch.optim.lr_scheduler.LambdaLR:
    def factor(step: int) -> float:
        if step < settings.warm_up:
            return (step + 1) / settings.warm_up
        share = (step - settings.warm_up) / max(1, settings.iterations - settings.warm_up)
        return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, share))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
