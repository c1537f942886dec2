"""What the documents say works: their code runs, their files and links exist."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from rvq_core import RVQVAE, RVQVAEConfig, load_checkpoint, load_clips, loading
from rvq_core.check import read_limits
from rvq_core.cli import run
from rvq_core.loading import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("c*/README.md")])


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


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
    """A folder with what the texts name: the checkpoints, some of the clips, and a user's own files."""
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    for name in ("clips", "my_clips"):
        (tmp_path / name).mkdir()
        for clip in ("jump", "kick", "punch", "run", "spinkick", "walk"):
            shutil.copy(ROOT / f"clips/humanoid3d_{clip}.npz", tmp_path / name)
    model = RVQVAE(RVQVAEConfig(input_dim=263, width=8, code_dim=4, nb_code=8, num_quantizers=2, depth=1))
    torch.save({"vq_model": model.state_dict()}, tmp_path / "net_best_fid.tar")
    (tmp_path / "my_parts").mkdir()
    for part, width in (("upper", 78), ("hands", 180), ("lower", 54)):
        save_part(tmp_path / f"my_parts/{part}.safetensors", f"smplx_rot6d_{part}", width)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_part(path: Path, representation: str, width: int) -> None:
    config = RVQVAEConfig(input_dim=width, width=8, code_dim=4, nb_code=8, num_quantizers=2, depth=1)
    model = RVQVAE(config)
    for layer in model.quantizer.ema_layers():
        layer.codebook.copy_(torch.randn(8, 4))
        layer.init.fill_(True)
    normalizer = Normalizer(torch.zeros(width), torch.ones(width))
    save_native(path, model, normalizer, NativeHeader(config, representation, 30.0, {}))


SCRIPTS = [
    pytest.param(page, number, id=f"{page.name}-{number}")
    for page in PAGES
    for number in range(len(blocks(page)))
    if page.name != "formats.md"  # its one example has a test of its own
]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("page", "number"), SCRIPTS)
def test_the_python_of_every_text_runs(page: Path, number: int):
    clips = load_clips("clips")  # a text that has told how to read them goes on with them
    exec(compile(blocks(page)[number], page.name, "exec"), {"__name__": "__main__", "clips": clips})


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


def commands(page: Path) -> list[list[str]]:
    """The command lines of a text that name rvq-lens, words of a synopsis included."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ *(?:- run: )?(?:\.venv/bin/)?rvq-lens (.+)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_the_readme_s_commands_run_in_their_order(place: Path, capsys):
    """As they stand, but for the iterations of training and the size of its model."""
    small = ["--set", "width=16", "--set", "nb_code=8", "--set", "num_quantizers=2", "--set", "batch_size=2", "--quiet"]
    for words in commands(ROOT / "README.md"):
        if words[0] == "train":
            words[words.index("--iterations") + 1] = "1"
            words += [*small, "--set", "window=16"]
        assert run(words) == 0, (words, capsys.readouterr().err)
    written = ("report/report.json", "paper/manifest.json", "mine.safetensors", "runs/mine/checkpoint.safetensors")
    assert all((place / name).is_file() for name in written)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", ["docs/index.md", "docs/representations.md"])
def test_the_commands_of_these_pages_run_in_their_order(page: str, capsys):
    found = commands(ROOT / page)
    assert found
    for words in found:
        assert run(words) == 0, (words, capsys.readouterr().err)


ELSEWHERE = {
    "README.md", "docs/index.md", "docs/representations.md",  # run above
    "docs/compare.md", "docs/export.md",  # synopses: tests/rvq_core/cli runs these commands with all their options
    "docs/ci.md",  # its workflow is run below
    "docs/formats.md",  # a file of the reader's own
    "checkpoints/README.md",  # training on a corpus that is not in this repository
}  # fmt: skip


def test_no_text_has_commands_or_blocks_that_nothing_runs():
    assert {str(page.relative_to(ROOT)) for page in PAGES if commands(page)} <= ELSEWHERE
    for page in PAGES:
        kinds = re.findall(r"^```(\w+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        known = {"python"} | {"docs/ci.md": {"yaml"}, "docs/compare.md": {"toml"}}.get(
            str(page.relative_to(ROOT)), set()
        )
        assert set(kinds) <= known, page


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_a_text_names_is_there(page: Path, capsys):
    for words in commands(page):
        with pytest.raises(SystemExit):
            run([words[0], "--help"])
        known = capsys.readouterr().out
        for option in re.findall(r"--[a-z][\w-]*", " ".join(words[1:])):
            assert f"{option} " in known or f"{option}\n" in known or f"{option}]" in known, (page.name, option)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
