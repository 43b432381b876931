"""A whole training with its review at the end: files, log, page, model package; and after a stop the same bytes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conftest import MakeTree, Tree
from tests.platform_reader import read_training_result
from tests.running import run_start, start_script
from ymir_detectron2.evaluation.label_review_file import FILE_NAME, read_label_review
from ymir_detectron2.evaluation.training_statistics import read_training_statistics

STATISTICS = "training-statistics.json"
FORM: dict[str, Any] = {"max_iter": 24, "eval_period": 12, "batch_size": 2, "num_workers": 1}
"""48 images are trained on; a tenth of their time is that of 12 in inference, and the sets have 9."""


def files_of(tree: Tree) -> dict[str, bytes]:
    models = tree.out_dir / "models"
    stage = read_training_result(models, "2.5.0").best.name
    return {
        FILE_NAME: (tree.out_dir / FILE_NAME).read_bytes(), STATISTICS: (models / STATISTICS).read_bytes(),
        f"{stage}/{STATISTICS}": (models / stage / STATISTICS).read_bytes(),
    }  # fmt: skip


@pytest.fixture
def reviewed(ymir_tree: MakeTree) -> Tree:
    tree = ymir_tree(config=FORM)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    (tree.root / "output.txt").write_text(outcome.output, encoding="utf-8")
    return tree


def test_a_training_ends_with_the_labels_that_it_doubts(reviewed: Tree):
    output = (reviewed.root / "output.txt").read_text(encoding="utf-8")
    assert re.search(r"label review: of 11 labels, \d+ (is|are) probably wrong or missing \(score 0\.5 or more", output)
    assert f"labels to look at, the likeliest first: {reviewed.out_dir / FILE_NAME}" in output
    rows = read_label_review(reviewed.out_dir / FILE_NAME)
    assert rows is not None
    listed = {line.split("\t")[0] for name in ("train", "val") for line in reviewed.index_lines(name)}
    assert {row.image for row in rows} <= listed
    assert "Suspicious labels" in (reviewed.out_dir / "report.html").read_text(encoding="utf-8")


def test_the_best_stage_carries_the_statistics(reviewed: Tree):
    packed = read_training_result(reviewed.out_dir / "models", "2.5.0")
    assert STATISTICS in packed.best.files
    statistics = read_training_statistics(reviewed.out_dir / "models" / STATISTICS)
    assert {one.name: one.boxes for one in statistics.classes} == {"brick": 3, "leaf": 2, "sky": 2}
    assert (statistics.images, statistics.images_without_objects) == (6, 1)


def test_a_training_that_is_killed_in_its_review_ends_with_the_same_bytes(ymir_tree: MakeTree, reviewed: Tree):
    """The weights are there; the next start resumes behind the last step and makes the pass again."""
    tree = ymir_tree(config=FORM, folder="killed")
    run_killed_in_review(tree)
    outcome = run_start(tree.env_file)
    assert outcome.status == 0, outcome.output
    assert "resuming from step 24 of 24" in outcome.output
    assert files_of(tree) == files_of(reviewed)


def run_killed_in_review(tree: Tree) -> None:
    running = start_script("start.py", tree.env_file)
    running.wait_for_text(f"loaded {tree.out_dir / 'models' / 'iter_'}")  # by the review: nothing else loads a stage
    running.kill()
    assert not (tree.out_dir / "train-summary.json").exists()


def test_without_the_review_there_is_no_list(ymir_tree: MakeTree):
    tree = ymir_tree(config={**FORM, "label_review": "skip"})
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert not (tree.out_dir / FILE_NAME).exists()
    assert "label review" not in outcome.output
    assert (tree.out_dir / "models" / STATISTICS).is_file(), "counts are written in any case"
