"""Bounds are looked at before memory is taken, name themselves, and can be changed."""

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow.parquet import ParquetWriter
from reports import make_report, spread
from safetensors.torch import save_file

from rvq_core import Report, load_checkpoint, load_clips
from rvq_core.clips.clip import Clip
from rvq_core.clips.groups import read_groups
from rvq_core.clips.resample import resample_clip
from rvq_core.clips.split import read_split
from rvq_core.errors import ClipError, RVQLensError, SettingsError
from rvq_core.limits import FRAMES, LIMITS, SETTINGS, TENSORS, TEXT, UNPACKED, Limit, refuse_beyond
from rvq_core.report import read_table
from rvq_core.training.settings import TrainSettings, read_settings
from rvq_core.verdicts.thresholds import read_toml

MEGABYTE = 1 << 20


def small_report() -> Report:
    return make_report([np.stack([spread(60, 16, 8)] * 3, axis=1) for _ in range(3)], 16)


def line(read: Callable[[], object], limit: Limit) -> str:
    """The error that reading gives: it names the bound, and little memory was taken before it."""
    tracemalloc.start()
    try:
        with pytest.raises(RVQLensError) as told:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert limit.variable in str(told.value)
    assert peak < 8 * MEGABYTE
    return str(told.value)


def bomb(path: Path, name: str, megabytes: int) -> Path:
    """An archive of one array of zeros, a thousandth of its size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{name}.npy", "w") as member:
            header = {"descr": "<f8", "fortran_order": False, "shape": (megabytes * MEGABYTE // 8 // 165, 165)}
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(megabytes):
                member.write(bytes(MEGABYTE))
        with archive.open("mocap_frame_rate.npy", "w") as member:
            np.lib.format.write_array(member, np.array(30.0))
    return path


@pytest.mark.parametrize("name", ["poses", "features"])
def test_arrays_that_unpack_to_far_more_than_their_file(tmp_path, name, monkeypatch):
    monkeypatch.setenv(UNPACKED.variable, "16")
    path = bomb(tmp_path / "bomb.npz", name, 64)
    assert "at most 16 MB" in line(lambda: load_clips(path), UNPACKED)


def test_the_usual_bound_holds_without_a_variable(tmp_path):
    path = bomb(tmp_path / "bomb.npz", "poses", UNPACKED.usual + 1)
    assert f"at most {UNPACKED.usual:,} MB" in line(lambda: load_clips(path), UNPACKED)


def test_an_array_as_large_as_its_file_is_read_whatever_the_bound(tmp_path, monkeypatch):
    monkeypatch.setenv(UNPACKED.variable, "0")
    poses = np.zeros((2000, 165))
    np.savez(tmp_path / "long.npz", poses=poses, mocap_frame_rate=30.0)
    assert load_clips(tmp_path / "long.npz")[0].frames == 2000
    np.savez_compressed(tmp_path / "short.npz", poses=poses, mocap_frame_rate=30.0)
    assert "poses" in line(lambda: load_clips(tmp_path / "short.npz"), UNPACKED)
    monkeypatch.setenv(UNPACKED.variable, "3")
    assert load_clips(tmp_path / "short.npz")[0].frames == 2000


def test_tables_and_tokens_of_a_report_that_unpack_to_far_more(tmp_path, monkeypatch):
    folder = small_report().save(tmp_path / "report")
    schema = pa.schema([("clip", pa.string()), ("n", pa.int64())])
    some = pa.table({"clip": pa.array(["a"] * 1_000_000), "n": pa.array(np.zeros(1_000_000, dtype=np.int64))})
    with ParquetWriter(folder / "bomb.parquet", schema) as writer:
        for _ in range(10):
            writer.write_table(some)
    assert (folder / "bomb.parquet").stat().st_size < MEGABYTE
    monkeypatch.setenv(UNPACKED.variable, "50")
    line(lambda: read_table(folder / "bomb.parquet"), UNPACKED)
    line(lambda: Report.load(folder), UNPACKED)
    (folder / "bomb.parquet").unlink()
    arrays = {f"clip_{i:05d}": np.zeros((1 << 22, 3), dtype=np.uint16) for i in range(3)}
    np.savez_compressed(folder / "tokens.npz", **arrays)
    assert "tokens.npz" in line(lambda: Report.load(folder), UNPACKED)


def test_more_tensors_than_any_model_has(tmp_path, monkeypatch):
    monkeypatch.setenv(TENSORS.variable, "500")
    many = {f"quantizer.layers.{q}.codebook": torch.zeros(2, 2) for q in range(501)}
    save_file(many, tmp_path / "many.safetensors")
    torch.save({"net": many}, tmp_path / "many.pth")
    for name in ("many.safetensors", "many.pth"):
        assert "found 501" in line(lambda name=name: load_checkpoint(tmp_path / name), TENSORS)
    monkeypatch.delenv(TENSORS.variable)
    assert len(load_checkpoint(tmp_path / "many.pth").codebooks) == 501


def test_few_frames_that_would_become_many(monkeypatch):
    monkeypatch.setenv(FRAMES.variable, "1000")
    clip = Clip("slow", 1.0, np.zeros((60, 4), dtype=np.float32), "raw")
    assert "found 1,800" in line(lambda: resample_clip(clip, 30.0), FRAMES)
    # Fewer frames than the clip has are never too many.
    assert resample_clip(Clip("long", 60.0, np.zeros((4000, 4), dtype=np.float32), "raw"), 30.0).frames == 2000


TEXTS = {
    "walk.bvh": (TEXT, load_clips),
    "walk.asf": (TEXT, lambda path: load_clips(path.with_suffix(".amc"))),
    "walk.txt": (SETTINGS, load_clips),
    "groups.csv": (SETTINGS, read_groups),
    "split.txt": (SETTINGS, read_split),
    "map.toml": (SETTINGS, lambda path: load_clips(path.parent, bone_map=path)),
    "limits.toml": (SETTINGS, read_toml),
    "run.toml": (SETTINGS, lambda path: read_settings(path, TrainSettings())),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_too_long_are_not_read(tmp_path, monkeypatch, name):
    limit, read = TEXTS[name]
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(10 * MEGABYTE + 1)  # no disk is taken for it
    (tmp_path / "walk.amc").write_text(":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 0 0 0 0 0\n")
    monkeypatch.setenv(limit.variable, "10")
    assert "found 11" in line(lambda: read(path), limit)


def test_a_manifest_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    folder = small_report().save(tmp_path / "report")
    manifest = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(manifest | {"further": "x" * 2 * MEGABYTE}))
    assert Report.load(folder).manifest["further"]
    monkeypatch.setenv(SETTINGS.variable, "1")
    line(lambda: Report.load(folder), SETTINGS)


@pytest.mark.parametrize("told", ["", "many", "-1", "1.5", "1e3", "٣", "9" * 30])
def test_a_bound_that_is_no_number_is_told(monkeypatch, told):
    monkeypatch.setenv(FRAMES.variable, told)
    with pytest.raises(SettingsError, match=FRAMES.variable):
        refuse_beyond(FRAMES, 1, "clip", ClipError)


def test_every_bound_is_listed_for_its_users():
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    rows = pd.Series([row for row in text.splitlines() if row.startswith("| `RVQ_LENS_MAX_")])
    assert sorted(rows.str.extract(r"`(\w+)`")[0]) == sorted(limit.variable for limit in LIMITS)
    for limit in LIMITS:
        (row,) = rows[rows.str.contains(limit.variable)]
        assert f"| {limit.usual:,} |" in row
