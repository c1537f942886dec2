"""Text as LaTeX prints it, and how wide that is, so that a table can be laid out without running LaTeX."""

from __future__ import annotations

import re
import unicodedata

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "−": "$-$", "×": r"$\times$", "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
}  # fmt: skip

_WIDTHS = {
    letter: width
    for width, letters in (
        (295, "',.:;[]`il"), (325, "!fj"), (354, " "), (419, "()ts"), (425, "I"), (440, "r"), (472, "cez"),
        (531, "$*/0123456789\\^ag{}~_?"), (545, "J"), (561, "kqvxyo"), (590, 'Sbdhnpu"|'), (649, "Z"), (664, "L"),
        (693, "F"), (723, "EP"), (752, "B"), (767, "CTw"), (782, "R"), (796, "AHNUVXY"),
        (827, "DGKOQ&+=@<>-−×±"), (885, "#%m"), (973, "M"), (1091, "W"),
    )
    for letter in letters
}  # fmt: skip
"""Thousandths of the size, of cmr8 with its kerns (of its larger sisters less); a hyphen as the minus it may be."""

BOLD = 1.19
"""How much wider the bold letters are, at most."""

BREAKS = 24
"""Letters from which on a word of running text may be broken, behind a sign or after so many."""


def latex_text(text: str) -> str:
    r"""Text as LaTeX prints it; letters that pdflatex does not know become their nearest in ASCII, or a question mark.

    >>> latex_text("50 % of a_b in mm/s^2")
    '50 \\% of a\\_b in mm/s\\textsuperscript{2}'
    """
    powers = re.split(r"\^(\d)", " ".join(text.split()))
    parts = ["".join(map(_letter, part)) for part in powers[::2]]
    return "".join(
        part + (rf"\textsuperscript{{{powers[2 * i + 1]}}}" if i < len(parts) - 1 else "")
        for i, part in enumerate(parts)
    )


def latex_number(text: str) -> str:
    """A number, or one with its interval, with a true minus.

    >>> latex_number("-53 [-68, 1e-3]")
    '$-$53 {[}$-$68, 1e-3{]}'
    """
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", latex_text(text))


def latex_running(text: str) -> str:
    r"""Running text, such as a caption, whose long words LaTeX may break.

    >>> latex_running("of momask_rvq_6layers_1024codes_seed0")
    'of momask\\_\\allowbreak{}rvq\\_\\allowbreak{}6layers\\_\\allowbreak{}1024codes\\_\\allowbreak{}seed0'
    """
    return " ".join(
        latex_text(word) if len(word) <= BREAKS else r"\allowbreak{}".join(map(latex_text, _breakable(word)))
        for word in text.split()
    )


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Points that a line of text takes at most in Computer Modern of ``size`` points.

    >>> round(text_width("31.234 [31.200, 31.280]", 8.0))
    84
    """
    letters = "".join(letter if letter in _WIDTHS else _ascii(letter) for letter in " ".join(text.split()))
    return sum(_WIDTHS.get(letter, 1000) for letter in letters) / 1000 * size * (BOLD if bold else 1.0)


def wrapped(text: str, size: float, limit: float, *, bold: bool = False) -> list[str]:
    """Lines of at most ``limit`` points: broken behind spaces and signs, within a word only where nothing else helps.

    >>> wrapped("humanoid3d_getup_facedown", 8.0, 80.0)
    ['humanoid3d_getup_', 'facedown']
    """

    def fits(line: str) -> bool:
        return text_width(line.strip(), size, bold=bold) <= limit

    lines = [""]
    for piece in _pieces(" ".join(text.split())):
        for part in [piece] if fits(piece) else piece:
            if lines[-1] and not fits(lines[-1] + part):
                lines.append("")
            lines[-1] += part
    return [line.strip() for line in lines]


def _pieces(text: str) -> list[str]:
    """The text cut behind what is neither letter nor digit."""
    return re.findall(r"[^\W_]*[\W_]+|[^\W_]+", text)


def _breakable(word: str) -> list[str]:
    return [piece[at : at + BREAKS] for piece in _pieces(word) for at in range(0, len(piece), BREAKS)]


def _letter(character: str) -> str:
    return _LATEX.get(character) or _ascii(character)


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
