"""``rvq-lens convert``: write a checkpoint of any format as the native one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rvq_core.cli.shared import add_checkpoint, open_checkpoint


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("convert", help="write a checkpoint of any format as the native .safetensors")
    add_checkpoint(parser)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the converted checkpoint."""
    from rvq_core.loading.convert import convert

    checkpoint = open_checkpoint(options)
    convert(checkpoint, options.out)
    print(f"checkpoint: {options.out} (from {checkpoint.format}, sha256 {checkpoint.sha256})")
    return 0
