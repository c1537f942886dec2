"""Every command of README and docs: run as it stands, on small files; what cannot be is named, with the reason."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from commands import script
from texts import PAGES, PROGRAMS, ROOT, commands, fenced, indented, inline, lay_out, name_of

from dashboard.store import VARIABLE
from rvq_core.cli import COMMANDS, run

REFERENCE = "CHANGELOG.md"
"""Names options without whole commands: they are looked for, as all options are."""

SERVES = "serves until it is stopped: tests/dashboard/test_launch.py starts it"
MAKES = "sets up an environment of its own: make -n below"
ELSEWHERE = "files from elsewhere, which this repository does not hold"
TESTS = "is a part of the tests itself"
BENCH = "minutes, and the peers of the extra 'bench'"
NOT_RUN = {
    "make run": MAKES, "make run PORT=8600": MAKES, "make test": MAKES, "make docs": MAKES, "make install": MAKES,
    "make coverage": MAKES,
    "python -m rvq_core": SERVES,
    "rvq-lens train new_joint_vecs --out runs/hml --set input_dim=263 --set fps=20": ELSEWHERE,
    "rvq-lens dash --checkpoints DIR --clips DIR --port N": SERVES,
    "rvq-lens dash --checkpoints FOLDER --clips FOLDER": SERVES,
    "python checkpoints/lay_out_sources.py DOWNLOADS --out corpus": ELSEWHERE,
    "python checkpoints/tables.py corpus/cmu corpus/deepmimic": ELSEWHERE,
    "pip download --no-deps pybullet==3.2.7": ELSEWHERE,
    "apt-get download assimp-testmodels && dpkg-deb -x assimp-testmodels_*.deb assimp": ELSEWHERE,
    "python clips/make_clips.py pybullet-3.2.7-*.whl assimp/usr/share/assimp/models/BVH": ELSEWHERE,
    "python docs/screenshots.py": "overwrites the pictures of docs, with a browser",
    "pip install -e '.[bench]' -c constraints.txt": "installs",
    "python -m pip install --constraint constraints.txt --editable .": "installs: tests/test_makefile.py",
    "python benchmarks/first_minutes.py": "minutes, with the network and a browser",
    "pip install pip-audit cyclonedx-bom": "installs",
    "pip install 'streamlit[auth]'": "installs",
    "python -m pytest tests/fuzz": TESTS,
    "python -m pytest tests/rvq_core/stats/test_usage.py": TESTS,
    "make lint": MAKES,
    "pip wheel --no-deps --wheel-dir dist .": "fetches what builds wheels",
    "python tests/fuzz/guided.py --seconds 60": "minutes, and atheris of the extra 'fuzz'",
    "pip install -e '.[fuzz]' -c constraints.txt": "installs",
    "python benchmarks/bench_quantizer.py --clock cpu --pairs 9 [--shape base|wide|many|all]": BENCH,
    "python benchmarks/bench_dashboard.py --pairs 3": "minutes, with a browser",
    "python benchmarks/scaling.py --rounds 3 --figure docs/images/scaling.svg": "minutes, whatever it is told",
    "python benchmarks/bench_umap.py [--pairs 1]": "minutes, whatever it is told",
    "python benchmarks/bench_large.py DATA --store FOLDER": "minutes, with a browser",
    "python benchmarks/load.py": "minutes, whatever it is told",
}  # fmt: skip
"""Commands that no test runs as they stand, and why; what they name is looked for."""

STAND_INS = {
    "A": "checkpoints/healthy.safetensors", "B": "checkpoints/shared.safetensors", "C...": "report",
    "CKPT": "checkpoints/healthy.safetensors", "CLIPS...": "clips", "REPORT...": "report", "REPORT": "report",
    "DIR": "out", "DATA": "data", "PATH": "checkpoints/shared.safetensors", "PATH...": "clips",
    "NAME,...|all": "perplexity,error", "NAME": "humanoid3d_walk", "LAYER:CODE": "1:3", "N": "0",
    "FILE": "bones.toml", "FILE.toml": "limits.toml", "FILE.txt": "split.txt",
    "...": "checkpoints/healthy.safetensors clips --out report --device cpu",
}  # fmt: skip
"""What stands for a word of a synopsis."""

ADDED = {
    "train": "--iterations 1 --quiet --set width=16 --set nb_code=8 --set window=16 --set batch_size=2",
    "check": "--max-mpjpe 100",
    "tests/fuzz/run.py": "--files 21 --keep kept",
    "benchmarks/mutation.py": "--only usage --sample 1",
    "benchmarks/bench_loading.py": "--megabytes 1",
    "benchmarks/bench_readers.py": "--frames 50 --runs 1",
    "benchmarks/bench_analyze.py": "--frames 1000 --width 8",
    "benchmarks/bench_analyze.py --memory": "--memory 1000,2000",
    "benchmarks/bench_tokens.py": "--clips 5 --tokens 40",
    "benchmarks/large_data.py": "--clips 2 --checkpoints 1",
}
"""Added at the end, where it replaces what was said before: the same command in seconds, on few clips."""

BEFORE = {"docs/export.md": "analyze checkpoints/healthy.safetensors clips --out report --device cpu"}
BEFORE["docs/compare.md"] = BEFORE["docs/export.md"]
"""What the reader of a page did before."""

LEAVES = {
    "README.md": ("report/report.json", "paper/manifest.json", "mine.safetensors", "runs/mine/checkpoint.safetensors"),
    "docs/export.md": ("out/figures/map_density.pdf", "out/figures/umap_usage.svg", "out/report.html"),
    "docs/representations.md": ("report/upper/report.json", "runs/upper/checkpoint.safetensors"),
}
"""Files that are there when the commands of a page have run."""

FOLDERS = ("rvq_core/ ", "dashboard/ ", "checkpoints/ ", "clips/ ", "docs/ ", "benchmarks/ ", "tests/ ")
NO_COMMANDS = {
    "README.md": FOLDERS,
    "README.zh-CN.md": FOLDERS,
    "checkpoints/README.md": ("sha256", *"0123456789abcdef"),
    "docs/api/export.md": ("options:",),
    "docs/dependencies.md": ("pip-audit ", "cyclonedx-py "),
}
"""How the lines of other indented blocks begin."""


def expanded(line: str) -> list[str]:
    """A command as it stands; a synopsis with nothing of what it offers, and with all."""
    if "[" not in line:
        return [line]
    return [re.sub(r"\s*\[[^\]]*\]", "", line), re.sub(r"[\[\]]", "", line)]


def words_of(line: str) -> list[str]:
    """The words of a command with what stands for them, and what makes it small."""
    words = [part for word in shlex.split(line) for part in shlex.split(STAND_INS.get(word, word) or "''")]
    fitting = [name for name in ADDED if f" {name} " in f" {' '.join(words)} "]
    return words + (shlex.split(ADDED[max(fitting, key=len)]) if fitting else [])


FIRST = ROOT / "README.md"
WHOLE = "docs/tutorial.md"
"""Runs on the bundled data as it is: test_tutorial.py."""

WITH_COMMANDS = [FIRST] + [
    page for page in PAGES
    if name_of(page) not in (REFERENCE, WHOLE) and set(commands(page)) - set(NOT_RUN) - set(commands(FIRST))
]  # fmt: skip
"""Pages with commands to run; one that repeats those of the README alone is not read twice."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.xdist_group("umap")] if page.stem == "export" else [], id=name_of(page))
        for page in WITH_COMMANDS
    ],
)  # fmt: skip
def test_the_commands_of_a_page_run_in_their_order(place: Path, page: Path, capsys):
    if name_of(page) in BEFORE:
        assert run(BEFORE[name_of(page)].split()) == 0
    for command in commands(page):
        if command in NOT_RUN:
            continue
        for line in expanded(command):
            program, *words = words_of(line)
            if program == "python":
                done = script(ROOT / words[0], *words[1:])
                assert done.returncode == 0, (line, done.stderr)
            else:
                assert program == "rvq-lens"
                assert run(words) == 0, (line, words, capsys.readouterr().err)
    assert [name for name in LEAVES.get(name_of(page), ()) if not (place / name).is_file()] == []


