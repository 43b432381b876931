"""The parts of the scores of a ranking, collected one by one and written in the order of choice."""

from __future__ import annotations

import pytest

from tests.conftest import MakeTree
from tests.task_runs import RectangleTask, task_run
from ymir_detectron2.mining.explanation import ClassPart, ScoreParts
from ymir_detectron2.results.mining_explanations import MOST_CLASSES, MOST_SHOWN
from ymir_detectron2.results.mining_parts import FILE_NAME, MOST_ROWS, PartsRow, read_parts
from ymir_detectron2.tasks.score_parts import PoolParts

CLASS_NAMES = ("cat", "dog", "owl")


def class_part(class_id: int, gain: float, before: float = 0.0) -> ClassPart:
    return ClassPart(class_id, evidence=0.5, weight=1.5, before=before, gain=gain)


def parts(
    *classes: ClassPart, novelty: float | None = 0.8, nearest: int | None = None, nothing: bool = False
) -> ScoreParts:
    return ScoreParts(sum(one.gain for one in classes), novelty, nearest, nothing, classes, before_total=30.0)


@pytest.fixture
def task(ymir_tree: MakeTree) -> RectangleTask:
    """Candidates 0 to 99; the last one has the file name of the first."""
    tree = ymir_tree("mining")
    assets = [f"/in/assets/{number}.jpg" for number in range(99)]
    tree.write_index("candidate", [*assets, "/in/assets/other/0.jpg"])
    return RectangleTask(task_run(tree))


def test_rows_are_those_of_the_result_in_the_order_of_choice(task: RectangleTask):
    pool = PoolParts(CLASS_NAMES)
    pool.add(7, 0.72, parts(class_part(1, 0.5), class_part(0, 0.4)))
    pool.add(99, 0.3, parts(class_part(1, 0.4)))  # its name is taken: the result does not list it
    pool.add(3, 0.2, parts(class_part(2, 0.25), nearest=7))
    pool.add(0, 0.1, parts(novelty=None, nothing=True))
    pool.write(task)
    assert read_parts(task.run.task.output_dir / FILE_NAME) == [
        PartsRow("/in/assets/7.jpg", 0.72, "dog", False, 0.9, 0.8, ""),
        PartsRow("/in/assets/3.jpg", 0.2, "owl", False, 0.25, 0.8, "7.jpg"),
        PartsRow("/in/assets/0.jpg", 0.1, "", True, 0.0, None, ""),
    ]


def test_the_first_have_every_part(task: RectangleTask):
    pool = PoolParts(CLASS_NAMES)
    pool.add(7, 0.72, parts(class_part(1, 0.5, before=4.9), class_part(0, 0.4, before=5.1), nearest=3))
    ((asset, reason),) = pool.of_first(task.index).items()
    assert asset == "/in/assets/7.jpg"
    assert (reason.gain, reason.novelty, reason.resembles, reason.nothing_found) == (0.9, 0.8, "3.jpg", False)
    assert [(one.class_name, one.evidence, one.weight, one.before, one.gain) for one in reason.classes] == [
        ("dog", 0.5, 1.5, 4.9, 0.5),
        ("cat", 0.5, 1.5, 5.1, 0.4),
    ]
    # of 30 before and three classes an equal share is 10
    assert [one.is_rare for one in reason.classes] == [True, False]


@pytest.mark.parametrize(("before_total", "is_rare"), [(0.0, False), (14.9, False), (15.0, True)])
def test_no_class_is_rare_before_enough_is_labelled_or_chosen(task: RectangleTask, before_total: float, is_rare: bool):
    """Of the first few images any class may be missing by chance."""
    pool = PoolParts(CLASS_NAMES)
    pool.add(7, 0.72, parts(class_part(1, 0.5))._replace(before_total=before_total))
    assert pool.of_first(task.index)["/in/assets/7.jpg"].classes[0].is_rare == is_rare


def test_memory_and_files_are_bounded(task: RectangleTask):
    pool = PoolParts([f"class {number}" for number in range(50)])
    many = parts(*(class_part(number, 1.0) for number in range(50)))
    for number in range(MOST_ROWS + 10):
        pool.add(number % 99, 0.5, many)
    pool.write(task)
    assert len(read_parts(task.run.task.output_dir / FILE_NAME)) == MOST_ROWS
    of_first = pool.of_first(task.index)
    assert len(of_first) == MOST_SHOWN
    assert {len(one.classes) for one in of_first.values()} == {MOST_CLASSES}


def test_images_are_called_unlike_and_alike_by_the_novelties_of_the_pool(task: RectangleTask):
    """Distances have no scale of their own: quarters of the pool decide."""
    pool = PoolParts(CLASS_NAMES)
    for number, novelty in enumerate([None, 0.4, 0.3, 0.2, 0.1]):
        pool.add(number, 0.5, parts(class_part(1, 0.5), novelty=novelty))
    words = [(one.is_unlike, one.is_alike) for one in pool.of_first(task.index).values()]
    assert words == [(False, False), (True, False), (False, False), (False, False), (False, True)]


def test_images_of_equal_novelty_are_neither(task: RectangleTask):
    pool = PoolParts(CLASS_NAMES)
    for number in range(9):
        pool.add(number, 0.5, parts(class_part(1, 0.5), novelty=1.0))
    assert not any(one.is_unlike or one.is_alike for one in pool.of_first(task.index).values())
