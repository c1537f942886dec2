"""Comparisons in the store: an entry for each list of names and reports; their codes are not matched in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dashboard.store import Store, keep_if_possible, key_of

if TYPE_CHECKING:
    from rvq_core.compare import Comparison
    from rvq_core.report import Report

KIND = "comparisons"


def compared(store: Store, names: Sequence[str], contents: Sequence[str], reports: Sequence[Report]) -> Comparison:
    """The comparison of ``reports`` under ``names``, the first being the baseline: kept, or made and kept.

    ``contents`` stand for the reports. One that the disk has no room for is given all the same. Raises RVQLensError.
    """
    from rvq_core.compare import Comparison, compare

    key = key_of({"what": "comparison", "names": list(names), "reports": list(contents)})
    found = store.find(KIND, key, Comparison.load)
    if found is None:
        found = compare(reports, names=names, codes=False, command="rvq-lens dash")
        keep_if_possible(partial(store.put, KIND, key, found.write_into), "a comparison is not kept")
    return found
