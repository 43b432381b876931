"""What algorithms say of their scores: these are those of the ranking to the last digit, and the parts make them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.rectangle_detector import CLASS_NAMES, ColourMaps, drawn_set, find_rectangles
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS
from ymir_detectron2.detections import Detections
from ymir_detectron2.mining.algorithms import Algorithm, build_algorithm
from ymir_detectron2.mining.explanation import Explanation

NAMES, IMAGES = drawn_set(9)
DETECTIONS = find_rectangles(IMAGES)


def explained(algorithm: Algorithm) -> list[tuple[float, Explanation]]:
    extract = algorithm.extract_to_explain or algorithm.extract
    extracted = [None if extract is None else extract(ColourMaps(image)) for image in IMAGES]
    tiles = algorithm.explain_tiles(NAMES, IMAGES, DETECTIONS, extracted)
    return [
        (algorithm.score_image(name, detections, [score]), algorithm.explain_image(detections, [evidence]))
        for name, detections, (score, evidence) in zip(NAMES, DETECTIONS, tiles)
    ]


@pytest.mark.parametrize("name", MINING_ALGORITHMS)
def test_an_explained_score_is_that_of_the_ranking(name: str):
    algorithm = build_algorithm(name, detect=find_rectangles, class_names=CLASS_NAMES)
    extracted = [None if algorithm.extract is None else algorithm.extract(ColourMaps(image)) for image in IMAGES]
    scores = algorithm.score_tiles(NAMES, IMAGES, DETECTIONS, extracted)
    ranking = [algorithm.score_image(*of_image) for of_image in zip(NAMES, DETECTIONS, ([score] for score in scores))]
    assert [score for score, _ in explained(algorithm)] == ranking


@pytest.mark.parametrize(
    ("name", "score_of"),
    [
        ("cald", lambda values: -np.mean(values)),
        ("cald_legacy", np.mean),
        ("entropy", np.sum),
        ("margin", np.max),
        ("aldd", lambda values: np.sum(values[:3])),
    ],
)
def test_the_facts_make_the_score(name: str, score_of):
    for score, explanation in explained(build_algorithm(name, detect=find_rectangles, class_names=CLASS_NAMES)):
        if explanation.facts:
            assert score_of([value for _, value in explanation.facts]) == pytest.approx(score, abs=1e-9)


def test_random_has_nothing_to_say():
    assert {explanation for _, explanation in explained(build_algorithm("random"))} == {Explanation()}


def test_an_augmented_image_without_a_detection_names_the_surest_box():
    algorithm = build_algorithm("cald", detect=lambda images: [Detections.empty()] * len(images))
    for (score, explanation), detections in zip(explained(algorithm), DETECTIONS):
        assert score == 0.0
        assert [box.score for box in explanation.boxes] == list(detections.scores[:1]) * 4  # the best is the first
        assert not any(box.augmentation for box in explanation.boxes)
