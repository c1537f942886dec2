"""The training loop: clips in, a run folder out, from which the same call goes on exactly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rvq_core.clips.clip import Clip
from rvq_core.distributed import take_from_rank_zero
from rvq_core.errors import SettingsError
from rvq_core.loading.formats.native import save_native
from rvq_core.ranks import Ranks, rank_device
from rvq_core.tokens import choose_device
from rvq_core.training.corpus import Corpus, split_corpus
from rvq_core.training.records import Records
from rvq_core.training.run import Run
from rvq_core.training.run_folder import RunFolder
from rvq_core.training.settings import TrainSettings
from rvq_core.training.state_file import State, read_state


def train(
    clips: Sequence[Clip],
    out: Path,
    settings: TrainSettings,
    *,
    command: str = "rvq_core.training.train",
    quiet: bool = False,
    device: str = "auto",
    ranks: Ranks | None = None,
) -> Path:
    """Train a model on clips of one representation and write ``out/checkpoint.safetensors``.

    Every ``settings.evaluate_every`` steps checkpoint, history and state are written, each whole. The same call goes on
    from the last state, whatever stopped the run, and on a CPU comes to the bytes of one that nothing stopped: the same
    seed, clips, machine and number of threads give the same weights. KeyboardInterrupt (raised again) leaves a
    checkpoint of what was reached. With ``ranks`` each process of them calls this with the same clips and takes its
    part of every step; the first one writes. Returns the checkpoint's path. Raises SettingsError where ``out`` holds
    other files or another run, or another process trains there, ClipError for clips that cannot be trained on,
    LostRankError where a rank has ended.
    """
    ranks = Ranks() if ranks is None else ranks
    place = choose_device(rank_device(device))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    corpus = split_corpus(clips, settings)
    folder = RunFolder(out)
    with ranks.process_group(place.type):
        _train(folder, corpus, settings, ranks, place, command, quiet)
    return folder.checkpoint


def _train(
    folder: RunFolder, corpus: Corpus, settings: TrainSettings, ranks: Ranks, place: torch.device,
    command: str, quiet: bool,
) -> None:  # fmt: skip
    """The whole run. It is gone when this returns, which it must be before its process group ends.

    Else the group's threads are waited for while what averages gradients is freed, by a thread that holds Python's
    lock; and they may want that lock to free a tensor: a run that is done would not end.
    """
    run = Run.begun(corpus, settings, ranks, place)
    records = Records(run, command)
    with closing(folder):
        _begin(folder, run, records)
        try:
            _loop(run, records, folder, quiet)
        except KeyboardInterrupt:
            if ranks.first:
                _write_checkpoint(folder, run, records)
            raise


def _begin(folder: RunFolder, run: Run, records: Records) -> None:
    """Make the folder, or go on from the state in it. The first rank decides, and the others do as it does."""
    state = folder.begin(run.settings, run.beside) if run.ranks.first else None
    of_clips = int(run.corpus.fingerprint[:15], 16)
    told = torch.tensor([-1 if state is None else state.told["iteration"], of_clips], device=run.device)
    step, of_first = take_from_rank_zero(told.clone()).tolist()
    if of_first != of_clips:
        raise SettingsError("clips", expected="those of rank 0", found="others", do="give all ranks the same files")
    if not run.ranks.first and step >= 0:
        state = _seen(folder, step)
    if state is not None:
        run.restore(state, folder.state)
        records.rows = state.told["history"]
    elif run.ranks.first:
        _write_state(folder, run, records)


def _seen(folder: RunFolder, step: int) -> State:
    """The state that the first rank goes on from. Raises where this rank sees another."""
    state = read_state(folder.state)
    if state.told["iteration"] != step:
        raise SettingsError(
            str(folder.path), expected="one folder that all ranks see", found=f"a state of another step than {step}",
            do="give an --out on a file system that all machines share",
        )  # fmt: skip
    return state


def _loop(run: Run, records: Records, folder: RunFolder, quiet: bool) -> None:
    settings, first = run.settings, run.ranks.first
    total = settings.iterations
    with tqdm(
        total=total, initial=run.iteration, unit="step", disable=quiet or not first, file=sys.stderr, mininterval=1.0
    ) as bar:
        while run.iteration < total:
            losses = run.step()
            bar.update()
            if not first:
                continue
            records.add(losses)
            if run.iteration % settings.evaluate_every == 0 or run.iteration == total:
                row = records.evaluate()
                _write_interval(folder, run, records)
                bar.set_postfix_str(_one_line(row))


def _write_interval(folder: RunFolder, run: Run, records: Records) -> None:
    """All that an interval leaves; the state last, so that what was not written is done again."""
    settings = run.settings
    _write_checkpoint(folder, run, records)
    folder.write_history(records.rows)
    if settings.snapshot_every and run.iteration % settings.snapshot_every == 0:
        folder.add_snapshot(run.iteration, settings.snapshots)
    _write_state(folder, run, records)


def _write_checkpoint(folder: RunFolder, run: Run, records: Records) -> None:
    save_native(folder.checkpoint, run.model, run.normalizer, records.header())


def _write_state(folder: RunFolder, run: Run, records: Records) -> None:
    folder.write_state(run.state(), run.settings, run.beside, records.rows)


def _one_line(row: dict[str, Any]) -> str:
    error = row["held_out_mpjpe"]
    shown = "" if error is None else f"held-out {error:.0f} mm, "
    return (
        f"{shown}loss {row['reconstruction']:.3f}, perplexity {row['perplexity'][0]:.0f}..{row['perplexity'][-1]:.0f}"
    )
