"""docs/tutorial.md on the bundled data as it is: its commands run in their order and print what the page says."""

import re
import shlex
from pathlib import Path

import pytest
from texts import ROOT, blocks

from rvq_core.cli import run

PAGE = ROOT / "docs/tutorial.md"
STEP = re.compile(r"^    (rvq-lens [^\n]*(?:\n {6,}[^\n]*)*)|^```text\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
"""A command, which may go on further to the right, or what it is said to print."""

FAILS = {"rvq-lens check checkpoints/collapsed.safetensors clips"}
"""Exit with 1, as the page says."""


def steps() -> list[tuple[str, list[str]]]:
    """Each command, and the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for command, printed in STEP.findall(PAGE.read_text(encoding="utf-8")):
        if command:
            found.append((command.replace("\\\n", " "), []))
        else:
            found[-1][1].extend(line for line in printed.splitlines() if line.strip() != "...")
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    for name in ("checkpoints", "clips"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.slow
def test_the_commands_print_what_the_tutorial_says(place: Path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for command, lines in steps():
        words = shlex.split(command)[1:]
        assert run(words) == (command in FAILS), capsys.readouterr().err
        told = capsys.readouterr()
        printed = (told.out + told.err).splitlines()
        assert [line for line in lines if line not in printed] == [], (command, printed)
    for name in ("report/report.json", "sweep/report.json", "paper/figures/error.pdf", "paper/figures/error.csv"):
        assert (place / name).is_file()
    assert list((place / "paper/tables").glob("*.tex"))


def test_each_part_shows_what_its_command_prints():
    counted = [len(lines) for _, lines in steps()]
    assert counted[0] >= 5 and sum(count > 2 for count in counted) >= 4


def test_the_sentences_about_the_report_are_true(place: Path, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {}
    (code,) = blocks(PAGE)
    exec(compile(code, "docs/tutorial.md", "exec"), names)
    layers = names["report"].layers
    unseen, tokens, in_training = layers[["unseen", "tokens", "train_unseen"]].astype(int).iloc[0].tolist()
    text = PAGE.read_text(encoding="utf-8")
    assert f"{unseen} of the 256 codes of layer 1 are unseen in these {tokens:,} tokens" in text
    assert in_training == 1
    codes = names["report"].codes
    of_layer = codes[(codes["layer"] == 1) & (codes["status"] == "unseen")]
    assert of_layer["cause"].str.startswith("not exercised by these clips").sum() == unseen - in_training
