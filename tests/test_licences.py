"""What an installation brings along: licences that MIT goes with, and all of it told in the docs."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
COMPATIBLE = re.compile(
    r"MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|Zlib|CC0|HPND|Mozilla Public License 2\.0|MPL-2\.0|BSL-1\.0"
)
"""Permissive ones, and the MPL, which binds the files that are under it alone."""

UNTOLD = {"umap-learn": "BSD"}
"""Packages whose metadata does not name their licence; read from the LICENSE file that they install."""

OF_CUDA = re.compile(r"nvidia-|cuda-|triton")
"""What torch's build for NVIDIA's GPUs brings along, under NVIDIA's terms or MIT; there is none in that for the CPU."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[str]:
    """Names of all packages that an installation without extras needs, found by following requirements."""
    found: dict[str, None] = {}
    waiting = ["rvq-lens"]
    while waiting:
        for text in metadata.requires(waiting.pop()) or []:
            needed = Requirement(text)
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and normal(needed.name) not in found and not OF_CUDA.match(normal(needed.name)):
                found[normal(needed.name)] = None
                waiting.append(needed.name)
    return sorted(found)


def licence(name: str) -> str:
    """What the package's metadata says of its licence."""
    told = metadata.metadata(name)
    named = [line.split(" :: ")[-1] for line in told.get_all("Classifier") or [] if line.startswith("License ::")]
    return told.get("License-Expression") or "; ".join(named) or (told.get("License") or "").partition("\n")[0]


@pytest.mark.parametrize("name", installed())
def test_the_licence_of_each_package_goes_with_mit(name: str):
    if name in UNTOLD:
        files = [file for file in metadata.files(name) or [] if "LICENSE" in file.name.upper()]
        text = "".join(Path(str(file.locate())).read_text(encoding="utf-8") for file in files)
        assert "Redistribution and use in source and binary forms" in text
    else:
        assert COMPATIBLE.search(licence(name)), licence(name)
        assert not re.search(r"\bA?GPL|LGPL|GNU", licence(name))


def test_every_package_stands_in_the_docs_and_is_pinned():
    told = {normal(name) for name in re.findall(r"[\w.-]+", (ROOT / "docs" / "dependencies.md").read_text("utf-8"))}
    pinned = {normal(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    assert [name for name in installed() if name not in told] == []
    # setuptools comes with the virtual environment.
    assert [name for name in installed() if name not in pinned | {"setuptools"}] == []
