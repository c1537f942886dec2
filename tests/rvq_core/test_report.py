import copy
import dataclasses
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch

from rvq_core import Report, analyze, folders, load_checkpoint
from rvq_core import report as report_module
from rvq_core.compare.comparison import SCHEMA as COMPARISON_SCHEMA
from rvq_core.errors import ReportError
from rvq_core.report import KIND, TABLES


@pytest.fixture(scope="module")
def analysis(checkpoints_in, clip_of, tmp_path_factory) -> Report:
    torch.manual_seed(0)
    tiny = load_checkpoint(checkpoints_in(tmp_path_factory.mktemp("checkpoint"))())
    return analyze(tiny, [clip_of("b", 30), clip_of("a", 21, seed=1)], device="cpu", command="first")


@pytest.fixture
def report(analysis) -> Report:
    """The test's own, which it may change."""
    return copy.deepcopy(analysis)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    """Names beside the report that nobody asked for."""
    return sorted(path.name for path in folder.parent.iterdir() if path.name.startswith("."))


def test_a_report_comes_back_as_it_was_saved(report, tmp_path):
    loaded = Report.load(report.save(tmp_path / "out"))
    assert loaded.manifest == report.manifest
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(report, name), check_dtype=False, obj=name)
        dtypes = getattr(loaded, name).dtypes.astype(str)
        numeric = {column for column, kind in dtypes.items() if kind not in ("object", "str")}
        assert numeric >= set(getattr(report, name).select_dtypes("number").columns)
    assert len(loaded.tokens) == 2
    for one, other in zip(loaded.tokens, report.tokens, strict=True):
        assert one.dtype == np.uint16
        np.testing.assert_array_equal(one, other)
    assert list(loaded.projections) == ["pca"]
    pd.testing.assert_frame_equal(loaded.projections["pca"], report.projections["pca"], check_dtype=False)


def test_the_folder_holds_what_the_docs_promise(report, tmp_path):
    report.save(tmp_path / "deep" / "er" / "out")
    names = {*(f"{name}.parquet" for name in (*TABLES, *report.tables))}
    names |= {"report.json", "tokens.npz", "projections/pca.parquet"}
    assert set(content(tmp_path / "deep" / "er" / "out")) == names
    assert leftovers(tmp_path / "deep" / "er" / "out") == []


def test_tokens_are_uint16_arrays_in_the_order_of_the_clips(report, tmp_path):
    report.save(tmp_path / "out")
    with np.load(tmp_path / "out" / "tokens.npz", allow_pickle=False) as archive:
        assert archive.files == ["clip_00000", "clip_00001"]
        arrays = [archive[name] for name in archive.files]
    assert [array.dtype for array in arrays] == [np.uint16, np.uint16]
    assert [array.shape for array in arrays] == [(15, 3), (10, 3)]
    assert report.clips["clip"].tolist() == ["b", "a"]
    assert report.clips["tokens"].tolist() == [15, 10]


def test_many_clips_keep_their_order(report, tmp_path):
    numbers = range(99_990, 100_003)
    depth = len(report.layers)
    clips = pd.concat([report.clips.iloc[[0]].assign(clip=f"c{i}") for i in numbers], ignore_index=True)
    dataclasses.replace(report, clips=clips, clip_errors=report.clip_errors.iloc[:0]).save(tmp_path / "out")
    # Beyond five digits the names no longer sort as text.
    many = {f"clip_{i:05d}": np.full((1, depth), i % 100, dtype=np.uint16) for i in numbers}
    np.savez(tmp_path / "out" / "tokens.npz", **many)
    loaded = Report.load(tmp_path / "out").tokens
    assert [int(array[0, 0]) for array in loaded] == [*range(90, 100), 0, 1, 2]


