"""From a checkpoint and clips to a report: one pass over the clips, sums that grow, tables at the end."""

from __future__ import annotations

import datetime
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import rvq_core
from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.clips.groups import Grouped, group_clips, read_groups
from rvq_core.clips.load import LeftOut
from rvq_core.clips.representations import UNDECODED
from rvq_core.clips.shelf import Shelf, one_by_one
from rvq_core.errors import ClipError, SettingsError
from rvq_core.layer_value import encoding_errors
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.margins import unseen_margins
from rvq_core.measure import CAVEATS, ClipErrors, ErrorRow, measure_clip
from rvq_core.report import SCHEMA, Report
from rvq_core.stats.diagnosis import SMALLEST_COUNT
from rvq_core.stats.geometry import geometry_table
from rvq_core.stats.groups import group_usage_table
from rvq_core.stats.layer_value import layer_value_tables
from rvq_core.stats.projection import pca
from rvq_core.stats.rate import rate_distortion
from rvq_core.stats.reconstruction import clip_columns, overall, reconstruction_table
from rvq_core.stats.tables import CORPORA, LayerFacts, codes_table, layers_table
from rvq_core.stats.token_tables import tables_of_counts
from rvq_core.stats.trustworthiness import trustworthiness_table
from rvq_core.stats.usage import perplexity_as_logged
from rvq_core.subset import limit_clips, limit_frames, subset_notes
from rvq_core.sums import Sums
from rvq_core.tokens import Pipeline
from rvq_core.training.curves import curves
from rvq_core.verdicts import Thresholds, verdicts

Progress = Callable[[int, int, str], None]
"""Called with clips done, clips in all, and what is being done."""

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
    range.
    """
    for name, value in (("seed", seed), ("detail_frames", detail_frames)):
        if value < 0:
            raise SettingsError(name, expected="an integer >= 0", found=str(value), do="choose another")
    pipeline = Pipeline(ckpt, device)
    all_fitted, refused = fit_all(pipeline.fit, clips)
    fitted = limit_frames(all_fitted, max_frames, seed, pipeline.stride, setting="max_frames")
    detailed = (
        limit_frames(fitted, detail_frames, seed, pipeline.stride, setting="detail_frames") if detail_frames else []
    )
    decoded = limit_clips(fitted, error_clips, seed, setting="error_clips")
    names = {clip.name for clip in decoded}
    grouped = grouped_clips(fitted, groups)
    sums = Sums([len(codebook) for codebook in ckpt.codebooks], seed)
    for done, clip in enumerate(one_by_one(fitted)):
        if progress is not None:
            progress(done, len(fitted), clip.name)
        encoded = pipeline.encode(clip)
        errors = measure_clip(pipeline, encoded) if clip.name in names else ClipErrors([], [])
        sums.add(encoded, errors, pipeline.seconds_per_token(clip))
    if progress is not None:
        progress(len(fitted), len(fitted), "tables")
    details = encoding_errors(pipeline, detailed)
    manifest = _manifest(pipeline, fitted, [*left_out, *refused], command, max_frames, seed)
    manifest["settings"] |= {"detail_frames": detail_frames, "error_clips": error_clips}
    manifest["notes"] += subset_notes("Only a random subset was", all_fitted, fitted)
    manifest["notes"] += subset_notes("Errors: only a random subset was", fitted, decoded)
    if detailed:
        manifest["notes"] += subset_notes("Leave-one-out and beam search: only a random subset was", fitted, detailed)
    manifest["warnings"] = [*warned, *grouped.warnings, *_missing_statistics(ckpt, fitted), *sums.warnings()]
    manifest["settings"]["groups"] = len(set(grouped.of_clip.values())) or None
    manifest["settings"]["margin_latents"] = min(sums.kept.seen, sums.kept.size)
    manifest["notes"] += _margin_notes(sums)
    manifest["settings"]["thresholds"] = (thresholds or Thresholds()).to_dict()
    report = _build_report(pipeline, fitted, sums, details, manifest, grouped.of_clip)
    manifest["verdicts"] = verdicts(report, thresholds)
    return report


def fit_all(fit: Callable[[Clip], Clip], clips: Sequence[Clip]) -> tuple[list[Clip], list[LeftOut]]:
    """Clips as the checkpoint takes them, and those it cannot take; raises ClipError where none is left."""
    if not clips:
        raise ClipError("clips", expected="at least one clip", found="none", do="give a file or a folder with motion")
    _refuse_equal_names(clips)
    fitted: list[Clip] = []
    refused: list[LeftOut] = []
    with Shelf() as shelf:
        for clip in one_by_one(clips):
            try:
                fitted.append(shelf.place(fit(clip)))
            except ClipError as error:
                if len(clips) == 1:
                    raise
                refused.append(LeftOut(clip.source or Path(clip.name), str(error)))
                warnings.warn(f"left out {clip.name}: {error}", stacklevel=3)
    if not fitted:
        raise ClipError(
            "clips", expected="at least one that fits the checkpoint", found=f"{len(refused)} and none that fits",
            do=f"the first says: {refused[0].reason}",
        )  # fmt: skip
    return fitted, refused


def _refuse_equal_names(clips: Sequence[Clip]) -> None:
    """Tables tell clips apart by name; load_clips makes names unique, lists put together by hand may not be."""
    name, times = Counter(clip.name for clip in clips).most_common(1)[0]
    if times > 1:
        raise ClipError(
            f"clips: {name}", expected="clips of different names", found=f"{times} of this name",
            do="read them with one call of load_clips, or rename them",
        )  # fmt: skip


def _margin_notes(sums: Sums) -> list[str]:
    if sums.kept.seen <= sums.kept.size:
        return []
    return [f"Margins of unseen codes were measured on a random {sums.kept.size:,} of {sums.kept.seen:,} latents."]


def _missing_statistics(ckpt: Checkpoint, clips: list[Clip]) -> list[str]:
    """A warning where a model is fed features without the mean and std that it was trained with."""
    if ckpt.model is None or ckpt.normalizer is not None or all(clip.representation in UNDECODED for clip in clips):
        return []
    return [
        "No mean and std are known for this checkpoint: the clips were taken as normalised already. Unless they are, "
        "give its own (--mean and --std; in the dashboard under 'How the file is read')."
    ]


def grouped_clips(clips: list[Clip], groups: Mapping[str, str] | str | Path | None) -> Grouped:
    """The groups of fitted clips, given as a mapping or as the path of a CSV."""
    if groups is None:
        return Grouped({}, ())
    if isinstance(groups, Mapping):
        return group_clips(clips, groups, "groups")
    return group_clips(clips, read_groups(groups), str(groups))


def _build_report(
    pipeline: Pipeline,
    clips: list[Clip],
    sums: Sums,
    details: pd.DataFrame,
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
    tables["windows"] = sums.windows.table()
    tables["geometry"] = geometry_table(codebooks, [layer.neighbours for layer in facts], sums.residual_covariances())
    tables["trustworthiness"] = trustworthiness_table("pca", plane, codebooks)
    tables |= layer_value_tables(errors, details, seed)
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
    by_clip = [np.stack(counts) for counts in zip(*sums.counts, strict=True)]
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


def _clips_table(pipeline: Pipeline, clips: list[Clip], errors: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
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
    clips: list[Clip],
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
            "fingerprint": fingerprint(one_by_one(clips)),
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
