"""The order of all candidates: whole tasks with the small detector, whose images come in any order and any number."""

from __future__ import annotations

import random
import shutil
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MakeTree, Tree
from tests.rectangle_detector import CLASS_NAMES
from tests.task_runs import RectangleTask, draw_candidates, give_model, task_run
from ymir_detectron2.contract.model_package import STATISTICS_NAME
from ymir_detectron2.errors import ModelError, StoppedError
from ymir_detectron2.evaluation.training_statistics import summarise_training
from ymir_detectron2.inference.predict import PredictionHooks
from ymir_detectron2.mining.evidence import peaks_of_row
from ymir_detectron2.mining.explanation import ScoreParts
from ymir_detectron2.mining.peaks import NAME, extract_peaks, labelled_features
from ymir_detectron2.tasks import set_order
from ymir_detectron2.tasks.mine import _start_scoring
from ymir_detectron2.tasks.resumable_prediction import ResumablePrediction

COUNT = 23
EMPTY = {number for number in range(COUNT) if number % 5 == 4}


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    return make(ymir_tree)


def make(ymir_tree: MakeTree, unreadable: tuple[int, ...] = (), **config: Any) -> Tree:
    tree = ymir_tree("mining", config={"mining_algorithm": "submodular", **config})
    give_model(tree)
    draw_candidates(tree, COUNT, unreadable)
    return tree


def order(tree: Tree, picks: list[tuple[int, float, ScoreParts]] | None = None) -> array[float]:
    task = RectangleTask(task_run(tree))
    prediction = ResumablePrediction(task, "mining", "mined")
    prediction.run(lambda: _start_scoring(task))
    return set_order.order_together(task, prediction, lambda *pick: None if picks is None else picks.append(pick))


def rows_of(tree: Tree) -> list[dict[str, Any]]:
    prediction = ResumablePrediction(RectangleTask(task_run(tree)), "mining", "mined")
    prediction.run(lambda: _start_scoring(prediction._task))
    return [row for _, _, row in prediction.rows()]


def ranked(tree: Tree) -> list[str]:
    """Names of the candidates as result.tsv sorts them."""
    names = [Path(name).stem for name in tree.candidates()]
    return [name for _, name in sorted((-score, name) for score, name in zip(order(tree), names))]


def write_statistics(tree: Tree, images_per_class: list[int], **more: Any) -> Path:
    path = tree.in_dir / "models" / STATISTICS_NAME
    statistics = summarise_training(
        more.pop("class_names", CLASS_NAMES), boxes_per_class=images_per_class, images_per_class=images_per_class,
        ap50_per_class=more.pop("ap50", [0.5] * 3), images=100, images_without_objects=0, **more,
    )  # fmt: skip
    path.write_bytes(statistics.as_bytes())
    return path


def test_every_image_is_picked_once_with_scores_that_do_not_increase(tree: Tree):
    picks: list[tuple[int, float, ScoreParts]] = []
    scores = order(tree, picks)
    assert sorted(number for number, _, _ in picks) == list(range(COUNT))
    assert [score for _, score, _ in picks] == sorted((score for _, score, _ in picks), reverse=True)
    assert all(scores[number] == score for number, score, _ in picks)
    assert {number for number, _, parts in picks if parts.nothing_found} == EMPTY
    before = set()
    for number, _, parts in picks:
        assert parts.nearest is None or parts.nearest in before, "what it resembles was chosen before"
        before.add(number)


def test_the_order_of_the_index_changes_nothing(tree: Tree):
    expected = ranked(tree)
    candidates = tree.candidates()
    for seed in range(3):
        tree.write_index("candidate", random.Random(seed).sample(candidates, len(candidates)))
        assert ranked(tree) == expected


def test_equal_images_come_in_the_order_of_their_names(tree: Tree):
    """Copies of one image, of which the first is worth most; the others are worth the same."""
    folder = tree.in_dir / "assets" / "drawn"
    for number in range(1, COUNT):
        shutil.copy(folder / "000.png", folder / f"{number:03}.png")
    tree.write_index("candidate", tree.candidates()[::-1])
    assert ranked(tree) == [f"{number:03}" for number in range(COUNT)]


def test_unreadable_images_and_repeated_names_take_no_part(ymir_tree: MakeTree):
    tree = make(ymir_tree, unreadable=(3, 9))
    (tree.in_dir / "assets" / "other").mkdir()
    shutil.copy(tree.in_dir / "assets" / "drawn" / "000.png", tree.in_dir / "assets" / "other" / "001.png")
    tree.write_index("candidate", [*tree.candidates(), "/in/assets/other/001.png"])
    picks: list[tuple[int, float, ScoreParts]] = []
    scores = order(tree, picks)
    assert [number for number, score in enumerate(scores) if score == -2] == [3, 9, COUNT]
    assert {number for number, _, _ in picks} == set(range(COUNT)) - {3, 9}


