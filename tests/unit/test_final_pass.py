"""The pass after a training: how many images it may take, which ones, and what it makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.tasks.final_pass import TRAINING, VALIDATION, choose_images
from ymir_detectron2.training.final_pass import MOST_IMAGES, final_pass_images, final_pass_steps, inference_cost

CFG = {"INPUT.MIN_SIZE_TRAIN": (640, 800), "INPUT.MIN_SIZE_TEST": 720, "SOLVER.IMS_PER_BATCH": 4}


def test_an_image_costs_what_its_size_costs():
    """0.4 of an image in training at the same size; an edge that is doubled takes four times as long."""
    assert inference_cost(CFG) == pytest.approx(0.4)
    assert inference_cost({**CFG, "INPUT.MIN_SIZE_TEST": 1440}) == pytest.approx(1.6)
    assert inference_cost({**CFG, "INPUT.MIN_SIZE_TEST": 0}) == pytest.approx(0.4), "images at their own size"


@pytest.mark.parametrize(("steps", "world_size", "images"), [
    (400, 1, 400),  # 1,600 images were trained on; a tenth of their time is that of 160, or of 400 in inference
    (400, 4, 100),  # one of four processes makes the pass, and has trained on a quarter
    (8, 1, 8), (7, 1, 0),  # fewer than eight say nothing
    (1_000_000, 1, MOST_IMAGES),
])  # fmt: skip
def test_the_pass_takes_a_tenth_of_the_time_of_the_steps(steps: int, world_size: int, images: int):
    assert final_pass_images(CFG, steps, world_size) == images


def test_its_cost_in_steps():
    """Of 100 images at 0.4 of a training image each, in steps of four images; of 4 processes, in steps of one each."""
    assert final_pass_steps(CFG, 400, 1, 100) == pytest.approx(10)
    assert final_pass_steps(CFG, 400, 4, 100) == pytest.approx(40)
    assert final_pass_steps(CFG, 400, 1, 10_000) == pytest.approx(0.1 * 400), "a tenth at most"


@pytest.mark.parametrize(("most", "training", "validation"), [
    (1000, list(range(30)), list(range(10))),
    (35, list(range(30)), list(range(0, 10, 2))),
    (15, list(range(0, 30, 2)), []),
    (1, [0], []),
])  # fmt: skip
def test_training_images_come_first_evenly_spaced(most: int, training: list[int], validation: list[int]):
    chosen = choose_images({TRAINING: range(30), VALIDATION: range(10)}, most)
    assert {name: positions.tolist() for name, positions in chosen.items()} == {
        TRAINING: training, VALIDATION: validation,
    }  # fmt: skip


@pytest.mark.parametrize("most", [1, 7, 100, 333.3, 2999, 3000])
def test_never_more_images_than_allowed_and_none_twice(most: float):
    chosen = choose_images({TRAINING: range(2500), VALIDATION: range(500)}, most)
    positions = chosen[TRAINING]
    assert sum(map(len, chosen.values())) <= most
    assert len(np.unique(positions)) == len(positions)
    assert len(positions) < 2 or np.diff(positions).max() <= -(-2500 // len(positions))


def test_an_empty_set():
    chosen = choose_images({TRAINING: range(3), VALIDATION: range(0)}, 10)
    assert [chosen[TRAINING].tolist(), chosen[VALIDATION].tolist()] == [[0, 1, 2], []]
