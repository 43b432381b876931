"""Why images come first: the algorithms run once more, with the same scores, and say which boxes decided."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MakeTree, Tree
from tests.rectangle_detector import GREEN, RED, draw, find_rectangles
from tests.task_runs import RectangleTask, draw_candidates, task_run
from ymir_detectron2.box_geometry import pairwise_iou
from ymir_detectron2.contract.mining_result import read_mining_result, write_mining_result
from ymir_detectron2.inference.predict import PredictionHooks
from ymir_detectron2.mining.algorithms import UNREADABLE_SCORE
from ymir_detectron2.mining.explanation import ClassPart, ScoreParts
from ymir_detectron2.results.mining_explanations import FILE_NAME, MOST_SHOWN, BoxReason, ImageReason, read_explanations
from ymir_detectron2.results.mining_parts import FILE_NAME as PARTS_FILE_NAME
from ymir_detectron2.results.mining_parts import read_parts
from ymir_detectron2.tasks.explain import LEAST_IMAGES, add_explanations, build_task_algorithm, explain
from ymir_detectron2.tasks.mine import mine
from ymir_detectron2.tasks.prediction_task import PredictionTask
from ymir_detectron2.tasks.score_parts import PoolParts

ALGORITHMS = ("cald", "cald_legacy", "entropy", "margin", "aldd")


def mined(tree: Tree) -> RectangleTask:
    """The task after its result was written, as `mine` does it."""
    task = RectangleTask(task_run(tree))
    algorithm = build_task_algorithm(task)
    entries = list(task.index.entries(0, len(task.index)))
    hooks = PredictionHooks(algorithm.extract, algorithm.score_tiles)
    images = task.predict_images(entries, hooks, task.tiling)
    scores = [
        (entry.asset, algorithm.score_image(entry.asset, image.detections, image.tile_scores))
        if image.detections is not None else (entry.asset, UNREADABLE_SCORE)
        for entry, image in zip(entries, images)
    ]  # fmt: skip
    write_mining_result(task.run.task.mining_result, scores)
    return task


def reasons(task: PredictionTask) -> dict[str, ImageReason]:
    add_explanations(task)
    explanations = read_explanations(task.run.task.output_dir / FILE_NAME)
    assert explanations is not None
    assert explanations.algorithm == task.run.settings.mining_algorithm
    return {reason.asset: reason for reason in explanations.images}


@pytest.mark.parametrize("tile_size", [0, 32])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_score_of_an_explanation_is_that_of_the_result(ymir_tree: MakeTree, algorithm: str, tile_size: int):
    tree = ymir_tree("mining", config={"mining_algorithm": algorithm, "tile_size": tile_size})
    draw_candidates(tree, 30, unreadable=[7])
    task = mined(tree)
    explained = reasons(task)
    ranked = list(read_mining_result(task.run.task.mining_result))
    assert list(explained) == [asset for asset, _ in ranked][: len(explained)]
    assert {asset: reason.score for asset, reason in explained.items()} == {
        asset: pytest.approx(score, abs=1e-6) for asset, score in ranked[: len(explained)]
    }
    assert sum(bool(reason.facts) for reason in explained.values()) >= LEAST_IMAGES


def explain_one(ymir_tree: MakeTree, image: np.ndarray, **config: Any) -> ImageReason:
    tree = ymir_tree("mining", config=config)
    (tree.in_dir / "assets" / "one.png").parent.mkdir(exist_ok=True)
    Image.fromarray(image[:, :, ::-1]).save(tree.in_dir / "assets" / "one.png")
    tree.write_index("candidate", ["/in/assets/one.png"])
    (reason,) = explain(RectangleTask(task_run(tree)), ["/in/assets/one.png"], 1)
    return reason


def is_on_the_green_one(box: BoxReason) -> bool:
    """A tile may hold half of it."""
    x1, y1, x2, y2 = box.xyxy
    return 171 < x1 < x2 - 10 < 239 and 31 < y1 < y2 - 10 < 99


@pytest.mark.parametrize("tile_size", [0, 100])
def test_cald_names_the_box_and_its_match_carried_back_into_the_image(ymir_tree: MakeTree, tile_size: int):
    """Of two rectangles the dim one is least consistent: near 1 + 0.35 - 1.3 against 1 + 0.9 - 1.3."""
    image = draw((40, 30, 100, 90, RED, 250), (180, 40, 240, 100, GREEN, 90), height=200, width=280)
    reason = explain_one(ymir_tree, image, mining_algorithm="cald", tile_size=tile_size)
    assert [name for name, _ in reason.facts] == ["flip", "cutout", "resize", "rotate"]
    assert reason.score == pytest.approx(-np.mean([value for _, value in reason.facts]), abs=1e-5)
    matches = [box for box in reason.boxes if box.augmentation]
    assert [box.augmentation for box in matches] == ["flip", "cutout", "resize", "rotate"]
    for match in matches:
        assert match.class_name == "green"
        assert is_on_the_green_one(match), match
    plain = [box for box in reason.boxes if not box.augmentation]
    assert {box.class_name for box in plain} == {"green"}
    assert all(map(is_on_the_green_one, plain))


def test_the_iou_that_cald_states_is_that_of_the_boxes_that_are_drawn(ymir_tree: MakeTree):
    image = draw((41, 33, 97, 92, RED, 130), (180, 40, 247, 101, GREEN, 90), height=197, width=283)
    reason = explain_one(ymir_tree, image, mining_algorithm="cald")
    pairs = [(a, b) for a, b in zip(reason.boxes, reason.boxes[1:]) if b.augmentation]
    assert len(pairs) == 4
    for box, match in pairs:
        drawn_iou = pairwise_iou(np.array([box.xyxy]), np.array([match.xyxy]))[0, 0]
        assert drawn_iou == pytest.approx(match.value, abs=5e-3), match.augmentation


def test_an_image_without_a_box_has_no_facts(ymir_tree: MakeTree):
    reason = explain_one(ymir_tree, draw(), mining_algorithm="cald")
    assert (reason.score, list(reason.facts), list(reason.boxes)) == (0.0, [], [])


def test_entropy_and_margin_name_the_boxes_that_add_most(ymir_tree: MakeTree):
    image = draw((20, 20, 80, 80, RED, 255), (100, 20, 160, 80, GREEN, 128), height=100, width=180)
    (dim, bright) = sorted(find_rectangles([image])[0].class_probs.tolist(), key=max)
    entropy = explain_one(ymir_tree, image, mining_algorithm="entropy")
    values = [sum(-p * math.log2(p) for p in probs if p) for probs in (dim, bright)]
    assert [box.value for box in entropy.boxes] == pytest.approx(sorted(values, reverse=True), abs=0.02)
    assert entropy.facts == [("entropy of all boxes, bits", pytest.approx(sum(values), abs=0.02))]
    assert entropy.boxes[0].class_probs[0] == ("green", pytest.approx(max(dim), abs=0.01))
    assert entropy.boxes[0].xyxy == pytest.approx((100, 20, 160, 80), abs=3)
    margin = explain_one(lambda *args, **given: ymir_tree(*args, folder="b", **given), image, mining_algorithm="margin")
    assert margin.score == pytest.approx(margin.boxes[0].value, abs=1e-5)
    assert margin.boxes[0].class_name == "green"


def test_the_parts_of_aldd_add_up_to_the_score(ymir_tree: MakeTree):
    image = draw((20, 20, 80, 80, RED, 255), (100, 20, 160, 80, GREEN, 128), height=100, width=180)
    reason = explain_one(ymir_tree, image, mining_algorithm="aldd", class_distribution_scores="1,0.5,2")
    by_class = [value for name, value in reason.facts if name.startswith("class ")]
    by_level = [value for name, value in reason.facts if name.startswith("pyramid level ")]
    assert len(by_class) == 3
    assert sum(by_class) == pytest.approx(reason.score, abs=1e-5)
    assert sum(by_level) == pytest.approx(reason.score, abs=1e-5)
    assert list(reason.boxes) == []


def test_no_more_images_are_explained_than_cost_a_tenth(ymir_tree: MakeTree):
    """Every fifth candidate has no box, comes first, and costs one pass: it is not counted."""
    tree = ymir_tree("mining")
    draw_candidates(tree, 60)
    task = mined(tree)
    task.rectangle_detector.chunks.clear()
    explained = reasons(task)
    assert sum(not reason.facts for reason in explained.values()) == 12
    assert sum(bool(reason.facts) for reason in explained.values()) == LEAST_IMAGES
    # chunks of four: twelve images without a box, eight with one and those that share its chunk, four passes more each
    assert sum(task.rectangle_detector.chunks) <= 12 + 5 * (LEAST_IMAGES + 4) < 60 * 5
    assert len(explained) <= MOST_SHOWN


def test_whatever_fails_is_one_warning(ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture):
    tree = ymir_tree("mining")
    draw_candidates(tree, 6)
    task = mined(tree)

    class Broken(RectangleTask):
        def detector(self) -> Any:
            raise RuntimeError("CUDA error:\nout of luck")

    add_explanations(Broken(task.run))
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == "why the first images were chosen is left out: RuntimeError: CUDA error: out of luck"
    assert not (tree.out_dir / FILE_NAME).exists()


def test_images_that_vanished_since_are_left_out(ymir_tree: MakeTree):
    tree = ymir_tree("mining")
    draw_candidates(tree, 6)
    task = mined(tree)
    (tree.in_dir / "assets" / "drawn" / "002.png").unlink()
    assert "/in/assets/drawn/002.png" not in reasons(task)


def test_parts_of_a_ranking_are_told_of_all_that_are_shown_and_boxes_of_those_that_are_predicted_again(
    ymir_tree: MakeTree,
):
    """Their scores are those of the ranking, whatever an image would have by itself."""
    tree = ymir_tree("mining", config={"mining_algorithm": "entropy"})
    draw_candidates(tree, 60)
    task = RectangleTask(task_run(tree))
    names = task.rectangle_detector.class_names
    pool = PoolParts(names)
    order = [number for number in range(60) if number % 5 != 4]
    for place, number in enumerate(order):
        part = ClassPart(0, evidence=0.5, weight=1.0, before=float(place), gain=0.5)
        nearest = order[place - 1] if place else None
        pool.add(number, 9.0 - place / 100, ScoreParts(0.5, 0.8, nearest, False, [part], before_total=99.0))
    assets = {number: f"/in/assets/drawn/{number:03}.png" for number in order}
    listed = [(asset, 9.0 - place / 100) for place, asset in enumerate(assets.values())]
    write_mining_result(task.run.task.mining_result, listed)
    add_explanations(task, pool)
    explanations = read_explanations(tree.out_dir / FILE_NAME)
    assert explanations is not None
    assert [(reason.asset, reason.score) for reason in explanations.images] == listed[:MOST_SHOWN]
    assert [bool(reason.boxes) for reason in explanations.images] == [True] * LEAST_IMAGES + [False] * (48 - 8)
    second = explanations.images[1].parts
    assert second is not None
    assert (second.resembles, second.classes[0].class_name, second.classes[0].before) == ("000.png", names[0], 1.0)
    assert [row.image for row in read_parts(tree.out_dir / PARTS_FILE_NAME)] == list(assets.values())


def test_an_image_in_which_nothing_is_found_shows_what_it_may_be(ymir_tree: MakeTree):
    """The boxes of a result have 0.9 here and more; those in doubt are told all the same, with their entropy."""
    tree = ymir_tree("mining", config={"mining_algorithm": "submodular"})
    draw_candidates(tree, 3)
    task = RectangleTask(task_run(tree))
    task.rectangle_detector.score_threshold = 0.9
    for reason in explain(task, task_assets(task), 3):
        (box,) = reason.boxes
        assert box.score < 0.9
        expected = -box.score * math.log2(box.score) - (1 - box.score) * math.log2(1 - box.score)
        assert box.value == pytest.approx(expected, abs=1e-5)


def task_assets(task: PredictionTask) -> list[str]:
    return [entry.asset for entry in task.index.entries(0, len(task.index))]


def test_what_an_earlier_task_has_left_is_removed(ymir_tree: MakeTree):
    """Else its reasons, and its table, would be shown for the ranking of another algorithm."""
    tree = ymir_tree("mining", config={"mining_algorithm": "random"})
    draw_candidates(tree, 6)
    for name in (FILE_NAME, PARTS_FILE_NAME):
        (tree.out_dir / name).write_text("of another algorithm")
    mine(task_run(tree))
    assert not (tree.out_dir / FILE_NAME).exists()
    assert not (tree.out_dir / PARTS_FILE_NAME).exists()