def _rewrite(path, change) -> None:
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(("change", "field"), [
    (lambda manifest: manifest.pop("verdicts"), "verdicts"),
    (lambda manifest: manifest["clips"].update(count="many"), "clips.count"),
    (lambda manifest: manifest.update(warnings=[3]), "warnings, entry 1"),
    (lambda manifest: manifest["checkpoint"].update(name=None), "checkpoint.name"),
])  # fmt: skip
def test_a_manifest_that_was_edited_is_told_by_its_field(report, tmp_path, change, field):
    report.save(tmp_path / "out")
    _rewrite(tmp_path / "out" / "report.json", change)
    with pytest.raises(ReportError, match=rf"report\.json: {field}: expected"):
        Report.load(tmp_path / "out")


@pytest.mark.parametrize(("table", "change", "told"), [
    ("layers", lambda rows: rows.drop(columns="perplexity"), "perplexity: expected a column of numbers, found no such"),
    ("codes", lambda rows: rows.assign(count="x"), "count: expected a column of numbers"),
    ("codes", lambda rows: rows.assign(share=None), "share: expected that of every code that was chosen, found none"),
    ("clip_errors", lambda rows: rows.assign(metric=range(len(rows))), "metric: expected a column of texts"),
])  # fmt: skip
def test_a_table_with_other_columns_is_told_by_the_column(report, tmp_path, table, change, told):
    report.save(tmp_path / "out")
    path = tmp_path / "out" / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(ReportError, match=rf"{table}\.parquet: {told}"):
        Report.load(tmp_path / "out")


def test_tokens_of_other_clips_are_refused(report, tmp_path):
    report.save(tmp_path / "out")
    np.savez(tmp_path / "out" / "tokens.npz", clip_00000=np.zeros((3, 99), np.uint16))
    with pytest.raises(ReportError, match=r"tokens\.npz: expected uint16 tokens of \d+ clips with"):
        Report.load(tmp_path / "out")


def test_other_programs_see_the_same_columns(report, tmp_path):
    report.save(tmp_path / "out")
    for name in TABLES:
        columns = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet").column_names
        assert columns == list(getattr(report, name).columns), name


def test_missing_values_are_null_in_the_files(report, tmp_path):
    report.save(tmp_path / "out")
    layers = pyarrow.parquet.read_table(tmp_path / "out" / "layers.parquet")
    for column in ("perplexity_low", "perplexity_high", "rare", "train_tokens", "train_perplexity"):
        assert layers[column].null_count == 3, column
    assert layers["perplexity"].null_count == 0
    codes = pyarrow.parquet.read_table(tmp_path / "out" / "codes.parquet")
    assert codes["train_count"].null_count == len(codes)
    errors = pyarrow.parquet.read_table(tmp_path / "out" / "reconstruction.parquet")
    table = report.reconstruction
    assert errors["gain"].null_count == (table["n_active"] == 0).sum()
    assert errors["joint"].null_count == len(report.overall) > 0
    assert errors["group"].null_count == len(table)
    assert "NaN" not in (tmp_path / "out" / "report.json").read_text()


def test_the_same_analysis_gives_the_same_bytes(tiny, make_clip, tmp_path):
    folders = []
    for name in ("one", "two"):
        clips = [make_clip(f"c{i}", 20 + i, seed=i) for i in range(6)]
        folders.append(analyze(tiny, clips, device="cpu", command=name).save(tmp_path / name))
    first, second = map(content, folders)
    manifests = [json.loads(files.pop("report.json")) for files in (first, second)]
    assert first == second
    assert [manifest.pop("command") for manifest in manifests] == ["one", "two"]
    for manifest in manifests:
        manifest.pop("created")
    assert manifests[0] == manifests[1]


