"""What was left out, from reports that anyone may have written."""

from __future__ import annotations

import pytest

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.results.findings import MOST_FINDINGS, Finding, read_findings


def test_issues_come_back_as_they_were_counted():
    issues = DataIssues()
    issues.add("unreadable image", "a.jpg: cut", count=3)
    issues.add("image listed twice", "b.jpg")
    assert read_findings({"findings": issues.as_dict()}) == [
        Finding("unreadable image", 3, ("a.jpg: cut",)), Finding("image listed twice", 1, ("b.jpg",)),
    ]  # fmt: skip


@pytest.mark.parametrize("findings", [None, [], "text", {"a": 1}, {"a": {}}, {"a": {"count": "1", "first": []}}])
def test_what_has_another_form_is_left_out(findings: object):
    assert read_findings({"findings": findings}) == []


def test_a_report_does_not_fill_the_page():
    findings = {str(number): {"count": 1, "first": ["x"] * 100} for number in range(1000)}
    read = read_findings({"findings": findings})
    assert (len(read), len(read[0].examples)) == (MOST_FINDINGS, 5)
