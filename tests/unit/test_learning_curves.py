"""Rounds put together to curves, and where labels were spent."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning_curves import Curves, boxes, empty_images, images, images_of, near_copies
from benchmarks.learning_rounds import FIRST, Round
from benchmarks.learning_statistics import area_over_chance


def finished(seed: int, algorithm: str, number: int, ap50: float, *, empty: int = 0, stars: int = 0) -> Round:
    """Ten images per round, two boxes in each that is not empty."""
    names = [f"{place}.jpg" for place in range(10 * number + 10)]
    return Round(
        seed, algorithm, number, names, boxes=2 * (len(names) - empty), empty_images=empty, near_copies=number,
        images_by_class={"disc": len(names) - empty, "star": stars}, ap50=ap50,
        ap50_by_class={"disc": ap50, "star": ap50 / 2}, mining_s=30.0 * bool(number), training_s=60.0,
        device="bf16 on CPU",
    )  # fmt: skip


TWO_SEEDS = [
    finished(0, FIRST, 0, 0.25, empty=4),
    finished(1, FIRST, 0, 0.5, empty=6),
    finished(0, "random", 1, 0.5, empty=8),
    finished(1, "random", 1, 0.75, empty=12),
    finished(1, "cald", 1, 0.625, empty=7, stars=3),
    finished(0, "cald", 1, 0.75, empty=5, stars=5),
    finished(0, "margin", 1, 0.875, empty=4),
]


def test_round_0_belongs_to_every_curve() -> None:
    curves = Curves(TWO_SEEDS)
    ap50 = curves.values("cald", lambda one: one.ap50)
    assert ap50.tolist() == [[0.25, 0.75], [0.5, 0.625]]
    assert curves.labels == [10, 20]


def test_largest_area_comes_first_and_chance_last() -> None:
    """Margin 0.375 with seed 0; cald 0.25 - 0.125 over two."""
    rounds = [*TWO_SEEDS, finished(0, "random_stratified", 1, 0.9)]
    assert Curves(rounds).algorithms == ["margin", "cald", "random", "random_stratified"]


def test_chance_is_that_of_the_same_seed() -> None:
    interval = Curves(TWO_SEEDS).against("random", area_over_chance, "cald")
    assert interval == pytest.approx(((0.25 - 0.125) / 2, -0.125, 0.25))


def test_seeds_without_chance_do_not_count() -> None:
    more = [*TWO_SEEDS, finished(2, FIRST, 0, 0.0), finished(2, "cald", 1, 1.0)]
    assert Curves(more).against("random", area_over_chance, "cald") == pytest.approx((0.0625, -0.125, 0.25))


def test_nothing_is_compared_with_itself_or_with_what_is_missing() -> None:
    curves = Curves(TWO_SEEDS)
    assert curves.against("random", area_over_chance, "random") is None
    assert curves.against("random_stratified", area_over_chance, "cald") is None


def test_curves_that_are_still_running_are_left_out() -> None:
    curves = Curves([*TWO_SEEDS, finished(0, "cald", 2, 0.9), finished(0, "entropy", 2, 0.9)])
    assert curves.algorithms == ["cald"]
    assert list(curves.of("cald")) == [0]


def test_no_rounds_no_curves() -> None:
    assert Curves([]).algorithms == Curves(TWO_SEEDS[:2]).algorithms == []
    assert Curves([]).labels == Curves([]).classes == []


def test_rarest_class_comes_first() -> None:
    assert Curves(TWO_SEEDS).classes == ["star", "disc"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(images, 1.0, id="all of them"),
        pytest.param(empty_images, 0.1, id="5 - 4 and 7 - 6, of ten"),
        pytest.param(near_copies, 0.1, id="one in each"),
        pytest.param(boxes, 1.8, id="two in each of the nine that are not empty"),
        pytest.param(images_of("star"), 0.4, id="5 and 3 of ten"),
        pytest.param(images_of("other"), 0.0, id="a class that nobody has met"),
    ],
)
def test_share_of_what_was_chosen(count: object, expected: float) -> None:
    assert Curves(TWO_SEEDS).share_of_added("cald", count) == pytest.approx(expected)  # type: ignore[arg-type]


def test_values_are_by_seed_and_round() -> None:
    values = Curves(TWO_SEEDS).values("random", empty_images)
    assert np.array_equal(values, [[4, 8], [6, 12]])