def test_an_earlier_report_is_replaced_whole(report, tiny, make_clip, tmp_path):
    target = tmp_path / "out"
    report.projections["umap"] = report.projections["pca"]
    report.save(target)
    assert (target / "projections" / "umap.parquet").exists()
    analyze(tiny, [make_clip("c")], device="cpu", command="second").save(target)
    assert Report.load(target).manifest["command"] == "second"
    assert not (target / "projections" / "umap.parquet").exists()
    assert leftovers(target) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_a_user_put_into_an_earlier_report_stays(report, tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", mock.Mock(side_effect=OSError("Operation not supported")))
    target = report.save(tmp_path / "out")
    (target / "mine" / "deep").mkdir(parents=True)
    (target / "mine" / "deep" / "figure.tex").write_text("mine")
    (target / "projections" / "notes.txt").write_text("mine too")
    (target / "link").symlink_to("nowhere")
    (target / "layers.parquet").write_bytes(b"edited")
    report.save(target)
    assert (target / "mine" / "deep" / "figure.tex").read_text() == "mine"
    assert (target / "projections" / "notes.txt").read_text() == "mine too"
    assert (target / "link").readlink() == Path("nowhere")
    assert len(Report.load(target).layers) == len(report.layers)
    assert leftovers(target) == []


def test_further_tables_come_back_under_their_names(report, tmp_path):
    rate = pd.DataFrame({"layer": [1, 2, 3], "nominal_bits": [4.0, 4.0, np.nan]})
    report.tables["rate"] = rate
    loaded = Report.load(report.save(tmp_path / "out"))
    assert sorted(loaded.tables) == sorted(report.tables)
    pd.testing.assert_frame_equal(loaded.tables["rate"], rate)


def test_an_empty_folder_is_filled(report, tmp_path):
    (tmp_path / "out").mkdir()
    report.save(tmp_path / "out")
    assert Report.load(tmp_path / "out").clips["clip"].tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "text"), [("notes.txt", "mine"), ("report.json", '{"tests": 3}'), ("report.json", "[1]")]
)
def test_a_folder_of_something_else_is_refused_and_stays(report, tmp_path, name, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(text)
    with pytest.raises(ReportError, match="expected an empty folder or an earlier report, found a folder with other"):
        report.save(tmp_path / "out")
    assert content(tmp_path / "out") == {name: text.encode()}
    assert leftovers(tmp_path / "out") == []


def test_a_file_is_refused_and_stays(report, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ReportError, match="expected a folder, found a file"):
        report.save(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    with pytest.raises(ReportError, match="expected a folder that can be written"):
        report.save(tmp_path / "out" / "below")


def test_the_current_folder_is_never_replaced(report, tmp_path, monkeypatch):
    below = tmp_path / "out" / "below"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    for folder in (".", "..", str(tmp_path / "out"), "../below"):
        with pytest.raises(ReportError, match="found the current folder, or one above it"):
            KIND.refuse_foreign(Path(folder))
    report.save("new")
    assert (below / "new" / "report.json").exists()


def test_a_link_keeps_pointing_at_its_folder(report, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
    for _ in range(2):
        report.save(tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "report.json").exists()


@pytest.mark.parametrize("stage", ["layers.parquet", "tokens", "report.json"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
@pytest.mark.parametrize("earlier", [True, False])
def test_nothing_is_half_written(report, tmp_path, monkeypatch, stage, error, earlier):
    target = tmp_path / "out"
    before = {}
    if earlier:
        before = content(report.save(target))

    def fail(*args, **kwargs):
        raise error

    if stage == "tokens":
        monkeypatch.setattr(report_module.np, "savez_compressed", fail)
    elif stage == "report.json":
        monkeypatch.setattr(Report, "json", fail)
    else:
        monkeypatch.setattr(report_module, "write_table", fail)
    expected = ReportError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        report.save(target)
    monkeypatch.undo()
    assert (content(target) if target.exists() else {}) == before
    assert leftovers(target) == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=["broken", "stop"])
def test_the_earlier_report_survives_a_failing_exchange(report, tmp_path, monkeypatch, error):
    target = tmp_path / "out"
    before = content(report.save(target))
    rename = Path.rename

    def fail_at_the_second(self, other):
        if Path(other) == target and not self.parent.name.startswith(".out.old."):
            raise error
        return rename(self, other)

    monkeypatch.setattr(folders, "exchange", lambda *_: False)  # as on a system that cannot
    monkeypatch.setattr(Path, "rename", fail_at_the_second)
    with pytest.raises((ReportError, KeyboardInterrupt)):
        report.save(target)
    monkeypatch.undo()
    assert content(target) == before
    assert leftovers(target) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_told(report, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(ReportError, match="expected a folder that can be written, found Permission denied"):
        report.save(tmp_path / "locked" / "out")


DAMAGE = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "noise": lambda data: bytes(reversed(data)),
    "text": lambda _: b"not this at all",
    "flipped": lambda data: data[:40] + bytes(b ^ 0xFF for b in data[40:80]) + data[80:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["report.json", "tokens.npz", "layers.parquet", "projections/pca.parquet"])
def test_a_damaged_file_is_named(report, tmp_path, name, damage):
    path = report.save(tmp_path / "out") / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    if damage == "flipped" and name != "report.json":
        # Where the bytes are data, a wrong figure cannot be told from a right one; but nothing else may fail.
        try:
            Report.load(tmp_path / "out")
        except ReportError as error:
            assert name in str(error)
        return
    with pytest.raises(ReportError, match=name.split("/")[-1]):
        Report.load(tmp_path / "out")


@pytest.mark.parametrize("name", ["report.json", "tokens.npz", *(f"{table}.parquet" for table in TABLES)])
def test_a_missing_file_is_named(report, tmp_path, name):
    report.save(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(ReportError, match=name):
        Report.load(tmp_path / "out")


def test_an_array_alone_is_not_the_tokens(report, tmp_path):
    report.save(tmp_path / "out")
    with (tmp_path / "out" / "tokens.npz").open("wb") as file:
        np.save(file, np.zeros((4, 3), dtype=np.uint16))
    with pytest.raises(ReportError, match=r"tokens\.npz: expected an \.npz of tokens"):
        Report.load(tmp_path / "out")


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"schema": 99}', '{"schema": "1"}'])
def test_a_manifest_of_another_schema_is_refused(report, tmp_path, manifest):
    report.save(tmp_path / "out")
    (tmp_path / "out" / "report.json").write_text(manifest)
    with pytest.raises(ReportError, match=r"report\.json: schema: expected 1"):
        Report.load(tmp_path / "out")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    (tmp_path / "file").touch()
    for name, found in (("nowhere", "nothing there"), ("file", "no folder"), (".", "no such file in it")):
        with pytest.raises(ReportError) as told:
            Report.load(tmp_path / name)
        assert (told.value.where, told.value.found) == (str(tmp_path / name), found)
        assert told.value.expected == "a folder with the report of an analysis (report.json)"
        assert told.value.do == "name a folder that rvq-lens analyze wrote"


def test_a_manifest_that_may_not_be_read_is_told(report, tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    report.save(tmp_path / "out")
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(
        ReportError, match=r"report\.json: expected a readable file, found Permission denied; check its"
    ):
        Report.load(tmp_path / "out")


def test_a_comparison_is_told_as_one(report, tmp_path):
    report.save(tmp_path / "out")
    (tmp_path / "out" / "report.json").write_text(json.dumps({"schema": COMPARISON_SCHEMA}))
    expected = "out: expected the report of an analysis, found a comparison of several checkpoints; name a folder that"
    with pytest.raises(ReportError, match=expected):
        Report.load(tmp_path / "out")


def test_a_notebook_shows_it_with_every_text_escaped(report):
    evil = "<script>alert(1)</script>"
    verdict = {"severity": "severe", "finding": evil}
    manifest = report.manifest | {"verdicts": [verdict], "warnings": [evil]}
    manifest["checkpoint"] = manifest["checkpoint"] | {"name": evil}
    shown = dataclasses.replace(report, manifest=manifest)._repr_html_()
    assert "<script" not in shown
    assert shown.count("alert(1)") == 3
    assert f"{report.layers['perplexity'].iloc[0]:.4g}" in shown
    assert shown.count("<table") == (2 if len(report.overall) else 1)


def test_its_repr_is_one_line(report):
    assert repr(report) == f"Report('{report.manifest['checkpoint']['name']}', 3 layers, 2 clips)"
