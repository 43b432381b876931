"""The tables of the training recipes, and the document that they go into."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.experiment import Journal
from benchmarks.page import with_section
from benchmarks.recipe_report import SECTION, Training, format_comparison, format_table, main, paired_leads


def training(recipe: str, seed: int, ap50: float, failure: str = "") -> Training:
    by_class = {} if failure else {"cat": ap50, "dog": ap50 / 2}
    return Training(recipe, seed, 600, ap50, by_class, failure, 1.0)


TRAININGS = [
    training("ours", 0, 0.6), training("ours", 1, 0.8), training("other", 0, 0.5), training("other", 1, 0.9),
    training("broken", 0, 0.0, "ERROR 300201: no number"),
]  # fmt: skip
OF_ANOTHER_SET = [training("ours", 0, 0.2), training("other", 0, 0.3), training("other", 1, 0.9)]


def test_means_ranges_and_the_difference_seed_by_seed():
    assert format_table(TRAININGS, ["other", "broken", "ours", "not run"]).splitlines() == [
        "| recipe | AP50 | `cat` | `dog` | minus `ours` | seeds |",
        "|---|---|---|---|---|---|",
        "| other | 0.700 (0.500 to 0.900) | 0.700 (0.500 to 0.900) | 0.350 (0.250 to 0.450) |"
        " +0.000 (-0.100 to +0.100) | 2 |",
        "| broken | 0.000 | 0.000 | 0.000 | -0.600 | 1, 1 failed |",
        "| ours | 0.700 (0.600 to 0.800) | 0.700 (0.600 to 0.800) | 0.350 (0.300 to 0.400) |  | 2 |",
    ]


def test_only_seeds_that_both_have_are_compared():
    assert paired_leads(OF_ANOTHER_SET, "other") == [pytest.approx(0.1)]
    assert paired_leads([training("other", 0, 0.5)], "other") == []


def test_sets_side_by_side():
    sets = {"pets": TRAININGS, "farm": OF_ANOTHER_SET}
    assert format_comparison(sets, ["ours", "other", "broken"]).splitlines() == [
        "| recipe | pets | farm |",
        "|---|---|---|",
        "| ours | 0.700 (0.600 to 0.800) | 0.200 |",
        "| other | +0.000 (-0.100 to +0.100), 2 | +0.100, 1 |",
        "| broken | -0.600, 1 | - |",
    ]


def test_the_journals_of_two_folders_become_one_section(tmp_path: Path):
    for name, trainings in (("pets", TRAININGS), ("farm", OF_ANOTHER_SET)):
        (tmp_path / name).mkdir()
        journal = Journal(tmp_path / name / "trainings.jsonl", Training)
        for one in trainings:
            journal.add(one)
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- measured: {SECTION} -->\nold\n<!-- end of {SECTION} -->\nafter\n", encoding="utf-8")
    main([f"pets={tmp_path / 'pets'}", f"farm={tmp_path / 'farm'}", "--docs", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "| recipe | pets | farm |" in text
    assert text.count("| recipe | AP50 | `cat` | `dog` |") == 2
    assert "old" not in text
    assert (text.startswith("before\n"), text.endswith("after\n")) == (True, True)


def test_the_document_has_a_place_for_the_tables():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert "new" in with_section(text, SECTION, "new")
