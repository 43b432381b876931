"""The folder of an experiment, which survives an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.experiment import Journal, require_same_settings
from benchmarks.recipe_report import Training
from ymir_detectron2.errors import ConfigError


def training(recipe: str, seed: int) -> Training:
    return Training(recipe, seed, 600, 0.5, {"红细胞": 0.5}, "", 1.0)


FIRST, SECOND = training("ours", 0), training("other", 0)


def test_a_journal_has_the_results_of_earlier_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "trainings.jsonl", Training)
    assert journal.results == []
    journal.add(FIRST)
    journal.add(SECOND)
    again = Journal(tmp_path / "trainings.jsonl", Training)
    assert again.results == journal.results == [FIRST, SECOND]
    assert again.find(recipe="other", seed=0) == SECOND
    assert again.find(recipe="other", seed=1) is None


def test_a_line_that_was_cut_is_removed_and_the_next_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "trainings.jsonl"
    journal = Journal(file, Training)
    journal.add(FIRST)
    journal.add(SECOND)
    file.write_text(file.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    again = Journal(file, Training)
    assert again.results == [FIRST]
    again.add(SECOND)
    assert Journal(file, Training).results == [FIRST, SECOND]


def test_a_folder_takes_results_of_one_kind_of_settings(tmp_path: Path) -> None:
    require_same_settings(tmp_path, {"steps": 5})
    require_same_settings(tmp_path, {"steps": 5})
    with pytest.raises(ConfigError, match="other settings"):
        require_same_settings(tmp_path, {"steps": 6})
