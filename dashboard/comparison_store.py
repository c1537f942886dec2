"""Comparisons in the store: an entry for each list of names and reports; their codes are not matched in it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.store import Store, key_of

if TYPE_CHECKING:
    from rvq_core.compare import Comparison
    from rvq_core.report import Report

KIND = "comparisons"
logger = logging.getLogger(__name__)


def compared(store: Store, names: Sequence[str], contents: Sequence[str], reports: Sequence[Report]) -> Comparison:
    """The comparison of ``reports`` under ``names``, the first being the baseline: kept, or made and kept.

    ``contents`` stand for the reports. One that the disk has no room for is given all the same. Raises RVQLensError.
    """
    from rvq_core.compare import Comparison, compare

    key = key_of({"what": "comparison", "names": list(names), "reports": list(contents)})
    found = store.find(KIND, key, Comparison.load)
    if found is None:
        found = compare(reports, names=names, codes=False, command="rvq-lens dash")
        try:
            store.put(KIND, key, found.write_into)
        except OSError as error:
            logger.warning("a comparison is not kept: %s", error)
    return found
