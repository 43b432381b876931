"""CALD end to end, with a small real detector: it finds coloured rectangles in drawn images."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from tests.rectangle_detector import GREEN, RED, draw, drawn_set, find_rectangles
from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.cald import Cald


def score_all(cald: Cald, names, images, detections) -> list:
    """Scores of images of one tile each."""
    scores = cald.score_tiles(names, images, detections, [None] * len(names))
    return [cald.score_image(*of_image) for of_image in zip(names, detections, ([score] for score in scores))]


def scores_of(images, names=None, detect=find_rectangles, seed: int = 0) -> list:
    names = [f"{index}.jpg" for index in range(len(images))] if names is None else names
    return score_all(Cald(detect=detect, seed=seed), names, images, detect(images))


def whole_image(score: float, class_id: int = 0, probs=None):
    """A detector to which every image is one object, edge to edge, and so every augmented image."""

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
    ("plain", "augmented", "expected"),
    [
        pytest.param(whole_image(0.9), whole_image(0.9), -0.6, id="same: |1 + .9 - 1.3|, 4 times / 4"),
        pytest.param(
            whole_image(0.9), whole_image(0.2), -abs(1 + 0.55 * (1 - JS_9_2) - 1.3), id="lower score: P = .55"
        ),
        pytest.param(
            whole_image(0.9, 0), whole_image(0.9, 1), -abs(1 + 0.9 * (1 - 0.9 * log(2)) - 1.3), id="other class"
        ),
        pytest.param(
            whole_image(0.9, probs=[0.9, 0.1]),
            whole_image(0.9, probs=[0.1, 0.9]),
            -abs(1 + 0.9 * (1 - JS_SWAP) - 1.3),
            id="other class by its probabilities",
        ),
    ],
)
def test_score_by_hand(plain, augmented, expected):
    image = draw()
    assert score_all(Cald(detect=augmented), ["a.jpg"], [image], plain([image])) == [pytest.approx(expected, abs=1e-12)]


def test_score_is_the_mean_over_four_augmentations():
    """Detected again in one of the four (the smaller one), not in the others: -(0.6 + 0 + 0 + 0) / 4."""
    image = draw()

    def only_in_the_smaller(images) -> list:
        detections = whole_image(0.9)(images)
        return [d if one.shape != image.shape else Detections.empty() for one, d in zip(images, detections)]

    score = score_all(Cald(detect=only_in_the_smaller), ["a.jpg"], [image], whole_image(0.9)([image]))
    assert score == [pytest.approx(-0.15, abs=1e-12)]


def test_image_without_detections_comes_first_and_costs_no_forward_pass():
    def must_not_run(images) -> list:
        raise AssertionError("an image without detections needs no augmentation")

    empty = draw()
    assert score_all(Cald(detect=must_not_run), ["a.jpg"], [empty], find_rectangles([empty])) == [0.0]
    assert score_all(Cald(detect=must_not_run), [], [], []) == []
    names, images = drawn_set(8)
    scores = scores_of(images, names)
    assert scores[0] == 0.0
    assert all(-1.0 <= score < 0.0 for score in scores[1:])


def test_objects_that_are_never_detected_again_score_as_an_image_without_detections():
    """0.0 and not -0.0, which would be written differently."""
    image = draw((20, 20, 60, 60, RED, 250))
    cald = Cald(detect=lambda images: find_rectangles([draw()] * len(images)))
    score = score_all(cald, ["a"], [image], find_rectangles([image]))
    assert [str(one) for one in score] == ["0.0"]


def test_doubtful_object_is_mined_before_a_clear_one():
    clear, doubtful = draw((30, 30, 80, 70, RED, 255)), draw((30, 30, 80, 70, RED, 120))
    scores = scores_of([clear, doubtful, draw()])
    assert scores[2] > scores[1] > scores[0]


@pytest.mark.parametrize("with_probs", [True, False])
def test_order_and_copies_of_boxes_do_not_change_a_score(with_probs):
    names, images = drawn_set(9)

    def plain(images) -> list:
        return find_rectangles(images, with_probs)

    def scrambled(images) -> list:
        return [detections.take(list(range(len(detections)))[::-1] * 3) for detections in plain(images)]

    assert scores_of(images, names, scrambled) == pytest.approx(scores_of(images, names, plain), abs=1e-12)


def test_copies_do_not_change_which_of_many_boxes_are_kept():
    """60 boxes are thinned to 50; without the copies taken out first, 120 would be thinned differently."""
    image = draw(*[(x, y, x + 6, y + 5, GREEN, 100 + x + y) for x in range(4, 94, 9) for y in range(4, 52, 8)])
    (reference,) = find_rectangles([image])
    assert len(reference) == 60
    twice = reference.take(np.tile(np.arange(60), 2))
    cald = Cald(detect=find_rectangles)
    assert score_all(cald, ["a"], [image], [reference]) == score_all(cald, ["a"], [image], [twice])


@pytest.mark.parametrize("with_probs", [True, False])
def test_another_predicted_class_changes_the_score(with_probs):
    """The objects of augmented images are all detected at the right place with the right score, as another class."""
    image = draw((30, 30, 80, 70, RED, 220))
    reference = find_rectangles([image], with_probs)

    def renamed(images) -> list:
        detections = find_rectangles(images, with_probs)
        if with_probs:
            return [replace(one, class_probs=np.roll(one.class_probs, 1, axis=1)) for one in detections]
        return [replace(one, classes=(one.classes + 1) % 3) for one in detections]

    same = score_all(Cald(detect=lambda images: find_rectangles(images, with_probs)), ["a"], [image], reference)
    other = score_all(Cald(detect=renamed), ["a"], [image], reference)
    assert abs(same[0] - other[0]) > 0.05


def test_detector_gets_all_images_of_one_augmentation_together():
    names, images = drawn_set(6)
    sizes = []

    def recording(images) -> list:
        sizes.append([image.shape[:2] for image in images])
        return find_rectangles(images)

    score_all(Cald(detect=recording), names, images, find_rectangles(images))
    plain = [image.shape[:2] for image in images[1:]]
    smaller = [(int(0.8 * height), int(0.8 * width)) for height, width in plain]
    assert sizes == [plain, plain, smaller, plain], "flip, cutout, resize, rotate; the empty image is not augmented"


def test_holes_depend_on_file_name_and_seed_but_not_on_the_folder():
    image = draw((30, 30, 80, 70, RED, 220))
    score = scores_of([image], ["in/a.jpg"])
    assert scores_of([image], ["elsewhere/a.jpg"]) == score
    assert scores_of([image], ["in/b.jpg"]) != score
    assert scores_of([image], ["in/a.jpg"], seed=1) != score


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1)])
def test_smallest_images_get_a_score(height, width):
    image = np.full((height, width, 3), [20, 20, 220], dtype=np.uint8)
    (score,) = scores_of([image])
    assert -1.0 <= score <= 0.0


def test_boxes_that_are_not_finite_are_ignored_with_one_warning(caplog):
    image = draw((30, 30, 80, 70, RED, 220))
    (sound,) = find_rectangles([image])
    broken = Detections(
        np.concatenate([sound.boxes_xyxy, [[0, 0, np.nan, 5]]]),
        np.append(sound.scores, 0.9),
        np.append(sound.classes, 0),
        np.concatenate([sound.class_probs, [[0.9, 0.1, 0.1]]]),
    )
    cald = Cald(detect=find_rectangles)
    expected = score_all(cald, ["a", "b"], [image] * 2, [sound] * 2)
    assert score_all(cald, ["a", "b"], [image] * 2, [broken] * 2) == expected
    assert [record.getMessage()[:10] for record in caplog.records] == ["a: ignored"]


def test_least_consistent_tile_counts_for_each_augmentation():
    """Detected again with 0.9: 0.6 for every augmentation of one tile; with 0.5: 0.2; the third has no detections."""
    sure, doubtful, empty = np.full(4, 0.6), np.full(4, 0.2), None
    cald, merged = Cald(), Detections.empty()
    assert cald.score_image("a", merged, [sure, empty, doubtful]) == pytest.approx(-0.2)
    assert cald.score_image("a", merged, [sure, np.array([0.1, 0.7, 0.7, 0.7])]) == pytest.approx(-(0.1 + 3 * 0.6) / 4)
    assert cald.score_image("a", merged, [empty, empty]) == 0.0


def test_tile_is_compared_by_its_own_boxes_only():
    """An image of two tiles: the tile without detections is not augmented, and changes no score of the other."""
    empty, tile = draw(), draw((30, 30, 80, 70, RED, 220))
    cald = Cald(detect=find_rectangles)
    together = cald.score_tiles(["a", "a#2"], [empty, tile], find_rectangles([empty, tile]), [None] * 2)
    alone = cald.score_tiles(["a#2"], [tile], find_rectangles([tile]), [None])
    assert together[0] is None
    assert together[1].tolist() == alone[0].tolist()
    assert len(together[1]) == 4


def test_lists_of_different_lengths_are_refused():
    image = draw((30, 30, 80, 70, RED, 220))
    with pytest.raises(ValueError, match="2 names, 1 tiles, 1 detections of tiles"):
        score_all(Cald(detect=find_rectangles), ["a", "b"], [image], find_rectangles([image]))
    with pytest.raises(ValueError, match="answered 0 times for 1 images"):
        score_all(Cald(detect=lambda images: []), ["a"], [image], find_rectangles([image]))
