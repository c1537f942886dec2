"""docs/architecture.md: its examples are made in a copy of the packages and used there; what it names is there."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from texts import FENCED, ROOT, blocks, inline, lay_out

PAGE = ROOT / "docs/architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
LABEL = re.compile(r"# (?P<path>[\w/]+\.py)(?:: (?P<into>[A-Z_]+))?\n")
FORMAT_FILE = "rvq_core/loading/formats/stacked.py"


def changes_under(heading: str) -> list[tuple[str, str | None, str]]:
    """Of the examples under a heading: the file, the list in it that grows (or None), and the code."""
    section = re.split(r"^##+ ", TEXT, flags=re.MULTILINE)
    (own,) = [part for part in section if part.startswith(f"{heading}\n")]
    found = []
    for _, code in FENCED.findall(own):
        label = LABEL.match(code)
        assert label, code
        found.append((label["path"], label["into"], code[label.end() :]))
    if heading == "A checkpoint format":
        (code,) = blocks(ROOT / "docs/formats.md")
        found.append((FORMAT_FILE, None, code))
    return found


GROUP = pytest.mark.xdist_group("architecture")
"""Of those that use one copy of the packages."""

HEADINGS = re.findall(r"^### (.*)$", TEXT, flags=re.MULTILINE)


def make(change: tuple[str, str | None, str], folder: Path) -> None:
    path, into, code = change
    file = folder / path
    if into is None:
        old = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
        file.write_text(old + code, encoding="utf-8")
        return
    imports = "".join(line for line in code.splitlines(keepends=True) if line.startswith(("from ", "import ")))
    entry = code.removeprefix(imports)
    text = file.read_text(encoding="utf-8")
    (grows,) = [
        node.value for node in ast.parse(text).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        and into in ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    ]  # fmt: skip
    lines = text.splitlines(keepends=True)
    lines.insert(grows.end_lineno - 1, f"{entry.strip()},\n")  # before the line with the closing bracket
    first = next(number for number, line in enumerate(lines) if line.startswith(("from rvq_core", "from dashboard"))
                 ) if imports else 0  # fmt: skip
    lines.insert(first, imports)
    file.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def changed(tmp_path_factory) -> Path:
    """A copy of the packages with every example of the page made in it, and files to use them on."""
    folder = tmp_path_factory.mktemp("changed")
    for package in ("rvq_core", "dashboard"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for heading in HEADINGS:
        for change in changes_under(heading):
            make(change, folder)
    lay_out(folder)
    return folder


def run(folder: Path, code: str, **environment: str) -> str:
    """What Python prints of ``code`` with the changed packages."""
    paths = os.pathsep.join(map(str, (folder, ROOT / "tests/support")))
    settings = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "RVQ_LENS_STORE": str(folder / "store")}
    line = [sys.executable, "-c", f"import rvq_core; assert rvq_core.__file__.startswith({str(folder)!r})\n{code}"]
    done = subprocess.run(line, cwd=folder, env=settings | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(folder: Path, line: str) -> str:
    return run(folder, f"from rvq_core.cli import run\nassert run({line.split()}) == 0")


def test_there_is_an_example_of_everything_and_it_takes_as_many_places_as_the_page_says():
    told = dict(re.findall(r"^\| \[(.*)\]\(#.*\) \| (\d+) \|$", TEXT, flags=re.MULTILINE))
    assert {heading.lower(): str(len(changes_under(heading))) for heading in HEADINGS} == told
    assert len(told) == 5


@GROUP
def test_the_format_opens(changed: Path):
    torch.save({"rq.codebooks": torch.randn(3, 5, 2)}, changed / "x.pt")
    told = json.loads(command(changed, "inspect x.pt --json"))
    assert (told["format"], told["num_quantizers"], told["nb_code"], told["code_dim"]) == ("stacked", 3, 5, 2)


@GROUP
def test_the_reader_reads_and_refuses(changed: Path):
    features = np.random.default_rng(0).normal(size=(7, 263)).astype(np.float32)
    (changed / "tables").mkdir()
    np.savetxt(changed / "tables/walk.tsv", features, delimiter="\t", fmt="%.9g")
    (changed / "tables/bad.tsv").write_text("1\t2\n3\n")
    told = json.loads(run(changed, """
