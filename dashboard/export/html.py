"""A report as one HTML file that opens without a network: verdicts, tables, figures to explore, and what it is made of.

Every text of the report goes through ``html.escape``; Plotly writes its data with ``<``, ``>`` and ``/`` escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from dashboard.export.registry import FigureEntry
from dashboard.export.slim import slim
from dashboard.export.sources import Source, measured_on, name_of, provenance, sentences, tables_of
from dashboard.export.text_table import TextTable, text_table
from dashboard.figures.theme import CONFIG

# Nothing may be fetched, whatever the file holds. Plotly draws very many points by WebGL, which makes code at run time.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"

MOST_BYTES = 7_800_000
"""Of Plotly and all figures; with the tables the file stays below 8 MB, which mail and chat let pass."""

MOST_WEBGL = 4
"""Figures drawn by WebGL, others as SVG: each takes up to three contexts, and beyond 16 browsers blank the first."""

STYLE = """
:root { color-scheme: light dark; --ink: #22262b; --soft: #555b63; --paper: #fff; --line: #e3e5e8; --rule: #8a8f98; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a9b0b8; --paper: #14171c; --line: #33383f; --rule: #6f757e; }
}
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1080px; margin: 2rem auto; padding: 0 1.25rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } h3 { margin: 2rem 0 0; }
.measured, .what, figcaption, td, th { color: var(--soft); } .measured, .what { font-size: 0.9rem; }
figure { margin: 0.5rem 0 0; }
table { border-collapse: collapse; font-size: 0.85rem; width: 100%; }
.wide { overflow-x: auto; }
th, td { text-align: right; padding: 0.3rem 0.6rem; white-space: nowrap; } th { border-bottom: 2px solid var(--rule);
  white-space: normal; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); } .text { text-align: left; } td b { color: var(--ink); }
.verdict { border: 1px solid var(--line); border-left: 5px solid #0072B2; border-radius: 4px; padding: 0.5rem 1rem;
  margin: 0.6rem 0; } .verdict p { margin: 0.3rem 0; }
.severe { border-left-color: #D55E00; } .warning { border-left-color: #E69F00; }
.severity { font-weight: 600; text-transform: uppercase; font-size: 0.75rem; letter-spacing: 0.05em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; font-size: 0.85rem; }
dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
/* Figures set no colour of text and lines: those of the page, in either scheme. Numbers in cells keep their own. */
.js-plotly-plot :is([class$="tick"], .infolayer) text { fill: var(--ink) !important; }
.js-plotly-plot :is(.gridlayer, .zerolinelayer) path { stroke: var(--line) !important; }
.js-plotly-plot .axis-label, .js-plotly-plot .parcoords text { fill: var(--ink) !important; }
@media print { .modebar { display: none; } figure { break-inside: avoid; } }
"""


def html_report(source: Source, figures: Sequence[tuple[FigureEntry[Any], go.Figure]], command: str) -> str:
    """Write the whole page; ``figures`` stand in it as they are given, as far as a file of MOST_BYTES holds them."""
    name = escape(name_of(source))
    drawn = dict(_drawn(figures))
    parts = [
        f"<h1>{name}</h1>", *_measured(source), *_verdicts(source.manifest.get("verdicts")), *_tables(source),
        "<h2>Figures</h2>", *_fitting(drawn, MOST_BYTES - len(get_plotlyjs().encode())),
        *_provenance(source, command),
    ]  # fmt: skip
    return page(f"{name}: RVQ Lens", parts)


def page(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are HTML already, as is ``title``; Plotly stands in it once."""
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>{STYLE}</style>\n'
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def html_table(table: TextTable) -> str:
    """A printed table, with the best values in bold."""
    sides = [' class="text"' if left else "" for left in table.left]
    head = "".join(f"<th{side}>{escape(text)}</th>" for side, text in zip(sides, table.headings, strict=True))
    rows = [
        "".join(
            f"<td{side}>{f'<b>{escape(cell)}</b>' if best else escape(cell)}</td>"
            for side, cell, best in zip(sides, row, marks, strict=True)
        )
        for row, marks in zip(table.cells, table.best, strict=True)
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def told(text: str) -> str:
    """Words of ours in which ``**`` marks what is important, as HTML.

    >>> told("**5** of <all>")
    '<b>5</b> of &lt;all&gt;'
    """
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))


