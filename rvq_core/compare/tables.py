"""The tables of a comparison that tell better from worse: errors, usage, equal rate, config."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.compare.subjects import Subject
from rvq_core.stats.layer_use import FIGURES
from rvq_core.stats.metrics import UNITS
from rvq_core.stats.paired import Delta, Pair, interpolate, last_at_each, paired_jackknife, paired_means
from rvq_core.stats.reconstruction import UNQUANTISED, reconstruction_table

Floats = NDArray[np.float64]

RATES = ("nominal", "effective")

_DELTA = {
    "value": "float64", "baseline": "float64", "delta": "float64", "low": "float64", "high": "float64",
    "significant": "boolean", "words": "string",
}  # fmt: skip

METRICS_COLUMNS = {
    "checkpoint": "string", "metric": "string", "unit": "string", "n_active": "int64", "baseline_n_active": "int64",
    **_DELTA, "clips": "int64",
}  # fmt: skip

LAYERS_COLUMNS = {"checkpoint": "string", "layer": "int64", "figure": "string", **_DELTA}

EQUAL_RATE_COLUMNS = {
    "checkpoint": "string", "metric": "string", "unit": "string", "rate": "string", "bits_per_second": "float64",
    "bits_per_token": "float64", "n_active": "int64", **_DELTA, "clips": "int64",
}  # fmt: skip

CURVES_COLUMNS = {
    "checkpoint": "string", "metric": "string", "unit": "string", "n_active": "int64", "nominal_bps": "float64",
    "effective_bps": "float64", "value": "float64", "low": "float64", "high": "float64", "reference": "float64",
}  # fmt: skip

USAGE_COLUMNS = {
    "checkpoint": "string", "layer": "int64", "codes": "int64", "tokens": "int64", "perplexity": "float64",
    "low": "float64", "high": "float64", "unseen": "int64",
}  # fmt: skip

CONFIG_COLUMNS = {"setting": "string", "checkpoint": "string", "value": "string"}


def curves_table(subject: Subject, metrics: Sequence[str], clips: Sequence[str], seed: int) -> pd.DataFrame:
    """Error of one checkpoint at n = 0..Q on these clips, with its own interval and the bits a second it costs."""
    errors = subject.report.clip_errors
    kept = errors[errors["metric"].isin(list(metrics)) & errors["clip"].isin(list(clips))]
    table = reconstruction_table(kept, seed).assign(checkpoint=subject.name)
    for kind in RATES:
        table[f"{kind}_bps"] = _bits_per_second(subject, clips, kind)[table["n_active"].to_numpy(dtype=np.int64)]
    return table[list(CURVES_COLUMNS)].astype(CURVES_COLUMNS)


def usage_table(subject: Subject, clips: Sequence[str]) -> pd.DataFrame:
    """Perplexity of each layer of one checkpoint on these clips, with its own interval."""
    rows = [
        (
            subject.name, layer, use.codes, use.tokens, use.figures["perplexity"], *(use.interval or (np.nan, np.nan)),
            round(use.figures["unseen_share"] * use.codes),
        )
        for layer, use in enumerate(subject.usage(clips), start=1)
    ]  # fmt: skip
    return table_of(rows, USAGE_COLUMNS)


def metrics_table(
    subject: Subject, baseline: Subject, metrics: Sequence[str], clips: Sequence[str], seed: int
) -> pd.DataFrame:
    """Error of each metric at equal numbers of quantizers, unquantised (-1), and with all where Q differs."""
    ns = [(n, n) for n in (UNQUANTISED, *range(min(subject.depth, baseline.depth) + 1))]
    if subject.depth != baseline.depth:
        ns.append((subject.depth, baseline.depth))
    heads = [(subject.name, metric, UNITS[metric], *n) for metric in metrics for n in ns]
    own, theirs = (
        _columns([each.errors(metric, clips)[[n[side] for n in ns]] for metric in metrics], len(clips))
        for side, each in enumerate((subject, baseline))
    )
    pairs = paired_means(own, theirs, baseline.weights(clips), seed)
    rows = [(*head, *_error(pair)) for head, pair in zip(heads, pairs, strict=True)]
    return table_of(rows, METRICS_COLUMNS)


def equal_rate_table(
    subject: Subject, baseline: Subject, metrics: Sequence[str], clips: Sequence[str], seed: int
) -> pd.DataFrame:
    """Error at the bits per second that each number of quantizers costs, against the baseline's at the same bits.

    The baseline's error is interpolated linearly between its numbers of quantizers, clip by clip; nothing is said
    outside of its range. Effective bits are those of these clips, and taken as given by the interval. A layer that
    costs nothing stands at the same rate as the one before it: then the deeper one counts.
    """
    seconds = subject.seconds_per_token(clips)
    rates = {kind: [_bits_per_second(each, clips, kind) for each in (subject, baseline)] for kind in RATES}
    heads: list[tuple[object, ...]] = []
    own, theirs = [np.empty((len(clips), 0))], [np.empty((len(clips), 0))]
    for metric in metrics:
        values, others = (
            each.errors(metric, clips)[list(range(each.depth + 1))].to_numpy(dtype=np.float64)
            for each in (subject, baseline)
        )
        for kind, (rate, other_rate) in rates.items():
            for n in last_at_each(rate).tolist():
                other = interpolate(others, other_rate, float(rate[n]))
                if n == 0 or other is None:
                    continue
                heads.append((subject.name, metric, UNITS[metric], kind, rate[n], rate[n] * seconds, n))
                own.append(values[:, [n]])
                theirs.append(other[:, None])
    pairs = paired_means(np.hstack(own), np.hstack(theirs), baseline.weights(clips), seed)
    return table_of([(*head, *_error(pair)) for head, pair in zip(heads, pairs, strict=True)], EQUAL_RATE_COLUMNS)


def layers_table(subject: Subject, baseline: Subject, clips: Sequence[str]) -> pd.DataFrame:
    """Usage of each layer that both have; residual energy where both were measured on these clips and no others."""
    rows: list[tuple[object, ...]] = []
    whole = all(len(each.clips) == len(clips) for each in (subject, baseline))
    uses = zip(subject.usage(clips), baseline.usage(clips), strict=False)
    for layer, (use, other) in enumerate(uses, start=1):
        for name in FIGURES:
            value, base = use.figures[name], other.figures[name]
            delta = Delta(value - base)
            if name in use.without:
                delta = paired_jackknife(value, base, use.without[name], other.without[name])
            rows.append((subject.name, layer, name, *_figure(value, base, delta)))
        if whole:
            value, base = (each.report.layers["residual_energy"].tolist()[layer - 1] for each in (subject, baseline))
            rows.append((subject.name, layer, "residual_energy", *_figure(value, base, Delta(value - base))))
    return table_of(rows, LAYERS_COLUMNS)


def config_table(subjects: Sequence[Subject]) -> pd.DataFrame:
    """Settings that are not the same for all, a row a setting and checkpoint; ``value`` is JSON."""
    known = {subject.name: dict(_settings(subject)) for subject in subjects}
    names = dict.fromkeys(name for settings in known.values() for name in settings)
    rows = [
        (setting, name, json.dumps(settings.get(setting)))
        for setting in names
        for name, settings in known.items()
        if len({json.dumps(each.get(setting)) for each in known.values()}) > 1
    ]
    return table_of(rows, CONFIG_COLUMNS)


def table_of(rows: Sequence[tuple[object, ...]], columns: dict[str, str]) -> pd.DataFrame:
    """A table of rows with columns of given types, also where there is none."""
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)


def _settings(subject: Subject) -> Iterator[tuple[str, object]]:
    for name in ("format", "representation", "fps"):
        yield name, subject.checkpoint[name]
    yield from (subject.checkpoint["config"] or {}).items()
    yield "codes of each layer", subject.codes
    yield from (subject.checkpoint.get("training") or {}).items()
    for name, value in (subject.checkpoint.get("corpora") or {}).items():
        yield f"corpus: {name}", value


def _bits_per_second(subject: Subject, clips: Sequence[str], kind: str) -> Floats:
    """Bits a second of the first 0..Q layers [Q + 1]."""
    each = [np.log2(use.codes) if kind == "nominal" else use.figures["entropy_bits"] for use in subject.usage(clips)]
    return np.concatenate([[0.0], np.cumsum(each)]) / subject.seconds_per_token(clips)


def _columns(tables: Sequence[pd.DataFrame], clips: int) -> Floats:
    """Tables of one column a figure, side by side [M, N]."""
    return np.hstack([np.empty((clips, 0)), *(table.to_numpy(dtype=np.float64) for table in tables)])


def _error(pair: Pair) -> tuple[object, ...]:
    """The columns of ``_DELTA`` for an error, and its clips."""
    delta = pair.delta
    told = delta.words("better", "worse")
    return (pair.value, pair.baseline, *delta, delta.significant, told, pair.clips)


def _figure(value: float, baseline: float, delta: Delta) -> tuple[object, ...]:
    """The columns of ``_DELTA`` for a figure that is neither good nor bad."""
    return (value, baseline, *delta, delta.significant, delta.words("lower", "higher"))
