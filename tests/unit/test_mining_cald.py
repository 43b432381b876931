"""CALD end to end, with a small real detector: it finds coloured rectangles in drawn pictures."""

from __future__ import annotations

from dataclasses import replace
from math import log

import cv2
import numpy as np
import pytest

from ymir_detectron2.engines.base import Detections
from ymir_detectron2.mining.cald import Cald, rng_for

BLUE, GREEN, RED = 0, 1, 2
PINNED = 0.599829864658528


def find_rectangles(images, with_probs: bool = True) -> list:
    """One detection per connected patch of blue, green or red; its score is the brightness of its box."""
    return [_find_in_one(image, with_probs) for image in images]


def _find_in_one(image: np.ndarray, with_probs: bool) -> Detections:
    boxes, probs, classes = [], [], []
    for channel in (BLUE, GREEN, RED):
        mask = ((image[:, :, channel] > 60) & (image.argmax(axis=2) == channel)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        for x, y, w, h, _ in stats[1:count]:
            boxes.append([x, y, x + w, y + h])
            probs.append(image[y : y + h, x : x + w].mean(axis=(0, 1)) / 256)
            classes.append(channel)
    probs = np.array(probs, dtype=np.float32).reshape(-1, 3)
    detections = Detections(
        boxes_xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=probs.max(axis=1, initial=0.0),
        classes=np.array(classes, dtype=np.int64),
        class_probs=probs if with_probs else None,
    )
    return reordered(detections, np.argsort(-detections.scores, kind="stable"))


def reordered(found: Detections, index) -> Detections:
    probs = None if found.class_probs is None else found.class_probs[index]
    return Detections(found.boxes_xyxy[index], found.scores[index], found.classes[index], probs)


def draw(*rectangles, height: int = 96, width: int = 128) -> np.ndarray:
    """A dark picture with (x1, y1, x2, y2, channel, brightness) rectangles."""
    image = np.full((height, width, 3), 20, dtype=np.uint8)
    for x1, y1, x2, y2, channel, brightness in rectangles:
        image[y1:y2, x1:x2, channel] = brightness
    return image


def drawn_set(count: int) -> tuple:
    """Names and pictures of several sizes; the first has nothing in it."""
    rng = np.random.default_rng(7)
    images = [draw()]
    for index in range(1, count):
        height, width = [(96, 128), (128, 96), (80, 80)][index % 3]
        corners = rng.integers(5, 45, size=(1 + index % 4, 2))
        images.append(
            draw(
                *[(x, y, x + 25, y + 20, int(rng.integers(3)), int(rng.integers(80, 256))) for x, y in corners],
                height=height,
                width=width,
            )
        )
    return [f"photos/{index}.jpg" for index in range(count)], images


def scores_of(images, names=None, detect=find_rectangles, seed: int = 0) -> list:
    names = [f"{index}.jpg" for index in range(len(images))] if names is None else names
    return Cald(detect, seed=seed).scores(names, images, detect(images))


def whole_picture(score: float, class_id: int = 0, probs=None):
    """A detector that calls every picture one object, edge to edge: the box of every view is then the whole view."""

    def detect(images) -> list:
        return [
            Detections(
                np.array([[0, 0, image.shape[1], image.shape[0]]], dtype=np.float32),
                np.array([score]),
                np.array([class_id]),
                None if probs is None else np.array([probs]),
            )
            for image in images
        ]

    return detect


JS_9_2 = (0.9 * log(0.9 / 0.55) + 0.1 * log(0.1 / 0.45) + 0.2 * log(0.2 / 0.55) + 0.8 * log(0.8 / 0.45)) / 2
JS_SWAP = 0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5)


