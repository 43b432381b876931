"""The estimate of what is left of a training: in proportion to time, never backwards, never at the end before it."""

from __future__ import annotations

import itertools
from typing import Iterator

import pytest

from tests.tiny_training import config
from ymir_detectron2.training.time_left import TimeLeft, TrainingCosts, training_costs
from ymir_detectron2.training.training_plan import TrainingPlan


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


def training(
    plan: TrainingPlan, costs: TrainingCosts, *, step_s: float, evaluation_s: float, tail_s: float = 0.0, begin: int = 0
) -> Iterator[tuple[float, TimeLeft]]:
    """Yield the seconds of a training that have passed, and the estimate, after each step and each evaluated image.

    Args:
        tail_s: of an evaluation, after its last image.
        begin: steps of an earlier process.
    """
    clock = Clock()
    time_left = TimeLeft(plan, costs, clock)
    time_left.begin(begin, begin - begin % max(1, plan.eval_period))
    for step in range(begin + 1, plan.end_step + 1):
        clock.now_s += step_s
        time_left.add_step(step, step_s)
        yield clock.now_s - 500, time_left
        if plan.is_evaluation(step):
            time_left.begin_evaluation()
            for _ in range(costs.evaluation_images):
                clock.now_s += (evaluation_s - tail_s) / costs.evaluation_images
                time_left.add_evaluated_image()
                yield clock.now_s - 500, time_left
            clock.now_s += tail_s
            time_left.end_evaluation()


def test_nothing_is_known_before_the_first_step():
    time_left = TimeLeft(TrainingPlan(10, 5), TrainingCosts(4, 2.0), Clock())
    assert (time_left.left_s, time_left.done, time_left.seconds_per_evaluation) == (None, 0.0, None)


def test_the_first_step_says_nothing_about_the_others():
    time_left = TimeLeft(TrainingPlan(11, 0), TrainingCosts(4, 0.0), Clock())
    time_left.add_step(1, 100.0)
    assert time_left.left_s == 1000.0  # unless there is no other
    time_left.add_step(2, 1.0)
    assert time_left.left_s == 9.0


def test_a_step_takes_the_mean_of_the_recent_ones():
    """The median of steps of which every fourth waits for images is that of those which do not wait."""
    time_left = TimeLeft(TrainingPlan(10_000, 0), TrainingCosts(4, 0.0), Clock())
    for step, seconds in enumerate(itertools.chain([9.0] * 100, [0.1, 0.1, 0.1, 1.7] * 25), start=1):
        time_left.add_step(step, seconds)
    assert time_left.seconds_per_step == pytest.approx(0.5)


@pytest.mark.parametrize("estimate", [0.2, 1.0, 5.0], ids=["too short", "right", "too long"])
@pytest.mark.parametrize("begin", [0, 37])
def test_progress_is_in_proportion_to_time_once_an_evaluation_was_timed(estimate: float, begin: int):
    """An evaluation takes 60 s and a step 1 s, so that half of the time goes into evaluations."""
    plan, costs = TrainingPlan(120, 20), TrainingCosts(50, 60 * estimate, end_s=30)
    total_s = 120 + 6 * 60 + 30
    before_s = begin + begin // 20 * 60
    highest = 0.0
    for passed_s, time_left in training(plan, costs, step_s=1.0, evaluation_s=60, tail_s=12, begin=begin):
        done = time_left.done
        assert highest <= done < 1
        highest = done
        left_s = time_left.left_s
        assert left_s is not None
        if time_left.is_evaluation_measured or estimate == 1:
            assert done == pytest.approx((before_s + passed_s) / total_s, abs=0.1 if estimate > 1 else 0.03)
            assert left_s == pytest.approx(total_s - before_s - passed_s, rel=0.05)
    assert highest == pytest.approx((total_s - 30) / total_s, abs=0.05)  # the export is to come


def test_the_pace_of_its_images_corrects_the_estimate_within_the_first_evaluation():
    plan, costs = TrainingPlan(100, 50), TrainingCosts(200, 1.0)
    for passed_s, time_left in training(plan, costs, step_s=1.0, evaluation_s=1000, tail_s=200):
        if 100 < passed_s < 1000 and not time_left.is_evaluation_measured:
            assert time_left.left_s == pytest.approx(100 + 2000 - passed_s, rel=0.02)
    assert time_left.left_s is not None


def test_after_the_last_step_the_evaluation_is_left_and_not_nothing():
    plan, costs = TrainingPlan(10, 5), TrainingCosts(100, 30.0, end_s=5)
    at_last_step = [
        time_left.left_s
        for passed_s, time_left in training(plan, costs, step_s=2.0, evaluation_s=300)
        if passed_s == 320
    ]
    assert at_last_step == [305.0]


def test_an_evaluation_that_takes_longer_than_the_one_before_is_not_over_before_it_ends():
    clock = Clock()
    time_left = TimeLeft(TrainingPlan(2, 1), TrainingCosts(10, 1.0), clock)
    for step, image_s in ((1, 1.0), (2, 100.0)):
        time_left.add_step(step, 1.0)
        time_left.begin_evaluation()
        for _ in range(9):
            clock.now_s += image_s
            time_left.add_evaluated_image()
        left_s = time_left.left_s
        time_left.end_evaluation()
    assert left_s is not None
    assert left_s > 100


def test_many_images_per_process_do_not_make_more_than_all():
    time_left = TimeLeft(TrainingPlan(2, 1), TrainingCosts(2, 1.0), Clock())
    time_left.begin_evaluation()
    for _ in range(5):
        time_left.add_evaluated_image()
    assert time_left.evaluated_share == 1.0


PLAIN = {"num_val_images": 100, "world_size": 1, "has_ema": False, "has_losses": False, "has_export": False}
CFG = {"INPUT.MIN_SIZE_TRAIN": (800,), "INPUT.MIN_SIZE_TEST": 800, "SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 90,
       "TEST.EVAL_PERIOD": 30}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "options", "steps", "images"),
    [
        # 100 images at 0.4 of the time of a training image are 40 of them: 10 steps of 4
        ({}, {}, 10.0, 100),
        ({}, {"has_ema": True}, 20.0, 200),
        ({}, {"has_losses": True}, 15.0, 150),
        ({}, {"world_size": 4}, 10.0, 25),
        ({"INPUT.MIN_SIZE_TEST": 400}, {}, 2.5, 100),
        ({"INPUT.MIN_SIZE_TRAIN": (300, 500), "INPUT.MIN_SIZE_TEST": 400}, {}, 10.0, 100),
        ({"INPUT.MIN_SIZE_TEST": 0}, {}, 10.0, 100),
        ({"TEST.AUG.ENABLED": True, "TEST.AUG.MIN_SIZES": (400, 800, 1200)}, {}, 60.0, 100),
        ({}, {"views_per_image": 7.5}, 75.0, 100),  # progress is counted in images, tiles or not
    ],
)
def test_an_evaluation_is_estimated_in_steps(values: dict, options: dict, steps: float, images: int):
    costs = training_costs(config().merged({**CFG, **values}, "test"), **{**PLAIN, **options})
    assert costs.steps_per_evaluation == pytest.approx(steps)
    assert costs.evaluation_images == images


def test_an_export_is_part_of_the_end():
    ends = [training_costs(config(), **{**PLAIN, "has_export": has_export}).end_s for has_export in (False, True)]
    assert 0 < ends[0] < ends[1]
