"""The active learning experiment: what it takes from a result.tsv, and which rounds it runs. No task runs here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import active_learning
from benchmarks.active_learning import Plan, pick_next
from benchmarks.experiment import Journal
from benchmarks.learning_report import FIRST, Round
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.draw_dataset import draw_images
from ymir_detectron2.tools.task_folder import asset_name


def test_first_lines_of_the_result_are_taken_in_its_order(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 4, seed=0)
    scores = zip((asset_name(image.path) for image in images), (0.1, 0.4, 0.2, 0.3))
    write_mining_result(tmp_path / "result.tsv", [(f"/in/assets/17/{name}", score) for name, score in scores])
    assert pick_next(tmp_path / "result.tsv", images, 3) == [images[1], images[3], images[2]]


def test_score_column_is_not_read(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 2, seed=0)
    lines = [f"/in/assets/17/{asset_name(image.path)}\t{score}\n" for image, score in zip(images, (0.0, 1.0))]
    (tmp_path / "result.tsv").write_text("".join(lines))
    assert pick_next(tmp_path / "result.tsv", images, 1) == [images[0]]


def test_fewer_candidates_than_the_budget_are_all_taken(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 1, seed=0)
    (tmp_path / "result.tsv").write_text(f"/in/assets/17/{asset_name(images[0].path)}\t0.5\n")
    assert pick_next(tmp_path / "result.tsv", images, 20) == images


def test_result_that_names_no_candidate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "result.tsv").write_text("/in/assets/17/other.jpg\t0.5\n")
    with pytest.raises(KeyError, match=r"other\.jpg"):
        pick_next(tmp_path / "result.tsv", draw_images(tmp_path, 1, seed=0), 1)


def test_finished_rounds_are_not_run_again(tmp_path: Path) -> None:
    """Any task would fail: there are no images to write a folder of."""
    journal = Journal(tmp_path / "rounds.jsonl", Round)
    finished = [Round(seed, FIRST, 0, ["0.jpg", "1.jpg"], 7, 0.25, 1.5) for seed in (0, 1)]
    finished += [
        Round(seed, name, 1, ["0.jpg", "1.jpg", "2.jpg", "3.jpg"], 7, 0.5, 1.5)
        for seed in (0, 1)
        for name in ("cald", "random")
    ]
    for one in finished:
        journal.add(one)
    plan = Plan(tmp_path, (), (), budget=2, rounds=1, first_steps=1, config={})
    active_learning.run_missing(plan, journal, (0, 1), ("cald", "random"), jobs=2)
    assert Journal(tmp_path / "rounds.jsonl", Round).results == finished


def test_folder_with_rounds_of_other_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"max_iter": 5}))
    with pytest.raises(ConfigError, match="other settings"):
        active_learning.main(["--out", str(tmp_path), "--steps", "6"])