def test_nothing_is_ranked_where_the_only_readable_image_repeats_a_name(ymir_tree: MakeTree):
    tree = make(ymir_tree, unreadable=(1,))
    (tree.in_dir / "assets" / "other").mkdir()
    shutil.copy(tree.in_dir / "assets" / "drawn" / "000.png", tree.in_dir / "assets" / "other" / "001.png")
    tree.write_index("candidate", ["/in/assets/drawn/001.png", "/in/assets/other/001.png"])
    assert list(order(tree)) == [-2.0, -2.0]


@pytest.mark.parametrize(("empty_images", "first_are_empty"), [("first", True), ("last", False)])
def test_empty_images_come_first_or_last(ymir_tree: MakeTree, empty_images: str, first_are_empty: bool):
    tree = make(ymir_tree, empty_images=empty_images)
    is_empty = [int(name) in EMPTY for name in ranked(tree)]
    assert is_empty == sorted(is_empty, reverse=first_are_empty)


def test_empty_images_are_neither_all_first_nor_all_last_by_themselves(tree: Tree):
    """Dark images differ: one of them is a little brighter, which may be an object."""
    path = tree.in_dir / "assets" / "drawn" / "004.png"
    Image.open(path).point(lambda value: value + 60).save(path)
    is_empty = [int(name) in EMPTY for name in ranked(tree)]
    assert is_empty not in (sorted(is_empty), sorted(is_empty, reverse=True))


@pytest.mark.parametrize("empty_images", ["by_score", "first", "last"])
def test_what_is_behind_the_pool_follows_by_its_own_gain(
    ymir_tree: MakeTree, monkeypatch: pytest.MonkeyPatch, empty_images: str
):
    tree = make(ymir_tree, empty_images=empty_images)
    whole = ranked(tree)
    monkeypatch.setattr(set_order, "MOST_POOLED", 8)
    picks: list[tuple[int, float, ScoreParts]] = []
    scores = order(tree, picks)
    assert len(picks) == 8
    pooled = {number for number, _, _ in picks}
    least = min(score for _, score, _ in picks if score > 0)  # 0: a copy, which comes later
    assert all(scores[number] <= least for number in range(COUNT) if number not in pooled)
    assert min(scores) >= 0
    is_empty = [int(name) in EMPTY for name in ranked(tree)]
    if empty_images != "by_score":
        assert is_empty == sorted(is_empty, reverse=empty_images == "first")
    assert len(whole) == len(set(ranked(tree)))