import json, warnings
import numpy as np
from rvq_core.clips import read_clips
from dashboard.sources import CLIP_ENDINGS
warnings.simplefilter("ignore")
found = read_clips("tables")
(clip,) = found.clips
print(json.dumps([clip.name, clip.representation, clip.features.tolist(), str(found.left_out), ".tsv" in CLIP_ENDINGS]))
"""))  # fmt: skip
    assert told[:2] == ["walk", "humanml3d"] and told[4]
    np.testing.assert_array_equal(np.array(told[2], dtype=np.float32), features)
    assert "bad.tsv: line 2" in told[3]


@pytest.fixture(scope="module")
def report(changed: Path) -> Path:
    """The report of two clips with a body, which has the new metric."""
    (changed / "two").mkdir()
    for clip in ("walk", "kick"):
        shutil.copy(changed / f"clips/humanoid3d_{clip}.npz", changed / "two")
    command(changed, "analyze checkpoints/healthy.safetensors two --out told --device cpu --detail-frames 0")
    return changed / "told"


@GROUP
def test_the_metric_is_measured_told_compared_and_drawn(changed: Path, report: Path):
    errors = pd.read_parquet(report / "clip_errors.parquet").pivot(
        index=["clip", "n_active"], columns="metric", values="value"
    )
    assert (errors["height_error"] > 0).all() and (errors["height_error"] < errors["mpjpe"]).all()
    rows = pd.read_parquet(report / "reconstruction.parquet")
    own = rows[rows["metric"] == "height_error"]
    assert set(own["unit"]) == {"mm"} and {"pelvis", "head"} <= set(own["joint"].dropna())
    assert (own.loc[own["joint"] == "pelvis", "value"] == 0).all()  # both are aligned there
    at_full_depth = pd.read_parquet(report / "clips.parquet").set_index("clip")["height_error"]
    pd.testing.assert_series_equal(at_full_depth.sort_index(), errors["height_error"].xs(6, level="n_active"),
                                   check_names=False)  # fmt: skip
    command(changed, "compare told told --out compared")
    assert "height_error" in set(pd.read_parquet(changed / "compared/metrics.parquet")["metric"])
    command(changed, "export told --out drawn --formats csv,svg --figures error_height_error")
    assert "height error (mm)" in (changed / "drawn/figures/error_height_error.svg").read_text(encoding="utf-8")


@GROUP
def test_the_figure_is_exported_with_its_explanation(changed: Path, report: Path):
    command(changed, "export told --out shares --formats csv,svg,html --figures top_share")
    told = pd.read_csv(changed / "shares/figures/top_share.csv")
    assert told["top1_share"].tolist() == pd.read_parquet(report / "layers.parquet")["top1_share"].tolist()
    assert "leans on one code" in (changed / "shares/report.html").read_text(encoding="utf-8")


@GROUP
def test_the_page_stands_in_the_menu_and_draws(changed: Path, report: Path):
    del report  # whose clips it is shown for
    told = json.loads(run(changed, """
import json
from pathlib import Path
from jobs_at_once import JobsAtOnce
from streamlit.testing.v1 import AppTest
from dashboard import data
at_once = JobsAtOnce(Path("store"))
data.jobs = lambda: at_once
at = AppTest.from_file(Path("dashboard/app.py").resolve(), default_timeout=60).run()
at.switch_page("app_pages/top_share.py").run()
assert not at.exception and not at.error, (at.exception, at.error)
(chart,) = at.get("plotly_chart")
shown = [element.value for element in at.markdown]
print(json.dumps([at.title[0].value, json.loads(chart.proto.spec)["data"][0]["type"], chart.proto.alt, shown]))
""", RVQ_LENS_CHECKPOINTS="checkpoints", RVQ_LENS_CLIPS="two"))  # fmt: skip
    assert told[:2] == ["Top share", "bar"]
    assert told[2].startswith("Bars of the share") and told[2].count("%") >= 2
    assert any("leans on one code" in text for text in told[3])


def test_the_way_of_one_number_is_the_number(tmp_path: Path, monkeypatch):
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = [code for code in blocks(PAGE) if not LABEL.match(code)]
    exec(compile(code, "docs/architecture.md", "exec"), {})


def named() -> list[str]:
    return sorted({text for text in inline(PAGE) if re.fullmatch(r"(rvq_core|dashboard)[\w./]*", text)})


@pytest.mark.parametrize("name", named())
def test_what_the_page_names_is_there(name: str):
    if "/" in name:
        assert (ROOT / name).exists() or name == FORMAT_FILE
        return
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return
    pytest.fail(f"there is no module of {name}")


def test_the_rules_of_the_page_are_those_that_are_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    section = TEXT.partition("## Who may import whom\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (.*?) \|", section, flags=re.MULTILINE)[1:]
    assert told == [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]
