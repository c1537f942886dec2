"""Lay out the motion that the bundled checkpoints are trained on, from folders that hold the originals somewhere.

    python checkpoints/lay_out_sources.py DOWNLOADS --out corpus

Looks through the folders for the files of ``sources.csv``, by name and by content, and copies them to ``corpus/cmu``
and ``corpus/deepmimic``: the layout that the commands in ``checkpoints/README.md`` expect. What is missing is listed
with the address of the original, and nothing is copied until all is there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from pathlib import Path

SOURCES = Path(__file__).parent / "sources.csv"


def main() -> None:
    """Find, check and copy."""
    parser = argparse.ArgumentParser(description="Lay out the training motion of the bundled checkpoints.")
    parser.add_argument("folders", type=Path, nargs="+", help="folders that hold the originals, at any depth")
    parser.add_argument("--out", type=Path, default=Path("corpus"), help="folder to lay out (default: corpus)")
    options = parser.parse_args()
    with SOURCES.open(newline="", encoding="utf-8") as file:
        wanted = list(csv.DictReader(file))
    found = {row["file"]: find(row, options.folders) for row in wanted}
    missing = [f"  {row['file']} from {row['address']}" for row in wanted if found[row["file"]] is None]
    if missing:
        parser.error(f"expected {len(wanted)} files, {len(missing)} are missing or differ:\n" + "\n".join(missing))
    for name, source in found.items():
        if source is not None:
            target = options.out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    print(f"{len(found)} files in {options.out}")


def find(row: dict[str, str], folders: list[Path]) -> Path | None:
    """The file of that name and content below ``folders``."""
    candidates = (path for folder in folders for path in sorted(folder.rglob(Path(row["file"]).name)))
    return next((path for path in candidates if hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]), None)


if __name__ == "__main__":
    main()
