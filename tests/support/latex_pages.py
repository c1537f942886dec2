"""pdflatex, as a reader of a paper runs it: pages of tables, and what its log says of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLASSES = ("letterpaper", "a4paper", "letterpaper,twocolumn", "a4paper,twocolumn")
"""Options of article at 10pt, margins as they are."""


def log_of(body: str, folder: Path, options: str = "letterpaper") -> str:
    """Set ``body`` in article, twice so that references are known; the log, with lines as long as they are.

    Where pdflatex is required (RVQ_LENS_REQUIRE_LATEX=1) its absence is a failure.
    """
    if shutil.which("pdflatex") is None:
        if os.environ.get("RVQ_LENS_REQUIRE_LATEX") == "1":
            pytest.fail("RVQ_LENS_REQUIRE_LATEX=1, and pdflatex is not installed")
        pytest.skip("pdflatex is not installed")
    head = f"\\documentclass[{options}]{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n"
    (folder / "t.tex").write_text(f"{head}{body}\\end{{document}}\n")
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    wide = os.environ | {"max_print_line": "1000"}
    for _ in range(2):
        done = subprocess.run(line, cwd=folder, env=wide, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-1500:]
    return (folder / "t.log").read_text(errors="replace")


def complaints(log: str) -> list[str]:
    """What the log says of boxes that stick out, floats that are too high and labels that are there twice."""
    signs = ("Overfull", "Float too large", "multiply defined", "multiply-defined", "Missing character")
    return [line for line in log.splitlines() if any(sign in line for sign in signs)]
