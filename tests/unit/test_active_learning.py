"""The learning experiment's own part: its journal, what it takes from a result.tsv, its table. No task is run here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import active_learning
from benchmarks.active_learning import Journal, Plan, pick_next
from benchmarks.learning_report import FIRST, Round, ap50_by_seed, format_table, lead_over_random, write_report
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.draw_dataset import draw_pictures
from ymir_detectron2.tools.task_folder import asset_name


def finished(seed: int, algorithm: str, number: int, ap50: float, boxes: int = 7) -> Round:
    """Two pictures per round."""
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


def test_first_lines_of_the_result_are_taken_in_its_order(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path, 4, seed=0)
    scores = zip((asset_name(picture.image) for picture in pictures), (0.1, 0.4, 0.2, 0.3))
    write_mining_result(tmp_path / "result.tsv", [(f"/in/assets/17/{name}", score) for name, score in scores])
    assert pick_next(tmp_path / "result.tsv", pictures, 3) == [pictures[1], pictures[3], pictures[2]]


def test_score_column_is_not_read(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path, 2, seed=0)
    lines = [f"/in/assets/17/{asset_name(picture.image)}\t{score}\n" for picture, score in zip(pictures, (0.0, 1.0))]
    (tmp_path / "result.tsv").write_text("".join(lines))
    assert pick_next(tmp_path / "result.tsv", pictures, 1) == [pictures[0]]


def test_fewer_candidates_than_the_budget_are_all_taken(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path, 1, seed=0)
    (tmp_path / "result.tsv").write_text(f"/in/assets/17/{asset_name(pictures[0].image)}\t0.5\n")
    assert pick_next(tmp_path / "result.tsv", pictures, 20) == pictures


def test_result_that_names_no_candidate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "result.tsv").write_text("/in/assets/17/other.jpg\t0.5\n")
    with pytest.raises(KeyError, match=r"other\.jpg"):
        pick_next(tmp_path / "result.tsv", draw_pictures(tmp_path, 1, seed=0), 1)


def test_journal_gives_back_what_an_earlier_run_has_written(tmp_path: Path) -> None:
    first = Journal(tmp_path / "rounds.jsonl")
    for one in TWO_SEEDS:
        first.add(one)
    again = Journal(tmp_path / "rounds.jsonl")
    assert again.rounds == TWO_SEEDS
    assert again.find((1, "cald", 1)) == TWO_SEEDS[4]
    assert again.find((1, "cald", 2)) is None


def test_line_that_a_stop_has_cut_is_left_out_and_the_next_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "rounds.jsonl"
    Journal(file).add(TWO_SEEDS[0])
    with file.open("a") as stream:
        stream.write('{"seed": 0, "algo')
    journal = Journal(file)
    journal.add(TWO_SEEDS[1])
    assert Journal(file).rounds == TWO_SEEDS[:2]


def test_finished_rounds_are_not_run_again(tmp_path: Path) -> None:
    """Any task would fail: there are no pictures to write a folder of."""
    journal = Journal(tmp_path / "rounds.jsonl")
    for one in TWO_SEEDS:
        journal.add(one)
    plan = Plan(tmp_path, (), (), budget=2, rounds=1, first_steps=1, config={})
    active_learning.run_missing(plan, journal, (0, 1), ("cald", "random"), jobs=2)
    assert Journal(tmp_path / "rounds.jsonl").rounds == TWO_SEEDS


def test_folder_with_rounds_of_other_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"max_iter": 5}))
    with pytest.raises(ConfigError, match="other settings"):
        active_learning.main(["--out", str(tmp_path), "--steps", "6"])


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
        "| pictures labelled | 2 | 4 | minus `random` | boxes drawn |",
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
    with Image.open(tmp_path / "active_learning.png") as picture:
        assert picture.size == (800, 500)