def _measured(source: Source) -> list[str]:
    measured = f'<p class="measured">{told(measured_on(source))}</p>'
    return [measured, *(f"<p>{told(text)}</p>" for text in sentences(source))]


def _verdicts(verdicts: Sequence[dict[str, Any]] | None) -> list[str]:
    """The findings of a report; a comparison has none of its own."""
    if verdicts is None:
        return []
    if not verdicts:
        return ["<h2>Verdicts</h2>", "<p>No rule passed its threshold.</p>"]
    return ["<h2>Verdicts</h2>", *map(_verdict, verdicts)]


def _verdict(verdict: dict[str, Any]) -> str:
    severity, finding = escape(str(verdict["severity"])), escape(str(verdict["finding"]))
    part = f" {escape(str(verdict['part']))}:" if "part" in verdict else ""  # of a set of body parts
    lines = [f'<p><span class="severity">{severity}</span>{part} <b>{finding}</b></p>']
    for label, key in (("Usual cause.", "cause"), ("What to try.", "advice")):
        if verdict[key]:
            lines.append(f"<p><b>{label}</b> {escape(str(verdict[key]))}</p>")
    caveat = escape(" ".join(filter(None, (f"Measured on {verdict['measured_on']}.", verdict["caveat"]))))
    return f'<div class="verdict {severity}">{"".join(lines)}<p class="measured">{caveat}</p></div>'


def _tables(source: Source) -> list[str]:
    parts: list[str] = []
    for entry, table in tables_of(source):
        printed = text_table(table, entry.columns(source), entry.title, references=entry.references)
        parts += [f"<h2>{escape(entry.title)}</h2>", html_table(printed)]
    return parts


def _drawn(figures: Sequence[tuple[FigureEntry[Any], go.Figure]]) -> Iterator[tuple[str, str]]:
    """Title and HTML of each figure."""
    by_webgl = 0
    for entry, figure in figures:
        content = slim(figure)
        points = [trace for trace in content["data"] if trace["type"] == "scattergl"]
        by_webgl += bool(points)
        if by_webgl > MOST_WEBGL:
            for trace in points:
                trace["type"] = "scatter"
        yield entry.title, _figure(entry, content)


def _figure(entry: FigureEntry[Any], content: dict[str, Any]) -> str:
    drawn = to_html(
        content, config=CONFIG | {"responsive": True}, include_plotlyjs=False, full_html=False, validate=False,
        div_id=f"figure-{entry.name}",
    )  # fmt: skip
    caption = f'<figcaption class="what">{escape(entry.explained())}</figcaption>'
    return f"<h3>{escape(entry.title)}</h3>\n<figure>{drawn}{caption}</figure>"


def _fitting(drawn: dict[str, str], room: int) -> list[str]:
    """The figures by title that ``room`` bytes hold, the largest left out first, and which those are."""
    sizes = {title: len(text.encode()) for title, text in drawn.items()}
    left_out: list[str] = []
    while sum(sizes.values()) > room:
        left_out.append(max(sizes, key=lambda title: sizes[title]))
        del sizes[left_out[-1]]
    told = f"Too large for this file, and exported as files of their own: {', '.join(left_out)}."
    return [*(drawn[title] for title in sizes), *([f'<p class="measured">{escape(told)}</p>'] if left_out else [])]


def _provenance(source: Source, command: str) -> list[str]:
    """What the page is made of: checkpoints, clips, settings, versions and commands."""
    made_of = provenance(source)
    facts = [("rvq-lens", made_of["rvq_lens"])]
    for each in made_of["checkpoints"]:
        facts += [("checkpoint", f"{each['name']}: {each['file']} ({each['format']})"), ("sha256", each["sha256"])]
    facts += [(name, json.dumps(made_of[name], ensure_ascii=False)) for name in ("clips", "settings")]
    facts += [("made by", made_of["command"]), ("exported by", command)]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts)
    return ["<h2>Made of</h2>", f"<dl>{rows}</dl>"]
