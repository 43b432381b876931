"""Chance, plain and stratified: what is drawn, and how often."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.chance import draw_start, draw_stratified
from ymir_detectron2.sources.labelled_image import AnnotatedImage


def image(name: str, *class_names: str) -> AnnotatedImage:
    return AnnotatedImage(Path(name), tuple((class_name, 0, 0, 9, 9) for class_name in class_names))


POOL = [
    *(image(f"empty{number}.jpg") for number in range(60)),
    *(image(f"a{number}.jpg", "a") for number in range(30)),
    *(image(f"ab{number}.jpg", "b", "a", "a") for number in range(10)),
]


def shown(images: list[AnnotatedImage]) -> Counter[str]:
    return Counter(one.path.stem.rstrip("0123456789") for one in images)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_chance_has_the_shares_of_the_pool(seed: int) -> None:
    drawn = draw_stratified(POOL, 10, random.Random(seed))
    assert shown(drawn) == {"empty": 6, "a": 3, "ab": 1}
    assert len({one.path for one in drawn}) == 10


def test_what_is_rarer_than_one_image_is_drawn_with_its_probability() -> None:
    """10 of 100 images, 4 drawn: 0.4 on average, so 400 of 1,000 draws; the standard deviation is 15."""
    rng = random.Random(0)
    assert 340 < sum(shown(draw_stratified(POOL, 4, rng))["ab"] for _ in range(1000)) < 460


def test_every_image_of_a_kind_is_drawn_alike() -> None:
    """Of 30 images 3 are drawn each time: each in 100 of 1,000 draws, with a standard deviation of 9.5."""
    rng = random.Random(0)
    counts = Counter(one.path.stem for _ in range(1000) for one in draw_stratified(POOL, 10, rng))
    assert all(60 < counts[f"a{number}"] < 140 for number in range(30))


def test_more_than_there_is_are_all() -> None:
    assert sorted(draw_stratified(POOL, 500, random.Random(0)), key=lambda one: one.path) == sorted(
        POOL, key=lambda one: one.path
    )
    assert draw_stratified([], 3, random.Random(0)) == []


def test_start_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert draw_start(POOL, 20, 1) == draw_start(POOL, 20, 1) != draw_start(POOL, 20, 2)
    assert len({one.path for one in draw_start(POOL, 20, 1)}) == 20


@pytest.mark.parametrize("seed", range(20))
def test_start_shows_an_object(seed: int) -> None:
    """One of 50 images has one: of the first draws of two images, 24 in 25 show none."""
    pool = [*POOL[:49], image("only.jpg", "a")]
    assert "only.jpg" in [one.path.name for one in draw_start(pool, 2, seed)]


def test_pool_without_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        draw_start(POOL[:5], 2, 0)