@pytest.mark.parametrize(
    ("plain", "altered", "expected"),
    [
        pytest.param(whole_picture(0.9), whole_picture(0.9), -0.6, id="same: |1 + .9 - 1.3|, 4 times / 4"),
        pytest.param(
            whole_picture(0.9), whole_picture(0.2), -abs(1 + 0.55 * (1 - JS_9_2) - 1.3), id="less sure: P = .55"
        ),
        pytest.param(
            whole_picture(0.9, 0), whole_picture(0.9, 1), -abs(1 + 0.9 * (1 - 0.9 * log(2)) - 1.3), id="other class"
        ),
        pytest.param(
            whole_picture(0.9, probs=[0.9, 0.1]),
            whole_picture(0.9, probs=[0.1, 0.9]),
            -abs(1 + 0.9 * (1 - JS_SWAP) - 1.3),
            id="other class by its probabilities",
        ),
    ],
)
def test_score_by_hand(plain, altered, expected):
    image = draw()
    assert Cald(altered).scores(["a.jpg"], [image], plain([image])) == [pytest.approx(expected, abs=1e-12)]


def test_score_is_the_mean_over_four_views():
    """Found again in one of the four (the smaller one), in the others nothing: -(0.6 + 0 + 0 + 0) / 4."""
    image = draw()

    def only_in_the_smaller(views) -> list:
        found = whole_picture(0.9)(views)
        return [f if v.shape != image.shape else reordered(f, []) for v, f in zip(views, found)]

    score = Cald(only_in_the_smaller).scores(["a.jpg"], [image], whole_picture(0.9)([image]))
    assert score == [pytest.approx(-0.15, abs=1e-12)]


def test_picture_without_detections_comes_first_and_costs_no_forward_pass():
    def must_not_run(views) -> list:
        raise AssertionError("no view of an empty picture is needed")

    empty = draw()
    assert Cald(must_not_run).scores(["a.jpg"], [empty], find_rectangles([empty])) == [0.0]
    assert Cald(must_not_run).scores([], [], []) == []
    names, images = drawn_set(8)
    scores = scores_of(images, names)
    assert scores[0] == 0.0
    assert all(-1.0 <= score < 0.0 for score in scores[1:])


def test_objects_that_no_view_shows_again_score_as_nothing_found():
    """0.0 and not -0.0, which would be written differently."""
    image = draw((20, 20, 60, 60, RED, 250))
    score = Cald(lambda views: find_rectangles([draw()] * len(views))).scores(["a"], [image], find_rectangles([image]))
    assert [str(value) for value in score] == ["0.0"]


def test_doubtful_object_is_mined_before_a_clear_one():
    clear, doubtful = draw((30, 30, 80, 70, RED, 255)), draw((30, 30, 80, 70, RED, 120))
    scores = scores_of([clear, doubtful, draw()])
    assert scores[2] > scores[1] > scores[0]


def test_order_of_candidates_does_not_change_a_score():
    names, images = drawn_set(9)
    forward = dict(zip(names, scores_of(images, names)))
    backward = dict(zip(names[::-1], scores_of(images[::-1], names[::-1])))
    assert forward == backward


def test_size_of_chunks_does_not_change_a_score():
    names, images = drawn_set(9)
    together = scores_of(images, names)
    one_by_one = [scores_of([image], [name])[0] for name, image in zip(names, images)]
    assert together == one_by_one


@pytest.mark.parametrize("with_probs", [True, False])
def test_order_and_copies_of_boxes_do_not_change_a_score(with_probs):
    names, images = drawn_set(9)

    def plain(views) -> list:
        return find_rectangles(views, with_probs)

    def scrambled(views) -> list:
        return [reordered(found, list(range(len(found)))[::-1] * 3) for found in plain(views)]

    assert scores_of(images, names, scrambled) == pytest.approx(scores_of(images, names, plain), abs=1e-12)


