"""Verdicts: rules with named thresholds turn a report into plain findings, worst first (docs/verdicts.md)."""

from __future__ import annotations

from typing import Any

from rvq_core.report import Report
from rvq_core.verdicts.error_rules import ERROR_RULES, features_off_scale
from rvq_core.verdicts.facts import Facts
from rvq_core.verdicts.findings import SEVERITIES, Finding
from rvq_core.verdicts.layer_rules import LAYER_RULES
from rvq_core.verdicts.thresholds import Thresholds
from rvq_core.verdicts.usage_rules import USAGE_RULES

RULES = (features_off_scale, *USAGE_RULES, *ERROR_RULES, *LAYER_RULES)
"""Every rule, those of equal severity in the order in which they are told: first what makes the others void."""

__all__ = ["RULES", "SEVERITIES", "Finding", "Thresholds", "findings_of", "verdicts"]


def verdicts(report: Report, thresholds: Thresholds | None = None) -> list[dict[str, Any]]:
    """The findings of a report, worst first, as report.json holds them under ``verdicts``."""
    return [finding.to_dict() for finding in findings_of(report, thresholds)]


def findings_of(report: Report, thresholds: Thresholds | None = None) -> list[Finding]:
    """The findings of a report, worst first."""
    facts = Facts(report, thresholds or Thresholds())
    found = [finding for rule in RULES for finding in rule(facts)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