@pytest.mark.usefixtures("place")
def test_the_settings_of_the_other_bundled_checkpoints_train():
    page = ROOT / "checkpoints/README.md"
    start = next(command for command in commands(page) if " train " in command)
    settings = [text for text in inline(page) if text.startswith("--iterations ")]
    assert len(settings) == 3
    small = "--out runs/other --set window=16 --set num_quantizers=2 --set depth=1 --quiet"
    assert run(shlex.split(f"{start} {small} {' '.join(settings)} --set width=16 --iterations 1")[1:]) == 0


def test_a_translation_has_the_commands_the_code_and_the_links_of_the_original():
    original, translated = FIRST, ROOT / "README.zh-CN.md"
    assert commands(translated) == commands(original)
    assert fenced(translated) == fenced(original)
    texts = [page.read_text(encoding="utf-8") for page in (original, translated)]
    links = [re.findall(r"\]\(([^)]*)\)", text) for text in texts]
    assert sorted({*links[0]} ^ {*links[1]}) == ["README.md", "README.zh-CN.md"]  # each leads to the other
    for kind in (r"^#+ ", r"^\|", r"^- "):  # headings, rows of tables, entries of lists
        counted = [len(re.findall(kind, text, flags=re.MULTILINE)) for text in texts]
        assert counted[0] == counted[1], kind
    numbers = [sorted(set(re.findall(r"\d[\d,.]*\d", text))) for text in texts]
    assert numbers[0] == numbers[1]


