"""CALD end to end, with a small real detector: it finds coloured rectangles in drawn pictures."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from tests.rectangle_detector import GREEN, RED, draw, drawn_set, find_rectangles, reordered
from ymir_detectron2.engines.base import Detections
from ymir_detectron2.mining.cald import Cald
from ymir_detectron2.mining.name_seed import rng_for

PINNED = 0.599829864658528


def score_all(cald: Cald, names, images, references) -> list:
    """Scores of pictures of one part each."""
    values = cald.part_values(names, images, references, [None] * len(names))
    return [cald.score(name, found, [value]) for name, found, value in zip(names, references, values)]


def scores_of(images, names=None, detect=find_rectangles, seed: int = 0) -> list:
    names = [f"{index}.jpg" for index in range(len(images))] if names is None else names
    return score_all(Cald(detect, seed=seed), names, images, detect(images))


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
    assert score_all(Cald(altered), ["a.jpg"], [image], plain([image])) == [pytest.approx(expected, abs=1e-12)]


def test_score_is_the_mean_over_four_views():
    """Found again in one of the four (the smaller one), in the others nothing: -(0.6 + 0 + 0 + 0) / 4."""
    image = draw()

    def only_in_the_smaller(views) -> list:
        found = whole_picture(0.9)(views)
        return [f if v.shape != image.shape else reordered(f, []) for v, f in zip(views, found)]

    score = score_all(Cald(only_in_the_smaller), ["a.jpg"], [image], whole_picture(0.9)([image]))
    assert score == [pytest.approx(-0.15, abs=1e-12)]


def test_picture_without_detections_comes_first_and_costs_no_forward_pass():
    def must_not_run(views) -> list:
        raise AssertionError("no view of an empty picture is needed")

    empty = draw()
    assert score_all(Cald(must_not_run), ["a.jpg"], [empty], find_rectangles([empty])) == [0.0]
    assert score_all(Cald(must_not_run), [], [], []) == []
    names, images = drawn_set(8)
    scores = scores_of(images, names)
    assert scores[0] == 0.0
    assert all(-1.0 <= score < 0.0 for score in scores[1:])


def test_objects_that_no_view_shows_again_score_as_nothing_found():
    """0.0 and not -0.0, which would be written differently."""
    image = draw((20, 20, 60, 60, RED, 250))
    cald = Cald(lambda views: find_rectangles([draw()] * len(views)))
    score = score_all(cald, ["a"], [image], find_rectangles([image]))
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
    assert score_all(cald, ["a"], [image], [reference]) == score_all(cald, ["a"], [image], [twice])


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

    same = score_all(Cald(lambda views: find_rectangles(views, with_probs)), ["a"], [image], reference)
    other = score_all(Cald(renamed), ["a"], [image], reference)
    assert abs(same[0] - other[0]) > 0.05


def test_detector_sees_all_views_of_one_augmentation_together():
    names, images = drawn_set(6)
    sizes = []

    def recording(views) -> list:
        sizes.append([view.shape[:2] for view in views])
        return find_rectangles(views)

    score_all(Cald(recording), names, images, find_rectangles(images))
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
    expected = score_all(cald, ["a", "b"], [image] * 2, [found] * 2)
    assert score_all(cald, ["a", "b"], [image] * 2, [broken] * 2) == expected
    assert [record.getMessage()[:10] for record in caplog.records] == ["a: ignored"]


def test_picture_in_parts_takes_the_least_consistent_part_of_each_view():
    """Found again with 0.9, 0.6 in every view, in one part; in the other with 0.5, 0.2; the third shows nothing."""
    sure, doubtful, empty = np.full(4, 0.6), np.full(4, 0.2), None
    cald, found = Cald(find_rectangles), find_rectangles([draw()])[0]
    assert cald.score("a", found, [sure, empty, doubtful]) == pytest.approx(-0.2)
    assert cald.score("a", found, [sure, np.array([0.1, 0.7, 0.7, 0.7])]) == pytest.approx(-(0.1 + 3 * 0.6) / 4)
    assert cald.score("a", found, [empty, empty]) == 0.0


def test_part_is_looked_at_for_its_own_boxes_alone():
    """A picture of two tiles: the tile with nothing in it is in no view, and changes no value of the other."""
    empty, tile = draw(), draw((30, 30, 80, 70, RED, 220))
    cald = Cald(find_rectangles)
    together = cald.part_values(["a", "a#2"], [empty, tile], find_rectangles([empty, tile]), [None] * 2)
    alone = cald.part_values(["a#2"], [tile], find_rectangles([tile]), [None])
    assert together[0] is None
    assert together[1].tolist() == alone[0].tolist()
    assert len(together[1]) == 4


def test_lists_of_different_lengths_are_refused():
    image = draw((30, 30, 80, 70, RED, 220))
    with pytest.raises(ValueError, match="2 names, 1 parts, 1 references"):
        score_all(Cald(find_rectangles), ["a", "b"], [image], find_rectangles([image]))
    with pytest.raises(ValueError, match="answered 0 times for 1 pictures"):
        score_all(Cald(lambda views: []), ["a"], [image], find_rectangles([image]))
