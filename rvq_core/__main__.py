"""``python -m rvq_core`` is the command ``rvq-lens``."""

from rvq_core.cli import main

main()
