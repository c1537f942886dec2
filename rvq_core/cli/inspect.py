"""``rvq-lens inspect``: what a checkpoint file alone tells, or each of a set of body parts."""

from __future__ import annotations

import argparse
from typing import Any

from rvq_core.cli.parts import is_part_set, open_part_set
from rvq_core.cli.shared import add_checkpoint, open_checkpoint


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("inspect", help="what a checkpoint file alone tells")
    add_checkpoint(parser)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what the file tells."""
    import json

    from rvq_core.inspection import describe, inspect

    if is_part_set(options.checkpoint):
        part_set = open_part_set(options)
        parts = {part: inspect(checkpoint) for part, checkpoint in part_set.parts.items()}
        facts: dict[str, Any] = {"name": part_set.name, "parts": parts, "notes": list(part_set.notes)}
        told = [f"{part}: {describe(own)}" for part, own in parts.items()]
        text = "\n\n".join([*told, *(f"note: {note}" for note in part_set.notes)])
    else:
        facts = inspect(open_checkpoint(options))
        text = describe(facts)
    print(json.dumps(facts, indent=2, allow_nan=False) if options.json else text)
    return 0
