import os
import socket
import sys
from pathlib import Path

import pytest
import streamlit as st

from dashboard import launch, memory, sources
from rvq_core.errors import SettingsError


@pytest.fixture
def started(monkeypatch) -> list[dict]:
    """What Streamlit would have been started with."""
    calls: list[dict] = []

    class App:
        def __init__(self, script_path: str) -> None:
            self.script_path = script_path

        def run(self, *, config: dict) -> None:
            calls.append({"script": self.script_path} | config)

    monkeypatch.setattr(st, "App", App)
    monkeypatch.setattr(sys, "argv", ["rvq-lens"])  # launch replaces it
    # launch sets them; setting them first makes monkeypatch take them back afterwards
    for variable in sources.VARIABLES:
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv(memory.VARIABLE, "")
    monkeypatch.delenv(memory.VARIABLE)
    return calls


def test_it_serves_this_machine_only_and_asks_nothing(started):
    launch.launch()
    (call,) = started
    assert Path(call["script"]).name == "app.py" and Path(call["script"]).is_file()
    assert call["server.address"] == "127.0.0.1"
    assert call["server.showEmailPrompt"] is False
    assert call["browser.gatherUsageStats"] is False
    assert "server.port" not in call
    assert os.environ[memory.VARIABLE].endswith("last_choice.json")
    assert sources.given_checkpoints() is None and sources.given_clips() is None


def test_folders_and_port_are_handed_over(started, tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch.launch(tmp_path, tmp_path / "clips", port)
    assert started[0]["server.port"] == port
    assert sources.given_checkpoints() == tmp_path.resolve()
    assert sources.given_clips() == tmp_path.resolve() / "clips"


def test_split_and_groups_are_handed_over(started, tmp_path: Path):
    launch.launch(groups=tmp_path / "groups.csv", split=tmp_path / "test.txt")
    bundled = [sources.clip_folders()["bundled"]]
    assert sources.groups_file(bundled) == tmp_path.resolve() / "groups.csv"
    assert sources.split_file(bundled) == tmp_path.resolve() / "test.txt"


def test_a_port_in_use_is_told_before_anything_starts(started):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match="expected a free port"):
            launch.launch(port=taken.getsockname()[1])
    assert not started


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_a_port_that_cannot_be_is_refused(started, port):
    with pytest.raises(SettingsError, match=r"1\.\.65535"):
        launch.launch(port=port)
    assert not started


def test_the_configuration_beside_the_app_keeps_the_page_private():
    import tomllib

    config = tomllib.loads((launch.APP.parent / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert config["server"]["enableXsrfProtection"] and config["server"]["enableCORS"]
    assert config["client"]["showErrorDetails"] == "none"
    assert config["browser"]["gatherUsageStats"] is False