def test_what_is_not_run_stands_in_a_text():
    """An entry that no text has any more would excuse nothing."""
    assert set(NOT_RUN) <= {command for page in PAGES for command in commands(page)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_indented_blocks_are_commands(page: Path):
    others = [line for line in indented(page) if line.removeprefix(".venv/bin/").split()[0] not in PROGRAMS]
    assert [line for line in others if not line.startswith(NO_COMMANDS.get(name_of(page), ()))] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("command", [line for line, reason in NOT_RUN.items() if reason == MAKES])
def test_targets_are_there(command: str):
    done = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "PORT=" in command:
        assert f"--port {command.partition('PORT=')[2]}" in done.stdout


def test_what_pip_installs_is_declared():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    lines = [line for line in NOT_RUN if line.startswith("pip install -e")]
    for line in lines:
        (extra,) = re.findall(r"'\.\[(\w+)\]'", line)
        assert extra in extras
        assert (ROOT / line.split()[-1]).is_file()
    assert lines


def declared(path: Path) -> set[str]:
    """The options that a script or a module declares."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    return {arg.value for call in named for arg in call.args if isinstance(arg, ast.Constant)}


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The options of each command, as its help tells them, and of all scripts."""
    from rvq_core.cli import _parser

    (choices,) = [action.choices for action in _parser()._actions if action.choices]
    assert len(choices) == len(COMMANDS)
    found = {name: set(parser._option_string_actions) for name, parser in choices.items()}
    return found | {"scripts": {option for path in ROOT.glob("[bcd]*/*.py") for option in declared(path)}}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_and_script_that_a_text_names_is_there(page: Path, known):
    every = set().union(*known.values())
    for command in commands(page):
        program, *words = shlex.split(command)
        if program == "rvq-lens":
            assert options_in(command) <= known[words[0]], command
        elif program == "python" and words[0] != "-m":
            assert options_in(command) <= declared(ROOT / words[0]), command
    for text in inline(page):
        if text.startswith(("--", "rvq-lens ")):
            assert options_in(text) <= every, text


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "rvq_core", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: rvq-lens ")
