"""Mining as a function: the random baseline, and near-duplicates among the best candidates."""

from __future__ import annotations

import shutil
from array import array

import pytest

from tests.conftest import MakeTree
from tests.platform_reader import read_mining_result
from tests.task_runs import RectangleTask, draw_candidates, task_run
from ymir_detectron2.tasks.mine import mine, move_near_duplicates


def test_random_baseline_opens_neither_images_nor_a_model(ymir_tree: MakeTree):
    tree = ymir_tree("mining", config={"mining_algorithm": "random"})
    tree.write_index("candidate", [f"/in/assets/{number}.jpg" for number in range(100)])
    mine(task_run(tree))
    assert len(read_mining_result(tree.out_dir / "result.tsv", tree.candidates())) == 100
    assert not (tree.out_dir / ".unfinished").exists()


def test_only_the_main_process_writes(ymir_tree: MakeTree):
    tree = ymir_tree("mining", config={"mining_algorithm": "random"})
    mine(task_run(tree, rank=1, world_size=2))
    assert not (tree.out_dir / "result.tsv").exists()


@pytest.fixture
def duplicated(ymir_tree: MakeTree) -> RectangleTask:
    """Eight candidates; numbers 4 to 6 have the pixels of number 0."""
    tree = ymir_tree("mining", config={"diversity_distance": 1e-7, "diversity_pool": 6})
    draw_candidates(tree, 8)
    folder = tree.in_dir / "assets" / "drawn"
    for number in (4, 5, 6):
        shutil.copy(folder / "000.png", folder / f"{number:03}.png")
    return RectangleTask(task_run(tree))


def test_near_duplicates_get_the_score_of_the_last_of_the_pool(duplicated: RectangleTask):
    """The best six are 0 to 5; of them 4 and 5 are copies of 0. Number 6 is a copy outside of the pool."""
    scores = array("d", [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3])
    move_near_duplicates(duplicated, scores)
    assert list(scores) == [0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.4, 0.3]


def test_unreadable_images_are_not_near_anything(duplicated: RectangleTask):
    """An algorithm that needs no images gives them a score like any other; one of them ended the task before."""
    (duplicated.run.task.paths.resolve("/in/assets/drawn/001.png")).write_text("not an image")
    scores = array("d", [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3])
    move_near_duplicates(duplicated, scores)
    assert list(scores) == [0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.4, 0.3]
    assert duplicated.issues.as_dict()["unreadable image"]["count"] == 1


def test_images_that_were_unreadable_for_the_algorithm_are_not_in_the_pool(duplicated: RectangleTask):
    scores = array("d", [-2.0] * 8)
    move_near_duplicates(duplicated, scores)
    assert list(scores) == [-2.0] * 8
    assert duplicated.rectangle_detector.chunks == []
