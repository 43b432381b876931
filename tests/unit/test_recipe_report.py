"""The table of the training recipes, and the document that it goes into."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recipe_report import END, START, Training, format_table, put_into


def training(recipe: str, seed: int, ap50: float, failure: str = "") -> Training:
    by_class = {} if failure else {"cat": ap50, "dog": ap50 / 2}
    return Training(recipe, seed, 600, ap50, by_class, failure, 1.0)


TRAININGS = [
    training("ours", 0, 0.6), training("ours", 1, 0.8), training("other", 0, 0.5), training("other", 1, 0.9),
    training("broken", 0, 0.0, "ERROR 300201: no number"),
]  # fmt: skip


def test_means_ranges_and_the_difference_seed_by_seed():
    assert format_table(TRAININGS, ["other", "broken", "ours", "not run"]).splitlines() == [
        "| recipe | AP50 | `cat` | `dog` | minus `ours` | seeds |",
        "|---|---|---|---|---|---|",
        "| other | 0.700 (0.500 to 0.900) | 0.700 (0.500 to 0.900) | 0.350 (0.250 to 0.450) |"
        " +0.000 (-0.100 to +0.100) | 2 |",
        "| broken | 0.000 (0.000 to 0.000) | 0.000 (0.000 to 0.000) | 0.000 (0.000 to 0.000) |"
        " -0.600 (-0.600 to -0.600) | 1, 1 failed |",
        "| ours | 0.700 (0.600 to 0.800) | 0.700 (0.600 to 0.800) | 0.350 (0.300 to 0.400) |  | 2 |",
    ]


def test_the_table_goes_between_the_markers_and_nothing_else_changes(tmp_path: Path):
    document = tmp_path / "page.md"
    document.write_text(f"before\n{START}\nold\n{END}\nafter {END}\n")
    put_into(document, "new\n")
    assert document.read_text() == f"before\n{START}\nnew\n{END}\nafter {END}\n"
    document.write_text(f"{END} {START}")
    with pytest.raises(ValueError, match="are missing"):
        put_into(document, "new\n")


def test_the_document_has_a_place_for_the_table():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert END in text.partition(START)[2]
