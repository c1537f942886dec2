import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dashboard.export import build
from dashboard.export.build import KEY, MANIFEST, SCHEMA, Choice, export_files, write_export, zipped
from rvq_core.errors import ReportError, SettingsError

SMALL = Choice(("svg", "csv", "tex", "md"), ("perplexity", "error"))


def test_every_format_is_made(report):
    files = export_files(report, Choice(figures=("perplexity", "error")), "rvq-lens export r --out e")
    assert {Path(name).suffix for name in files} == {".pdf", ".svg", ".png", ".csv", ".html", ".tex", ".md", ".json"}
    assert sorted(files) == sorted(
        ["manifest.json", "report.html", *(f"figures/{name}.{end}" for name in ("error", "perplexity")
                                          for end in ("pdf", "svg", "png", "csv")),
         *(f"tables/{name}.{end}" for name in ("clips", "layers", "reconstruction") for end in ("csv", "tex", "md"))]
    )  # fmt: skip


def test_the_manifest_says_what_it_is_made_of(report):
    files = export_files(report, SMALL, "rvq-lens export r --out e")
    manifest = json.loads(files["manifest.json"])
    assert manifest["command"] == "rvq-lens export r --out e"
    assert manifest["report"]["command"] == "test"
    assert manifest["report"]["checkpoints"][0]["sha256"] == "0" * 64
    assert manifest["report"]["clips"]["fingerprint"] == "1" * 64
    assert manifest["rvq_lens"]
    assert [figure["name"] for figure in manifest["figures"]] == ["perplexity", "error"]
    assert "300 tokens of 6 clips" in manifest["figures"][0]["caption"]
    assert set(manifest["files"]) | {"manifest.json"} == set(files)


def test_details_come_when_they_are_named(report):
    names = {Path(name).stem for name in export_files(report, Choice(("csv",)), "x") if name.startswith("figures")}
    assert {"perplexity", "error", "clips"} <= names
    assert not {"error_feature_mse", "usage_image_training"} & names
    some = export_files(report, Choice(("csv",), ("error_feature_mse",)), "x")
    assert "figures/error_feature_mse.csv" in some


def test_twice_the_same_bytes_but_for_the_time(report, monkeypatch):
    first, second = (export_files(report, Choice(figures=("perplexity", "clips")), "x") for _ in range(2))
    for files in (first, second):
        manifest = json.loads(files["manifest.json"])
        del manifest["created"]
        files["manifest.json"] = json.dumps(manifest).encode()
    assert first == second
    assert zipped(first) == zipped(second)


def test_the_zip_holds_all_files(report):
    files = export_files(report, SMALL, "x")
    with zipfile.ZipFile(io.BytesIO(zipped(files))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_numbers_come_back_from_the_csv(report):
    files = export_files(report, SMALL, "x")
    table = pd.read_csv(io.BytesIO(files["figures/perplexity.csv"]))
    assert table["perplexity"].tolist() == pytest.approx(report.layers["perplexity"].tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"formats": ("pdf", "docx")}, "formats: expected some of pdf, svg, .* found docx"),
        ({"formats": ()}, "formats: expected some of pdf"),
        ({"preset": "poster"}, "preset: expected one of single, double, slide, found poster"),
    ],
    ids=["format", "none", "preset"],
)
def test_what_there_is_not_is_told(settings, told):
    with pytest.raises(SettingsError, match=told):
        Choice(**settings)


class TestFolder:
    def test_an_earlier_export_is_replaced(self, report, tmp_path):
        write_export(export_files(report, SMALL, "x"), tmp_path / "out")
        other = export_files(report, Choice(("csv",), ("status",)), "x")
        write_export(other, tmp_path / "out")
        found = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*.*")}
        assert found == set(other)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @pytest.mark.parametrize("name", ["note.txt", "manifest.json"])
    def test_a_folder_of_something_else_is_refused_and_stays(self, tmp_path, name):
        (tmp_path / name).write_text("{}")
        with pytest.raises(ReportError, match="an empty folder or an earlier export, found a folder with other"):
            write_export({"manifest.json": b"{}"}, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_a_paper_in_an_earlier_export_stays(self, tmp_path):
        out = write_export({MANIFEST: self.manifest("tables/a.tex", "figures/old.pdf"), "tables/a.tex": b"1",
                            "figures/old.pdf": b"1"}, tmp_path / "out")  # fmt: skip
        (out / "main.tex").write_text("mine")
        (out / "figures" / "drawn_by_hand.pdf").write_text("mine")
        write_export({MANIFEST: self.manifest("tables/a.tex"), "tables/a.tex": b"2"}, out)
        assert (out / "main.tex").read_text() == "mine"
        assert (out / "tables" / "a.tex").read_bytes() == b"2"
        assert [path.name for path in (out / "figures").iterdir()] == ["drawn_by_hand.pdf"]

    def manifest(self, *files: str) -> bytes:
        return json.dumps({KEY: SCHEMA, "files": files}).encode()

    def test_nothing_is_half_written_on_a_full_disk(self, report, tmp_path, monkeypatch):
        written = Path.write_bytes

        def full(self, content):
            if self.name.startswith("error"):
                raise OSError(28, "No space left on device")
            return written(self, content)

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(ReportError, match="room to write the export, found No space left on device; free"):
            write_export(export_files(report, SMALL, "x"), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == []

    def test_a_report_is_no_export(self, report, tmp_path):
        report.save(tmp_path / "report")
        with pytest.raises(ReportError, match="earlier export"):
            build.KIND.refuse_foreign(tmp_path / "report")
