import re
import string

import numpy as np
import pytest
from latex_pages import complaints, log_of

from dashboard.export.latex.letters import latex_number, latex_running, latex_text, text_width, wrapped

SIZES = {8.0: r"\footnotesize", 9.0: r"\small"}


def some_texts() -> list[str]:
    """Names, numbers with intervals, headings, and every letter of ASCII alone."""
    rng = np.random.default_rng(0)
    drawn = ["".join(rng.choice(list(string.printable[:95]), 30)) for _ in range(20)]
    numbers = [f"{x:.3g} [{x - 1:.3g}, {x + 1:.3g}]" for x in rng.normal(scale=100, size=20)]
    letters = [letter * 10 for letter in string.ascii_letters + string.digits + string.punctuation]
    return [
        *numbers,
        *letters,
        *filter(str.strip, drawn),
        "humanoid3d_getup_facedown",
        "Perplexity, held out",
        "± 3 × 4",
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bold", [False, True], ids=["plain", "bold"])
def test_widths_are_those_of_latex_or_a_little_more(size, bold, tmp_path):
    texts = some_texts()
    font = SIZES[size] + (r"\bfseries " if bold else " ")
    boxes = [rf"\sbox0{{{font}{latex_number(text)}}}\typeout{{wide \the\wd0}}" for text in texts]
    body = "\n".join([*boxes, "A page.\n"])
    found = [float(width) for width in re.findall(r"^wide ([\d.]+)pt", log_of(body, tmp_path), re.MULTILINE)]
    estimated = [text_width(text, size, bold=bold) for text in texts]
    assert len(found) == len(texts)
    # 2 % is the slack of the layout; ligatures and kerns make some texts narrower.
    wider = [(text, own, guess) for text, own, guess in zip(texts, found, estimated, strict=True) if own > 1.02 * guess]
    assert wider == []
    assert sum(estimated) < 1.15 * sum(found)


def test_lines_are_as_narrow_as_asked_and_lose_nothing():
    for text in some_texts():
        for limit in (20.0, 60.0, 110.0):
            lines = wrapped(text, 8.0, limit)
            assert all(text_width(line, 8.0) <= limit for line in lines)
            assert "".join("".join(lines).split()) == "".join(text.split())


def test_words_stay_whole_where_they_fit():
    assert wrapped("codes of each layer", 8.0, 40.0) == ["codes of", "each layer"]
    assert wrapped("a/very_long.name", 8.0, 200.0) == ["a/very_long.name"]
    assert wrapped("", 8.0, 10.0) == [""]


def test_signs_and_letters_that_pdflatex_lacks():
    assert latex_text(r"100 % of \input{x}, 走 and é") == r"100 \% of \textbackslash{}input\{x\}, ? and e"
    assert latex_text("(mm/s^2)") == r"(mm/s\textsuperscript{2})"
    assert latex_number("-1 [-2, 1e-3] a-1") == "$-$1 {[}$-$2, 1e-3{]} a-1"


def test_long_words_of_a_caption_may_break(tmp_path):
    text = "x" * 200 + " and " + "momask_rvq/" * 20
    assert latex_running("short words_too") == r"short words\_too"
    body = rf"\begin{{table}}\sloppy\caption{{{latex_running(text)}}}\end{{table}}"
    assert complaints(log_of(body, tmp_path, "a4paper,twocolumn")) == []
