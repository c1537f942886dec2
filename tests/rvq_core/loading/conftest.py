"""A native checkpoint, and the same with something changed in it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from native_files import metadata, write
from safetensors.torch import load_file, save_file
from torch import Tensor


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.safetensors")


@pytest.fixture
def changed(good: Path) -> Callable[..., Path]:
    """The good checkpoint with other tensors (None takes one away), header values or header text."""

    def change(tensors: dict[str, Tensor | None] | None = None, text: str | None = None, **entry: object) -> Path:
        state = load_file(good) | (tensors or {})
        header = json.loads(metadata(good)["rvq-lens"])
        header |= entry
        text = json.dumps(header) if text is None else text
        path = good.with_name("changed.safetensors")
        save_file({key: value for key, value in state.items() if value is not None}, path, {"rvq-lens": text})
        return path

    return change
