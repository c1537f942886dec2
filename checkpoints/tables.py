"""Print the tables of README.md from the checkpoints beside this script and the bundled clips.

    python checkpoints/tables.py [corpus/cmu corpus/deepmimic]

With the folders of the training motion (see ``lay_out_sources.py``) the reconstruction of its held-out takes is
measured too, CMU's and DeepMimic's apart.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from rvq_core import Report, analyze, load_checkpoint, load_clips
from rvq_core.bundled import bundled_clips
from rvq_core.loading import Checkpoint

ORDER = ("healthy", "published-size", "collapsed", "shared")


def main() -> None:
    """Measure every checkpoint and print Markdown."""
    parser = argparse.ArgumentParser(description="Print the tables of checkpoints/README.md.")
    parser.add_argument("corpus", type=Path, nargs="*", help="folders of the training motion")
    folders: list[Path] = parser.parse_args().corpus
    here = Path(__file__).parent
    checkpoints = [load_checkpoint(here / f"{name}.safetensors") for name in ORDER]
    print("\n".join(f"    {ckpt.sha256}  {ckpt.path.name}" for ckpt in checkpoints), "\n")
    clips = load_clips(bundled_clips())
    reports = [analyze(ckpt, clips) for ckpt in checkpoints]
    for source, label in (("train_", "training corpus"), ("held_out_", "held-out corpus"), ("", "bundled clips")):
        print(usage(reports, source, label), "\n")
    print(errors({ckpt.name: report for ckpt, report in zip(checkpoints, reports, strict=True)}), "\n")
    for folder in folders:
        print(f"Held out of {folder.name}:\n")
        print(errors({ckpt.name: held_out(ckpt, folder) for ckpt in checkpoints}), "\n")


def usage(reports: list[Report], source: str, label: str) -> str:
    """A row a layer: perplexity and unseen codes of each checkpoint on one corpus."""
    cells = [
        report.layers[f"{source}perplexity"].map("{:.0f}".format) + " / " + report.layers[f"{source}unseen"].map(str)
        for report in reports
    ]
    tokens = int(reports[0].layers[f"{source}tokens"].iloc[0])
    head = [f"layer, on the {label} ({tokens:,} tokens)", *ORDER]
    return markdown(head, [[str(layer), *row] for layer, row in enumerate(zip(*cells, strict=True), start=1)])


def errors(reports: dict[str, Report]) -> str:
    """A row a checkpoint: MPJPE in mm at every number of active quantizers, and unquantised."""
    lines: list[list[str]] = []
    for name, report in reports.items():
        rows = report.overall.query("metric == 'mpjpe'")
        last = rows.iloc[-1]
        figures = [*rows["value"].map("{:.1f}".format), f"{last['reference']:.1f}"]
        lines.append([name, *figures, f"{last['low']:.1f} to {last['high']:.1f}"])
    depths = [f"n = {n}" for n in range(len(lines[0]) - 3)]
    return markdown(["MPJPE, mm", *depths, "unquantised", "95 % at full depth"], lines)


def held_out(ckpt: Checkpoint, folder: Path) -> Report:
    """The held-out takes of a folder, measured."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return analyze(ckpt, [clip for clip in load_clips(folder) if ckpt.held_out(clip.name)])


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


if __name__ == "__main__":
    main()
