"""The table and the plot of an active learning experiment."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.learning_report import FIRST, Round, ap50_by_seed, format_table, lead_over_random, write_report


def finished(seed: int, algorithm: str, number: int, ap50: float, boxes: int = 7) -> Round:
    """Two images per round."""
    names = [f"{place}.jpg" for place in range(2 * number + 2)]
    return Round(seed, algorithm, number, names, boxes, ap50, 1.5)


TWO_SEEDS = [
    finished(0, FIRST, 0, 0.25),
    finished(1, FIRST, 0, 0.5),
    finished(0, "random", 1, 0.5, boxes=10),
    finished(1, "random", 1, 0.75, boxes=20),
    finished(1, "cald", 1, 0.625, boxes=40),
    finished(0, "cald", 1, 0.75, boxes=30),
]


def test_round_0_belongs_to_every_algorithm() -> None:
    assert ap50_by_seed(TWO_SEEDS, "cald", 0) == ap50_by_seed(TWO_SEEDS, "random", 0) == {0: 0.25, 1: 0.5}


def test_lead_is_taken_from_random_with_the_same_seed() -> None:
    """0.75 - 0.5 and 0.625 - 0.75."""
    assert sorted(lead_over_random(TWO_SEEDS, "cald")) == [-0.125, 0.25]


def test_lead_needs_random_of_the_same_seed_and_round() -> None:
    assert lead_over_random([*TWO_SEEDS, finished(2, "cald", 1, 1.0)], "cald") == lead_over_random(TWO_SEEDS, "cald")


def test_lead_is_the_mean_over_the_rounds() -> None:
    """(0.25 + 0.75) / 2."""
    rounds = [finished(0, "random", 1, 0.0), finished(0, "random", 2, 0.25)]
    rounds += [finished(0, "margin", 1, 0.25), finished(0, "margin", 2, 1.0)]
    assert lead_over_random(rounds, "margin") == [0.5]


def test_table_shows_mean_and_range() -> None:
    """Means: (0.25 + 0.5) / 2; (0.75 + 0.625) / 2 = 0.6875; lead (0.25 - 0.125) / 2 = 0.0625, to even 0.062."""
    assert format_table(TWO_SEEDS).splitlines() == [
        "| images labelled | 2 | 4 | minus `random` | boxes drawn |",
        "|---|---|---|---|---|",
        "| `cald` | 0.375 (0.250 to 0.500) | 0.688 (0.625 to 0.750) | +0.062 (-0.125 to +0.250) | 35 (30 to 40) |",
        "| `random` | 0.375 (0.250 to 0.500) | 0.625 (0.500 to 0.750) |  | 15 (10 to 20) |",
    ]


def test_rounds_that_are_still_missing_leave_their_cell_empty() -> None:
    lines = format_table([*TWO_SEEDS, finished(0, "random", 2, 1.0)]).splitlines()
    assert lines[2].split(" | ")[3] == ""
    assert lines[3].split(" | ")[3] == "1.000 (1.000 to 1.000)"


def test_report_is_a_table_and_a_plot_of_800_by_500_pixels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_report(tmp_path, TWO_SEEDS)
    assert (tmp_path / "active_learning.md").read_text() == format_table(TWO_SEEDS)
    with Image.open(tmp_path / "active_learning.png") as image:
        assert image.size == (800, 500)
