"""What the documents say works: their code runs, their files and links exist."""

import re
from pathlib import Path

import pytest
import torch

from rvq_core import load_checkpoint, loading

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("c*/README.md")])


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


def test_the_readme_s_python_runs(tmp_path: Path, monkeypatch):
    for name in ("checkpoints", "clips"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for code in blocks(ROOT / "README.md"):
        exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "report/report.json").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
