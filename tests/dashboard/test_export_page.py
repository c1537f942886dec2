"""The Export page: what is chosen is what the zip holds."""

import io
import json
import re
import shlex
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from browser import check
from streamlit.testing.v1 import AppTest

from dashboard import sources
from dashboard.launch import APP
from rvq_core.cli import run


def open_page(**query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.switch_page("app_pages/export.py").run()
    assert not at.exception and not at.error
    return at


@pytest.mark.usefixtures("own_places")
class TestPage:
    def test_it_offers_the_main_figures_and_tells_the_command(self):
        at = open_page()
        assert at.multiselect(key="figures").value[0] == "Perplexity per layer"
        analysis, export = at.code[0].value.splitlines()
        assert analysis.startswith("rvq-lens analyze ")
        assert analysis.endswith("--out report")
        assert "--formats pdf,svg,png,html,csv,tex,md" in export
        assert "--preset single" in export

    def test_choices_stand_in_the_command(self):
        at = open_page()
        at.multiselect(key="figures").set_value(["Used, rare, duplicate and unseen codes"])
        at.toggle(key="titles").set_value(True)
        at.run()
        assert at.code[0].value.splitlines()[1].endswith("--figures status --preset single --titles")

    def test_held_out_clips_are_named_one_by_one(self, clips):
        at = open_page(split="held-out")
        assert f" {clips / 'three.npy'} --out" in at.code[0].value
        assert "one.npy" not in at.code[0].value

    def test_codes_stand_in_the_command(self):
        at = open_page(codes="1:3, 2:0", formats="csv")
        assert at.text_input(key="codes").value == "1:3, 2:0"
        export = at.code[0].value.splitlines()[1]
        assert " --code 1:3 --code 2:0 --checkpoint " in export

    def test_clips_stand_in_the_command_with_their_files(self, clips):
        at = open_page(clips_drawn="three", formats="csv")
        assert at.multiselect(key="clips_drawn").value == ["three"]
        export = at.code[0].value.splitlines()[1]
        assert " --clip three --checkpoint " in export
        assert export.endswith(f" --clips {clips}")

    def test_maps_stand_in_the_command_with_what_they_need(self, clips):
        at = open_page(maps="by UMAP", formats="csv")
        assert any(", and those of maps: " in each.value for each in at.caption)
        assert " --umap --checkpoint " in at.code[0].value
        assert " --clips " not in at.code[0].value
        at = open_page(maps="with what the encoder gives", formats="csv")
        assert " --density --checkpoint " in at.code[0].value
        assert at.code[0].value.endswith(f" --clips {clips}")

    def test_a_split_groups_and_how_the_file_is_read_stand_in_both_lines(self, clips, tmp_path, monkeypatch):
        (tmp_path / "split.txt").write_text("one\nthree\n")
        (tmp_path / "groups.csv").write_text("clip,group\none,a\nthree,b\n")
        monkeypatch.setenv(sources.SPLIT_VARIABLE, str(tmp_path / "split.txt"))
        monkeypatch.setenv(sources.GROUPS_VARIABLE, str(tmp_path / "groups.csv"))
        at = open_page(clips_drawn="three", activation="silu", formats="csv")
        analysis, export = at.code[0].value.splitlines()
        assert f" --activation silu --split {tmp_path / 'split.txt'} --groups {tmp_path / 'groups.csv'} " in analysis
        assert " --activation silu " in export
        assert export.endswith(f" --clips {clips} --split {tmp_path / 'split.txt'}")

    def test_a_code_that_is_not_there_is_told(self):
        at = AppTest.from_file(str(APP), default_timeout=60)
        at.query_params["codes"] = "banana, 1:3, 9:9"
        at.run().switch_page("app_pages/export.py").run()
        assert not at.exception
        (told,) = at.error
        assert "LAYER\\:CODE, layers 1 to 2" in told.value and "banana, 9\\:9" in told.value
        assert " --code 1:3 " in at.code[0].value and at.code[0].value.count("--code") == 1
        assert at.get("download_button")[0].proto.disabled
        at.text_input(key="codes").set_value("1:3").run()
        assert not at.error and not at.get("download_button")[0].proto.disabled


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_button_gives_a_zip_that_its_command_makes_again(server, page, tmp_path, monkeypatch):
    chosen = ("figures=Used, rare, duplicate and unseen codes", "figures=Error with the first n quantizers")
    page.goto(
        f"{server}/export?{'&'.join(chosen)}&formats=svg&formats=csv&preset=double&codes=1:0,1:1,1:2,1:3,1:4,1:5,1:6,1:7"
        "&clips_drawn=three&maps=with what the encoder gives"
    )
    page.get_by_text("The same from a terminal").wait_for()
    button = page.get_by_role("button", name="Make and download the zip")
    with page.expect_download() as waiting:
        button.click()
    waiting.value.save_as(tmp_path / "a.zip")
    assert waiting.value.suggested_filename == "a-export.zip"
    with zipfile.ZipFile(io.BytesIO((tmp_path / "a.zip").read_bytes())) as archive:
        names = archive.namelist()
        held = {name: archive.read(name) for name in names}
    manifest = json.loads(held["manifest.json"])
    assert {"figures/status.svg", "figures/error.csv", "tables/layers.csv"} <= set(names)
    drawn = {name.removeprefix("figures/") for name in names if name.startswith("figures/clip_")}
    assert {re.sub(r"^clip_\d+_", "", name) for name in drawn} == {
        "three_tokens.svg", "three_tokens.csv", "three_error.svg", "three_error.csv",
    }  # fmt: skip
    # Some of these codes are used; raw features have no poses.
    assert {name.split("_")[-1] for name in names if name.startswith("figures/code_1_")} == {"clips.svg", "clips.csv"}
    assert not [name for name in names if name.endswith((".pdf", ".html"))]
    assert manifest["choice"]["preset"] == "double"
    check(page)
    # The command of the manifest makes the same files again.
    monkeypatch.chdir(tmp_path)
    for line in manifest["command"].splitlines():
        assert run(shlex.split(line)[1:]) == 0
    assert {path.relative_to("export").as_posix() for path in Path("export").rglob("*.*")} == set(held)
    for name in held:
        if name.endswith(".csv"):
            ours, again = pd.read_csv(io.BytesIO(held[name])), pd.read_csv(Path("export") / name)
            # Other numbers of threads add up in another order.
            pd.testing.assert_frame_equal(ours, again, rtol=1e-4, atol=1e-6)
