"""Clips encoded in other ways than greedily with all layers: without one layer, by beam search, not quantized."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from rvq_core.beam import beam_codes, sum_of_codes
from rvq_core.clips.clip import Clip
from rvq_core.measure import measure_latents
from rvq_core.stats.gaussian import Moments
from rvq_core.stats.layer_value import BEAM, FREE, FULL, WITHOUT
from rvq_core.tokens import Encoded, Pipeline

BEAMS = (4, 16)
"""Widths of the beam search that are compared with greedy encoding."""

LATENT = "latent_distortion"

COLUMNS = ("clip", "encoding", "number", "metric", "value", "weight")

Encoding = tuple[str, int]


DetailRow = tuple[str, str, int, str, float, int]


class ClipDetails(NamedTuple):
    """A clip encoded in other ways: ``rows`` of ``COLUMNS``, distortions of latents as they are; its ``moments``."""

    rows: list[DetailRow]
    moments: Moments


@torch.inference_mode()
def clip_details(pipeline: Pipeline, encoded: Encoded) -> ClipDetails:
    """Errors of one clip by encoding; nothing of a clip of indices."""
    clip, found = encoded.clip, ClipDetails([], Moments())
    if not encoded.latents.shape[1]:  # a clip of indices: nothing to encode in another way
        return found
    found.moments.add(encoded.latents.cpu().numpy())
    named = dict(_encodings(pipeline, encoded))
    latents = torch.stack(list(named.values()))
    apart = (latents.double() - encoded.latents.double()).square().sum(dim=1).mean(dim=1).tolist()
    for metric, values in (measure_latents(pipeline, encoded, latents) | {LATENT: apart}).items():
        of_metric = zip(named, values, strict=True)
        found.rows.extend((clip.name, *encoding, metric, value, clip.frames) for encoding, value in of_metric)
    return found


def details_table(clips: Iterable[ClipDetails]) -> pd.DataFrame:
    """The details of clips together: rows (clip, encoding, number, metric, value, weight), weighted by frames.

    Every metric of the reconstruction, and ``latent_distortion``: the squared distance of latents from their sums of
    codes, over the variance of all latents of the clips (no rows where these do not vary).
    """
    rows: list[DetailRow] = []
    moments = Moments()
    for clip in clips:
        rows += clip.rows
        moments.merge(clip.moments)
    return _as_share_of_variance(pd.DataFrame(rows, columns=list(COLUMNS)), moments)


def encoding_errors(pipeline: Pipeline, clips: Iterable[Clip]) -> pd.DataFrame:
    """``details_table`` of fitted clips."""
    return details_table([clip_details(pipeline, pipeline.encode(clip)) for clip in clips])


def _encodings(pipeline: Pipeline, encoded: Encoded) -> Iterator[tuple[Encoding, Tensor]]:
    """What the decoder gets [C, T'] in each way of encoding."""
    quantizer, tokens = pipeline.quantizer, encoded.latents.t()
    yield (FULL, 0), encoded.partial[-1]
    yield (FREE, 0), encoded.latents
    for layer in range(quantizer.num_quantizers):
        indices = torch.from_numpy(encoded.indices.copy()).to(tokens.device)
        indices[:, layer] = -1
        yield (WITHOUT, layer + 1), sum_of_codes(quantizer, indices).t()
    for beam in BEAMS:
        yield (BEAM, beam), sum_of_codes(quantizer, beam_codes(quantizer, tokens, beam)).t()


def _as_share_of_variance(rows: pd.DataFrame, moments: Moments) -> pd.DataFrame:
    of_latents = rows["metric"] == LATENT
    if moments.spread is None:
        return rows[~of_latents].reset_index(drop=True)
    shares = rows["value"] * (moments.count / moments.spread)
    return rows.assign(value=rows["value"].mask(of_latents, shares))