def test_what_is_behind_the_pool_comes_before_copies_in_it(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    """Seven copies of the best image fill the pool: six of them add nothing. The rest is not compared, and comes by
    what it adds to nothing, the sum of its probabilities."""
    rows = rows_of(tree)
    own = [float(peaks_of_row(row).probs.astype(np.float64).sum()) for row in rows]
    best = int(np.argmax(own))
    folder, copies = tree.in_dir / "assets" / "drawn", [f"{number:03}" for number in range(900, 906)]
    for name in copies:
        shutil.copy(folder / f"{best:03}.png", folder / f"{name}.png")
    tree.write_index("candidate", [*tree.candidates(), *(f"/in/assets/drawn/{name}.png" for name in copies)])
    monkeypatch.setattr(set_order, "MOST_POOLED", 7)
    scores = order(tree)
    assert list(scores[COUNT:]) == [0.0] * 6
    expected = [best, *sorted((number for number in range(COUNT) if number != best), key=lambda i: (-own[i], i))]
    assert sorted(range(COUNT), key=lambda i: (-scores[i], i)) == expected
    assert min(scores[:COUNT]) > 0


def test_a_pool_of_all_candidates_and_a_larger_one_are_the_same(tree: Tree, monkeypatch: pytest.MonkeyPatch):
    expected = list(order(tree))
    monkeypatch.setattr(set_order, "MOST_POOLED", COUNT)
    assert list(order(tree)) == expected


def test_a_network_without_score_maps_orders_by_its_boxes(tree: Tree, caplog: pytest.LogCaptureFixture):
    """All images have a place; those without a box the last ones. The threshold of the detector is lowered for it, and
    what counts as empty, and what is a box of the result, is as before."""
    caplog.set_level("INFO")
    task = RectangleTask(task_run(tree))
    detector = task.rectangle_detector
    detector.has_dense_outputs, detector.score_threshold = False, 0.25
    prediction = ResumablePrediction(task, "mining", "mined")
    prediction.run(lambda: _start_scoring(task))
    assert detector.score_threshold == 0.005
    picks: list[tuple[int, float, ScoreParts]] = []
    set_order.order_together(task, prediction, lambda *pick: picks.append(pick))
    assert len(picks) == COUNT
    assert caplog.text.count("the network has no score maps") == 1
    assert all(parts.novelty is None for _, _, parts in picks)
    dark = {number for number, _, row in prediction.rows() if row["score"] <= 0.25}
    assert {number for number, _, parts in picks if parts.nothing_found} == dark


def test_without_statistics_a_task_says_so_once(tree: Tree, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    order(tree)
    assert sum("training-statistics.json" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("content", ["{", '{"version": 1}', "null"])
def test_damaged_statistics_are_one_warning(tree: Tree, caplog: pytest.LogCaptureFixture, content: str):
    expected = list(order(tree))
    (tree.in_dir / "models" / STATISTICS_NAME).write_text(content)
    caplog.clear()
    assert list(order(tree)) == expected
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert STATISTICS_NAME in warning.message
    assert "going on without it" in warning.message


def test_labelled_images_lower_the_gains_of_their_classes(tree: Tree):
    """All rectangles are red, the third class."""
    without: list[tuple[int, float, ScoreParts]] = []
    order(tree, without)
    write_statistics(tree, [0, 0, 50])
    found: list[tuple[int, float, ScoreParts]] = []
    order(tree, found)
    assert found[0][1] < without[0][1]
    red = next(part for part in found[0][2].classes if part.class_id == 2)
    assert red.before == 50
    assert red.weight == 1.5


def test_a_class_without_a_validation_box_or_of_another_name_counts_as_one_that_is_not_known(tree: Tree):
    write_statistics(tree, [9, 9, 9], class_names=("blue", "green", "violet"), ap50=[float("nan"), 0.1, 0.2])
    picks: list[tuple[int, float, ScoreParts]] = []
    order(tree, picks)
    first = {part.class_id: part for _, _, parts in picks[::-1] for part in parts.classes}  # of each class
    assert {class_id: (part.weight, part.before) for class_id, part in first.items()} == {0: (1.0, 9.0), 2: (1.0, 0.0)}
    assert picks[0][2].before_total == 18.0


def test_images_like_labelled_ones_come_later(tree: Tree):
    """The first image of the order is labelled: another one takes its place."""
    write_statistics(tree, [1, 1, 1])
    first = int(ranked(tree)[0])
    task = RectangleTask(task_run(tree))
    hooks = PredictionHooks(extract_peaks, lambda names, tiles, detections, extracted: extracted)
    (image,) = task.predict_images(task.index.entries_of([first]), hooks, task.tiling)
    write_statistics(tree, [1, 1, 1], features=labelled_features([image.tile_scores], 100), feature_name=NAME)
    picks: list[tuple[int, float, ScoreParts]] = []
    order(tree, picks)
    assert picks[0][0] != first
    novelties = {number: parts.novelty for number, _, parts in picks}
    assert novelties[first] == 0.0


@pytest.mark.parametrize(("name", "dim"), [("another computation", 3), (NAME, 4)])
def test_features_of_another_computation_or_network_are_not_used(tree: Tree, name: str, dim: int):
    write_statistics(tree, [1, 1, 1])
    expected = list(order(tree))
    write_statistics(tree, [1, 1, 1], features=np.eye(dim, dtype=np.int8), feature_name=name)
    assert list(order(tree)) == expected


def test_a_stop_is_obeyed_while_candidates_are_ordered(tree: Tree):
    task = RectangleTask(task_run(tree))
    prediction = ResumablePrediction(task, "mining", "mined")
    prediction.run(lambda: _start_scoring(task))

    def stop(*pick: Any) -> None:
        task.run.stop.name = "SIGTERM"

    with pytest.raises(StoppedError, match="while candidates were ordered"):
        set_order.order_together(task, prediction, stop)


def test_rows_of_another_number_of_classes_are_refused(tree: Tree):
    order(tree)
    task = RectangleTask(task_run(tree))
    prediction = ResumablePrediction(task, "mining", "mined")
    prediction.run(lambda: _start_scoring(task))
    task.rectangle_detector.class_names = ("blue",)
    with pytest.raises(ModelError, match=r"more than the 1 classes of the model; remove this folder"):
        set_order.order_together(task, prediction, lambda *pick: None)
