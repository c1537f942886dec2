"""What the documents say works: their code runs, their links exist; their commands: test_doc_commands.py."""

import ast
import importlib
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from texts import FENCED, PAGES, ROOT, blocks, fenced, lay_out, name_of

import rvq_core
from rvq_core import load_checkpoint, load_clips, loading
from rvq_core.check import read_limits
from rvq_core.cli import run


def test_the_worked_example_of_a_format_opens_a_file(tmp_path: Path, monkeypatch):
    (code,) = blocks(ROOT / "docs/formats.md")
    assert len(code.splitlines()) < 60
    names: dict = {}
    exec(compile(code, "docs/formats.md", "exec"), names)
    monkeypatch.setattr(loading, "FORMATS", (names["FORMAT"], *loading.FORMATS))
    stack = torch.randn(3, 5, 2)
    torch.save({"rq.codebooks": stack}, tmp_path / "x.pt")
    ckpt = load_checkpoint(tmp_path / "x.pt")
    assert ckpt.format == "stacked" and torch.equal(torch.stack(ckpt.codebooks), stack)


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


OF_THEIR_OWN = ("formats.md", "architecture.md")  # tests: the first one above, test_architecture.py
WITH_PYTHON = [page for page in PAGES if blocks(page) and page.name not in OF_THEIR_OWN]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_text_runs_in_its_order(page: Path):
    names = {
        "__name__": "__main__",
        "clips": load_clips("clips"),
    }  # a text that told how to read clips goes on with them
    for number, code in enumerate(blocks(page)):
        exec(compile(code, f"{page.name}, block {number + 1}", "exec"), names)


def test_the_notebook_runs(place: Path):
    notebook = json.loads((ROOT / "docs/notebooks/report.ipynb").read_text(encoding="utf-8"))
    names: dict = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            *lines, last = ast.parse("".join(cell["source"])).body
            exec(compile(ast.Module(lines, []), "report.ipynb", "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), "report.ipynb", "eval"), names))
    assert "<table" in shown[0]._repr_html_()
    assert shown[3].data[0].type == "bar"
    assert (place / "export/figures/error.pdf").is_file()


OTHERS = {"docs/ci.md": {"yaml"}, "docs/compare.md": {"toml"}, "clips/README.md": {""}}  # run below; licences
OTHERS["docs/tutorial.md"] = {"text"}  # compared by test_tutorial.py


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_text_has_a_block_that_nothing_runs(page: Path):
    assert {language for language, _ in fenced(page)} <= {"python"} | OTHERS.get(name_of(page), set())


def test_the_limits_of_the_text_are_read(tmp_path: Path):
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/compare.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "limits.toml").write_text(text, encoding="utf-8")
    limits, thresholds = read_limits(tmp_path / "limits.toml")
    assert (limits.max_unseen, limits.max_mpjpe, limits.fail_on) == (0.3, 40.0, "severe")
    assert thresholds.quantizer_share == 0.2


@pytest.mark.usefixtures("place")
def test_the_workflow_of_the_ci_page_runs(capsys):
    """Its own lines, in their order; the actions are GitHub's."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    steps = yaml.safe_load(text)["jobs"]["check"]["steps"]
    lines = [step["run"].removeprefix("rvq-lens ") for step in steps if "rvq-lens " in step.get("run", "")]
    assert [line.split()[0] for line in lines] == ["check", "analyze", "export"]
    for line in lines:
        assert run(shlex.split(line)) == 0, (line, capsys.readouterr())
    assert Path("paper/report.html").is_file()


def test_every_text_has_its_place_in_the_site():
    told = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    files = re.findall(r"[\w/]+\.md", json.dumps(told))
    assert sorted(files) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md"))


def rows(page: Path) -> list[list[str]]:
    """The cells of every row of its tables."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def test_what_the_readme_says_of_speed_stands_with_its_command():
    measured = rows(ROOT / "docs/performance.md")
    claimed = [row for row in rows(ROOT / "README.md") if re.fullmatch(r"[\d.]+x", row[-1])]
    assert len(claimed) == 5
    assert all(row in [other[: len(row)] for other in measured] for row in claimed)
    starts = {row[0]: row[1] for row in measured if len(row) > 6}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"after {starts['ours, the very first start: nothing stored']} s at the very first start" in text
    assert f"with torch takes {starts['bare']} s" in text


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
        if target.startswith("http"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def named_in_the_api() -> list[str]:
    """What the pages of the API describe, members of modules by their full names."""
    found: list[str] = []
    for page in sorted(ROOT.glob("docs/api/*.md")):
        for name, members in re.findall(
            r"^::: (\S+)(?:\n    options: \{members: \[(.*)\]\})?", page.read_text(encoding="utf-8"), flags=re.MULTILINE
        ):
            found += [f"{name}.{member}" for member in members.split(", ")] if members else [name]
    return found


@pytest.mark.parametrize("name", named_in_the_api())
def test_what_the_pages_of_the_api_name_is_there_and_explained(name: str):
    try:
        thing = importlib.import_module(name)
    except ImportError:
        module, _, last = name.rpartition(".")
        thing = getattr(importlib.import_module(module), last)
    assert thing.__doc__ and len(thing.__doc__.split()) > 3
    if inspect.isclass(thing):
        public = [own for key, own in vars(thing).items() if not key.startswith("_") and inspect.isfunction(own)]
        assert [own.__qualname__ for own in public if not own.__doc__] == []


def test_every_public_name_has_its_place_in_the_api():
    assert set(rvq_core.__all__) - {"RVQLensError"} <= {name.rpartition(".")[2] for name in named_in_the_api()}
    assert "rvq_core.errors" in named_in_the_api()
