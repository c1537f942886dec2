"""``rvq-lens inspect``: what a checkpoint file alone tells."""

from __future__ import annotations

import argparse
from typing import Any

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

    facts = inspect(open_checkpoint(options))
    print(json.dumps(facts, indent=2, allow_nan=False) if options.json else describe(facts))
    return 0
