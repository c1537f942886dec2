"""The training loop: clips in, a run folder out, from which the same call goes on exactly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rvq_core.clips.clip import Clip
from rvq_core.loading.formats.native import save_native
from rvq_core.training.corpus import split_corpus
from rvq_core.training.records import Records
from rvq_core.training.run import Run
from rvq_core.training.run_folder import RunFolder
from rvq_core.training.settings import TrainSettings


def train(
    clips: Sequence[Clip],
    out: Path,
    settings: TrainSettings,
    *,
    command: str = "rvq_core.training.train",
    quiet: bool = False,
) -> Path:
    """Train a model on clips of one representation and write ``out/checkpoint.safetensors``.

    Every ``settings.evaluate_every`` steps checkpoint, history and state are written, each whole. The same call goes on
    from the last state, whatever stopped the run, and comes to the bytes of one that nothing stopped: the same seed,
    clips, machine and number of threads give the same weights. KeyboardInterrupt (raised again) leaves a checkpoint of
    what was reached. Returns the checkpoint's path. Raises SettingsError where ``out`` holds other files or a run of
    other settings or clips, ClipError for clips that cannot be trained on.
    """
    corpus = split_corpus(clips, settings)
    folder = RunFolder(out)
    earlier = folder.begin(settings, corpus.fingerprint)
    run = Run.begun(corpus, settings)
    records = Records(run, command)
    if earlier is None:
        _write_state(folder, run, records)
    else:
        run.restore(earlier, folder.state)
        records.rows = earlier.told["history"]
    try:
        _loop(run, records, folder, quiet)
    except KeyboardInterrupt:
        _write_checkpoint(folder, run, records)
        raise
    return folder.checkpoint


def _loop(run: Run, records: Records, folder: RunFolder, quiet: bool) -> None:
    settings = run.settings
    total = settings.iterations
    with tqdm(total=total, initial=run.iteration, unit="step", disable=quiet, file=sys.stderr, mininterval=1.0) as bar:
        while run.iteration < total:
            records.add(run.step())
            bar.update()
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
    folder.write_state(run.state(), run.settings, run.corpus.fingerprint, records.rows)


def _one_line(row: dict[str, Any]) -> str:
    error = row["held_out_mpjpe"]
    shown = "" if error is None else f"held-out {error:.0f} mm, "
    return (
        f"{shown}loss {row['reconstruction']:.3f}, perplexity {row['perplexity'][0]:.0f}..{row['perplexity'][-1]:.0f}"
    )
