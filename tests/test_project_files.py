"""The files that a repository is known by: versions agree, forms are as their readers want them, licences told."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

import rvq_core

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


def test_the_version_is_the_same_everywhere():
    assert rvq_core.__version__ == PROJECT["version"] == str(CITATION["version"])


def test_the_citation_has_what_its_format_requires():
    """Citation File Format 1.2.0: these four, and types of what else is there."""
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["authors"] and all(set(author) <= {"name", "website"} for author in CITATION["authors"])
    assert CITATION["license"] == PROJECT["license"]
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"])


def test_ruff_on_each_commit_is_the_ruff_of_make_lint():
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (own,) = settings["repos"]
    assert own["repo"].endswith("/ruff-pre-commit")
    assert own["rev"] == f"v{PINNED['ruff']}"
    assert [hook["id"] for hook in own["hooks"]] == ["ruff-check", "ruff-format"]


def test_the_changelog_has_the_form_that_it_names():
    """Keep a Changelog: Unreleased first, then versions with dates, the newest first; six kinds of changes."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release) for release in releases[1:])
    versions = [tuple(map(int, re.findall(r"\d+", release)[:3])) for release in releases[1:]]
    assert versions == sorted(versions, reverse=True)
    kinds = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    for part in kinds:
        found = re.findall(r"^### (.*)$", part, flags=re.MULTILINE)
        assert found and len(set(found)) == len(found)
        assert set(found) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(line.startswith(("- ", "  ", "#")) for line in text.partition("## [")[2].splitlines()[1:] if line)


TYPES = {"markdown": "value", "textarea": "label", "input": "label", "dropdown": "label", "checkboxes": "label"}
"""What may stand in a form, and the attribute that each must have."""


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_the_forms_for_issues_are_what_github_takes(path: Path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "body"}
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert any(field.get("validations", {}).get("required") for field in fields)
    for field in form["body"]:
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert field["attributes"][TYPES[field["type"]]]
        assert field["type"] != "dropdown" or len(field["attributes"]["options"]) > 1
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]+", name) for name in names)
    labels = [field["attributes"]["label"] for field in fields]
    assert len(set(labels)) == len(labels)


def test_there_is_a_form_for_bugs_and_one_for_formats():
    assert [path.stem for path in FORMS] == ["bug", "format_request"]


def test_the_line_that_a_form_asks_to_run_tells_names_and_shapes(tmp_path: Path):
    text = (ROOT / ".github/ISSUE_TEMPLATE/format_request.yml").read_text(encoding="utf-8")
    (line,) = re.findall(r"`(python -c .*)`", text)
    torch.save({"state_dict": {"layers.0.codebook": torch.zeros(3, 2)}, "epoch": 1}, tmp_path / "x.pt")
    words = shlex.split(line.replace("FILE", "x.pt"))
    done = subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'layers.0.codebook': (3, 2)}"


def test_the_licence_is_that_of_mit_word_for_word():
    """So that tools know it; what is under another licence is told beside it."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8").split()
    of_deepmimic = (ROOT / "clips/README.md").read_text(encoding="utf-8").rpartition("```\n")[0].rpartition("```\n")[2]
    ours, theirs = (" ".join(words).partition(" Permission is hereby ")[2] for words in (text, of_deepmimic.split()))
    assert ours == theirs and ours.endswith("OTHER DEALINGS IN THE SOFTWARE.")


def test_every_bundled_motion_has_its_licence_beside_it_and_in_the_wheel():
    text = (ROOT / "clips/README.md").read_text(encoding="utf-8")
    _, _, licences = text.partition("## Licences\n")
    origins = {"humanoid3d_": "DeepMimic", "01_01_": "CMU", "01_03_": "CMU"}
    for path in ROOT.glob("clips/*.npz"):
        (origin,) = {whose for start, whose in origins.items() if path.name.startswith(start)}
        assert f"`{path.name}`" in text and f"**{origin}'s motions**" in licences
    assert PROJECT["license-files"] == ["LICENSE", "clips/README.md"]
    assert "clips/README.md" in (ROOT / "README.md").read_text(encoding="utf-8")
