"""Counts of skipped data by reason, with the first examples of each."""

from __future__ import annotations

from ymir_detectron2.contract.data_issues import FIRST_NAMES, DataIssues


def test_no_issue_is_false_and_empty():
    issues = DataIssues()
    assert not issues
    assert (issues.as_dict(), issues.summary_lines(), issues.count("odd")) == ({}, [], 0)


def test_all_are_counted_and_the_first_examples_are_kept():
    issues = DataIssues()
    for number in range(8):
        issues.add("odd", f"place {number}")
    issues.add("rare", "/in/caf\udce9.jpg")
    assert issues
    assert issues.count("odd") == 8
    assert issues.as_dict() == {
        "odd": {"count": 8, "first": [f"place {number}" for number in range(FIRST_NAMES)]},
        "rare": {"count": 1, "first": ["/in/caf\\udce9.jpg"]},
    }
    assert issues.summary_lines() == ["8 x odd, e.g. place 0", "1 x rare, e.g. /in/caf\\udce9.jpg"]


def test_merging_adds_counts_and_fills_up_the_examples():
    first, second = DataIssues(), DataIssues()
    for number in range(8):
        (first, second)[number % 2].add("odd", f"place {number}")
    second.add("new", "x")
    first.merge(second)
    assert first.as_dict() == {
        "odd": {"count": 8, "first": ["place 0", "place 2", "place 4", "place 6", "place 1"]},
        "new": {"count": 1, "first": ["x"]},
    }


def test_several_at_one_place_have_one_example():
    issues = DataIssues()
    issues.add("odd", "here", count=3)
    issues.add("odd", "there")
    assert issues.as_dict() == {"odd": {"count": 4, "first": ["here", "there"]}}