def test_copies_do_not_change_which_of_many_boxes_are_kept():
    """60 boxes are thinned to 50; without the copies taken out first, 120 would be thinned differently."""
    image = draw(*[(x, y, x + 6, y + 5, GREEN, 100 + x + y) for x in range(4, 94, 9) for y in range(4, 52, 8)])
    (reference,) = find_rectangles([image])
    assert len(reference) == 60
    twice = reordered(reference, np.tile(np.arange(60), 2))
    cald = Cald(find_rectangles)
    assert cald.scores(["a"], [image], [reference]) == cald.scores(["a"], [image], [twice])


@pytest.mark.parametrize("with_probs", [True, False])
def test_another_predicted_class_changes_the_score(with_probs):
    """The views' objects are all found at the right place with the right score and called by another name."""
    image = draw((30, 30, 80, 70, RED, 220))
    reference = find_rectangles([image], with_probs)

    def renamed(views) -> list:
        found = find_rectangles(views, with_probs)
        if with_probs:
            return [replace(f, class_probs=np.roll(f.class_probs, 1, axis=1)) for f in found]
        return [replace(f, classes=(f.classes + 1) % 3) for f in found]

    same = Cald(lambda views: find_rectangles(views, with_probs)).scores(["a"], [image], reference)
    other = Cald(renamed).scores(["a"], [image], reference)
    assert abs(same[0] - other[0]) > 0.05


def test_detector_sees_all_views_of_one_augmentation_together():
    names, images = drawn_set(6)
    sizes = []

    def recording(views) -> list:
        sizes.append([view.shape[:2] for view in views])
        return find_rectangles(views)

    Cald(recording).scores(names, images, find_rectangles(images))
    plain = [image.shape[:2] for image in images[1:]]
    smaller = [(int(0.8 * height), int(0.8 * width)) for height, width in plain]
    assert sizes == [plain, plain, smaller, plain], "flip, cutout, resize, rotate; the empty picture is in none"


def test_holes_depend_on_file_name_and_seed_but_not_on_the_folder():
    image = draw((30, 30, 80, 70, RED, 220))
    score = scores_of([image], ["in/a.jpg"])
    assert scores_of([image], ["elsewhere/a.jpg"]) == score
    assert scores_of([image], ["in/b.jpg"]) != score
    assert scores_of([image], ["in/a.jpg"], seed=1) != score


def test_random_numbers_of_a_file_are_the_same_on_every_machine():
    """Pinned: a change would silently reorder everybody's mining results."""
    assert rng_for("/in/assets/a.jpg", 0).random() == rng_for("a.jpg", 0).random() == PINNED
    assert rng_for("a.jpg", 1).random() != PINNED
    rng_for("not utf-8: \udcff.jpg", 0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1)])
def test_smallest_pictures_get_a_score(height, width):
    image = np.full((height, width, 3), [20, 20, 220], dtype=np.uint8)
    (score,) = scores_of([image])
    assert -1.0 <= score <= 0.0


def test_boxes_that_are_not_numbers_are_ignored_with_one_warning(caplog):
    image = draw((30, 30, 80, 70, RED, 220))
    (found,) = find_rectangles([image])
    broken = Detections(
        np.concatenate([found.boxes_xyxy, [[0, 0, np.nan, 5]]]),
        np.append(found.scores, 0.9),
        np.append(found.classes, 0),
        np.concatenate([found.class_probs, [[0.9, 0.1, 0.1]]]),
    )
    cald = Cald(find_rectangles)
    assert cald.scores(["a", "b"], [image] * 2, [broken] * 2) == cald.scores(["a", "b"], [image] * 2, [found] * 2)
    assert [record.getMessage()[:10] for record in caplog.records] == ["a: ignored"]


def test_lists_of_different_lengths_are_refused():
    image = draw((30, 30, 80, 70, RED, 220))
    with pytest.raises(ValueError, match="2 names, 1 images, 1 references"):
        Cald(find_rectangles).scores(["a", "b"], [image], find_rectangles([image]))
    with pytest.raises(ValueError, match="answered 0 times for 1 pictures"):
        Cald(lambda views: []).scores(["a"], [image], find_rectangles([image]))
