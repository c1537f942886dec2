"""From a checkpoint and clips to a report: one pass over the clips, sums that grow, tables at the end."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import rvq_core
from rvq_core.clips.clip import Clip, joint_fingerprint
from rvq_core.clips.facts import ClipFacts
from rvq_core.clips.groups import Grouped, group_clips, read_groups
from rvq_core.clips.load import LeftOut
from rvq_core.clips.representations import UNDECODED
from rvq_core.corpus import Corpus, HeldClips
from rvq_core.errors import SettingsError
from rvq_core.given import refuse_no_checkpoint
from rvq_core.layer_value import details_table
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.margins import unseen_margins
from rvq_core.measure import CAVEATS, ErrorRow
from rvq_core.one_pass import Job, OnePass, Progress
from rvq_core.ranks import Ranks
from rvq_core.report import SCHEMA, Report
from rvq_core.shards import Shards, key_of
from rvq_core.stats.diagnosis import SMALLEST_COUNT
from rvq_core.stats.geometry import geometry_table
from rvq_core.stats.groups import group_usage_table
from rvq_core.stats.layer_value import layer_value_tables
from rvq_core.stats.projection import pca
from rvq_core.stats.rate import rate_distortion
from rvq_core.stats.reconstruction import clip_columns, overall, reconstruction_table
from rvq_core.stats.sample import key_bound
from rvq_core.stats.tables import CORPORA, LayerFacts, codes_table, layers_table
from rvq_core.stats.token_tables import tables_of_counts
from rvq_core.stats.trustworthiness import trustworthiness_table
from rvq_core.stats.usage import count_codes, perplexity_as_logged
from rvq_core.subset import limit_clips, limit_frames, subset_notes
from rvq_core.sums import Sums
from rvq_core.tokens import Pipeline
from rvq_core.training.curves import curves
from rvq_core.verdicts import Thresholds, verdicts
from rvq_core.workers import one_thread_each

DETAIL_FRAMES = 10_000
"""Frames on which leave-one-out and beam search are measured: a decoding more for each layer, and a slow encoding."""

DEFAULT_LOG_BATCH = 4096
"""Tokens a batch for the perplexity as logged, where the checkpoint does not tell its own."""


def analyze(
    ckpt: Checkpoint,
    clips: Sequence[Clip],
    *,
    device: str = "auto",
    max_frames: int | None = None,
    detail_frames: int = DETAIL_FRAMES,
    error_clips: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    left_out: Sequence[LeftOut] = (),
    warned: Sequence[str] = (),
    groups: Mapping[str, str] | str | Path | None = None,
    thresholds: Thresholds | None = None,
    command: str = "rvq_core.analyze",
) -> Report:
    """Run clips through a checkpoint and measure it.

    ``max_frames`` limits the frames by taking clips in a random order of ``seed``; the last one is cut. Clips that do
    not fit the checkpoint are listed in the manifest, beside those of ``left_out`` (which could not be read); a
    warning tells each. ``detail_frames`` limits in the same way on how many frames leave-one-out and beam search are
    measured; 0 leaves them out. ``error_clips`` limits on how many clips, drawn by ``seed``, errors are measured: the
    others are encoded and counted alone. ``warned`` is what reading the clips warned about, and joins the manifest's
    warnings. ``groups`` (clip -> group, or a CSV with these columns) gives usage and error by group as well.
    ``thresholds`` are those of the verdicts. Raises ClipError when none is left, SettingsError for settings out of
    range, CheckpointError and ClipError where ``ckpt`` or ``clips`` are paths.
    """
    refuse_no_checkpoint(ckpt)
    found = analyze_shared(
        ckpt,
        HeldClips(clips),
        None,
        device=device,
        max_frames=max_frames,
        detail_frames=detail_frames,
        error_clips=error_clips,
        seed=seed,
        progress=progress,
        left_out=left_out,
        warned=warned,
        groups=groups,
        thresholds=thresholds,
        command=command,
    )
    assert found is not None  # None for a rank that is not the first of several
    return found


def analyze_shared(
    ckpt: Checkpoint,
    corpus: Corpus,
    between: tuple[Ranks, Shards] | None,
    *,
    device: str = "auto",
    max_frames: int | None = None,
    detail_frames: int = DETAIL_FRAMES,
    error_clips: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    left_out: Sequence[LeftOut] = (),
    warned: Sequence[str] = (),
    groups: Mapping[str, str] | str | Path | None = None,
    thresholds: Thresholds | None = None,
    command: str = "rvq_core.analyze",
) -> Report | None:
    """``analyze`` of a corpus ``between`` ranks, what they find lying in shards; None: by this process alone.

    The report is the same. The first rank gets it, every other one None.
    """
    for name, value in (("seed", seed), ("detail_frames", detail_frames)):
        if value < 0:
            raise SettingsError(name, expected="an integer >= 0", found=str(value), do="choose another")
    pipeline = Pipeline(ckpt, device)
    with one_thread_each() as workers:
        plan = _planned(pipeline, corpus, max_frames, detail_frames, error_clips, seed)
        grouped = grouped_clips(plan.fitted, groups)
        one_pass = OnePass(
            pipeline,
            corpus,
            plan.jobs,
            seed,
            key_bound(sum(clip.frames // pipeline.stride(clip) for clip in plan.fitted)),
            identity(ckpt),
            workers if pipeline.device.type == "cpu" else 1,
            progress or (lambda _done, _total, _what: None),
        )
        sums = one_pass.alone() if between is None else one_pass.shared(*between)
        if sums is None:
            return None
        if progress is not None:
            progress(len(plan.fitted), len(plan.fitted), "tables")
        manifest = _manifest(pipeline, plan.fitted, [*left_out, *plan.refused], command, max_frames, seed)
        manifest["clips"]["fingerprint"] = joint_fingerprint(sums.fingerprints)
        manifest["settings"] |= {"detail_frames": detail_frames, "error_clips": error_clips}
        manifest["notes"] += plan.notes
        told = [*warned, *grouped.warnings, *_missing_statistics(ckpt, plan.fitted), *sums.warnings()]
        manifest["warnings"] = told
        manifest["settings"]["groups"] = len(set(grouped.of_clip.values())) or None
        manifest["settings"]["margin_latents"] = min(sums.kept.seen, sums.kept.size)
        manifest["notes"] += _margin_notes(sums)
        manifest["settings"]["thresholds"] = (thresholds or Thresholds()).to_dict()
        report = _build_report(pipeline, plan.fitted, sums, manifest, grouped.of_clip)
        manifest["verdicts"] = verdicts(report, thresholds)
        return report


def identity(ckpt: Checkpoint) -> str:
    """What tells this checkpoint, as it was opened, from any other."""
    config = None if ckpt.config is None else ckpt.config.to_dict()
    normalizer = None if ckpt.normalizer is None else ckpt.normalizer.sha256
    return key_of(rvq_core.__version__, ckpt.sha256, config, normalizer, ckpt.representation, ckpt.fps)


class _Plan(NamedTuple):
    """The clips to measure, what to do with each, what was refused, and notes on subsets."""

    fitted: list[ClipFacts]
    jobs: list[Job]
    refused: list[LeftOut]
    notes: list[str]


def _planned(
    pipeline: Pipeline,
    corpus: Corpus,
    max_frames: int | None,
    detail_frames: int,
    error_clips: int | None,
    seed: int,
) -> _Plan:
    def limited(clips: Sequence[ClipFacts], limit: int | None, setting: str) -> list[ClipFacts]:
        return limit_frames(clips, limit, seed, pipeline.stride, ClipFacts.cut, setting=setting)

    every, refused = corpus.survey(pipeline.fit)
    numbers = {clip.name: number for number, clip in enumerate(every)}
    fitted = limited(every, max_frames, "max_frames")
    detailed = limited(fitted, detail_frames, "detail_frames") if detail_frames else []
    decoded = limit_clips(fitted, error_clips, seed, setting="error_clips")
    notes = subset_notes("Only a random subset was", every, fitted)
    notes += subset_notes("Errors: only a random subset was", fitted, decoded)
    if detailed:
        notes += subset_notes("Leave-one-out and beam search: only a random subset was", fitted, detailed)
    frames = {clip.name: clip.frames for clip in detailed}
    errors_of = {clip.name for clip in decoded}
    jobs = [Job(numbers[clip.name], clip, clip.name in errors_of, frames.get(clip.name, 0)) for clip in fitted]
    return _Plan(fitted, jobs, refused, notes)


def _margin_notes(sums: Sums) -> list[str]:
    if sums.kept.seen <= sums.kept.size:
        return []
    return [f"Margins of unseen codes were measured on a random {sums.kept.size:,} of {sums.kept.seen:,} latents."]


def _missing_statistics(ckpt: Checkpoint, clips: list[ClipFacts]) -> list[str]:
    """A warning where a model is fed features without the mean and std that it was trained with."""
    if ckpt.model is None or ckpt.normalizer is not None or all(clip.representation in UNDECODED for clip in clips):
        return []
    return [
        "No mean and std are known for this checkpoint: the clips were taken as normalised already. Unless they are, "
        "give its own (--mean and --std; in the dashboard under 'How the file is read')."
    ]


def grouped_clips(clips: Iterable[Clip | ClipFacts], groups: Mapping[str, str] | str | Path | None) -> Grouped:
    """The groups of fitted clips, given as a mapping or as the path of a CSV."""
    if groups is None:
        return Grouped({}, ())
    if isinstance(groups, Mapping):
        return group_clips(clips, groups, "groups")
    return group_clips(clips, read_groups(groups), str(groups))


def _build_report(
    pipeline: Pipeline,
    clips: list[ClipFacts],
    sums: Sums,
    manifest: dict[str, Any],
    groups: dict[str, str],
) -> Report:
    facts = _layer_facts(pipeline, sums)
    seed = int(manifest["settings"]["seed"])
    errors = pd.DataFrame(sums.rows, columns=list(ErrorRow._fields))
    reconstruction = reconstruction_table(errors, seed, by_joint=sums.joints, groups=groups)
    tables = tables_of_counts(sums.of_tokens, seed=seed)
    codebooks = [codebook.numpy() for codebook in pipeline.checkpoint.codebooks]
    plane = pca(codebooks).table
    tables["windows"] = sums.of_latents.windows.table()
    tables["geometry"] = geometry_table(codebooks, [layer.neighbours for layer in facts], sums.residual_covariances())
    tables["trustworthiness"] = trustworthiness_table("pca", plane, codebooks)
    tables |= layer_value_tables(errors, details_table(sums.details), seed)
    tables["rate_distortion"] = rate_distortion(tables["rate"], overall(reconstruction))
    if len(history := curves(pipeline.checkpoint.training)):
        tables["training_curves"] = history
    if groups:
        of_clips = [groups.get(clip.name) for clip in clips]
        tables["group_usage"] = group_usage_table([layer.by_clip for layer in facts], of_clips, seed)
    return Report(
        manifest=manifest,
        layers=layers_table(facts),
        codes=codes_table(facts),
        reconstruction=reconstruction,
        clips=_clips_table(pipeline, clips, errors, groups),
        clip_errors=errors,
        tokens=sums.tokens,
        projections={"pca": plane},
        tables=tables,
    )


def _layer_facts(pipeline: Pipeline, sums: Sums) -> list[LayerFacts]:
    checkpoint = pipeline.checkpoint
    energy, ideal = sums.residual_energy(), sums.gaussian_energy()
    all_tokens = np.concatenate(sums.tokens)
    by_clip = [np.stack([count_codes(clip[:, q], codes) for clip in sums.tokens]) for q, codes in enumerate(sums.codes)]
    stored = checkpoint.training.get("code_counts", {})
    batch = _log_batch(checkpoint)
    ema, means = checkpoint.ema_counts, _ema_means(checkpoint)
    seen = [counts.sum(axis=0) > 0 for counts in by_clip]
    margins = unseen_margins(*sums.kept.latents(), list(pipeline.quantizer.codebooks), seen)
    return [
        LayerFacts(
            codebook=codebook.numpy(),
            by_clip=by_clip[q],
            residual_energy=energy[q],
            logged_perplexity=perplexity_as_logged(all_tokens[:, q], len(codebook), batch),
            ema_count=None if ema is None else ema[q].numpy(),
            reset_threshold=checkpoint.quantizer.ema_layers()[q].reset_threshold,
            gaussian_energy=ideal[q],
            corpora={name: np.array(stored[name][q], dtype=np.int64) for name in CORPORA if np.any(stored.get(name))},
            ema_mean=None if means is None else means[q],
            other_layers=_other_layers(checkpoint, by_clip, q),
            margins=margins[q],
        )
        for q, codebook in enumerate(checkpoint.codebooks)
    ]


def _ema_means(checkpoint: Checkpoint) -> list[NDArray[np.float64]] | None:
    """Where the EMA has each code [K, C]; None where it is not stored, or rows are made of it otherwise."""
    if checkpoint.ema_counts is None or checkpoint.format == "lucidrains":
        return None
    layers = checkpoint.quantizer.ema_layers()
    counts = [layer.code_count.double().clamp(min=SMALLEST_COUNT) for layer in layers]
    return [(layer.code_sum.double() / count[:, None]).numpy() for layer, count in zip(layers, counts, strict=True)]


def _other_layers(checkpoint: Checkpoint, by_clip: Sequence[NDArray[np.int64]], q: int) -> dict[int, NDArray[np.int64]]:
    """Of a shared codebook, the tokens of each other layer (1-based) on its codes."""
    if not checkpoint.quantizer.shared_codebook:
        return {}
    return {layer: counts.sum(axis=0) for layer, counts in enumerate(by_clip, start=1) if layer != q + 1}


def _log_batch(checkpoint: Checkpoint) -> int:
    """Tokens in one training batch, as far as the checkpoint tells."""
    settings = checkpoint.training.get("settings", {})
    if checkpoint.config is None or not {"batch_size", "window"} <= set(settings):
        return DEFAULT_LOG_BATCH
    return max(1, int(settings["batch_size"]) * int(settings["window"]) // checkpoint.config.stride)


def _clips_table(
    pipeline: Pipeline, clips: list[ClipFacts], errors: pd.DataFrame, groups: dict[str, str]
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "clip": [clip.name for clip in clips],
            "frames": [clip.frames for clip in clips],
            "seconds": [clip.seconds for clip in clips],
            "fps": [clip.fps for clip in clips],
            "tokens": [clip.frames // pipeline.stride(clip) for clip in clips],
            "held_out": pd.array([pipeline.checkpoint.held_out(clip.name) for clip in clips], dtype="boolean"),
            "representation": [clip.representation for clip in clips],
            "group": pd.array([groups.get(clip.name) for clip in clips], dtype="string"),
            "notes": ["; ".join(clip.notes) for clip in clips],
        }
    )
    return table.join(clip_columns(errors, pipeline.quantizer.num_quantizers), on="clip")


def _manifest(
    pipeline: Pipeline,
    clips: list[ClipFacts],
    left_out: Sequence[LeftOut],
    command: str,
    max_frames: int | None,
    seed: int,
) -> dict[str, Any]:
    ckpt = pipeline.checkpoint
    return {
        "schema": SCHEMA,
        "rvq_lens": rvq_core.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "checkpoint": {
            "name": ckpt.name,
            "file": ckpt.path.name,
            "format": ckpt.format,
            "sha256": ckpt.sha256,
            "config": None if ckpt.config is None else ckpt.config.to_dict(),
            "representation": ckpt.representation,
            "fps": ckpt.fps,
            "ema_counts": ckpt.ema_counts is not None,
            "corpora": ckpt.corpora,
            "training": ckpt.training.get("settings", {}),
            "normalizer_sha256": None if ckpt.normalizer is None else ckpt.normalizer.sha256,
            "notes": list(ckpt.notes),
        },
        "clips": {
            "count": len(clips),
            "frames": sum(clip.frames for clip in clips),
            "seconds": round(sum(clip.seconds for clip in clips), 6),
        },
        "settings": {
            "device": pipeline.device.type,
            "max_frames": max_frames,
            "seed": seed,
            "log_batch_tokens": _log_batch(ckpt),
        },
        "left_out": [{"clip": str(path), "reason": reason} for path, reason in left_out],
        "warnings": [],
        "notes": [CAVEATS[kind] for kind in sorted({clip.representation for clip in clips}) if kind in CAVEATS],
        "verdicts": [],
    }
