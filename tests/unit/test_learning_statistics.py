"""Figures of learning curves, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning_statistics import (
    area_over_chance,
    bootstrap,
    interval_of_mean,
    labels_to_reach,
    rising,
    saved_percent,
)

LABELS = (10, 20, 30)


def curves(*rows: list[float]) -> np.ndarray:
    return np.array(rows)


def test_area_is_the_mean_difference_after_the_shared_round() -> None:
    """(0.1 + 0.2 + 0.0 - 0.1) / 4."""
    own, chance = curves([0.2, 0.4, 0.6], [0.3, 0.4, 0.4]), curves([0.9, 0.3, 0.4], [0.9, 0.4, 0.5])
    assert area_over_chance(own, chance) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], id="a rising curve stays"),
        pytest.param([0.1, 0.3, 0.2], [0.1, 0.25, 0.25], id="two that fall get their mean"),
        pytest.param([0.3, 0.2, 0.1], [0.2, 0.2, 0.2], id="a falling curve becomes its mean"),
        pytest.param([0.3, 0.4, 0.1, 0.5], [0.8 / 3, 0.8 / 3, 0.8 / 3, 0.5], id="a mean that falls is pooled again"),
        pytest.param([0.2, 0.2], [0.2, 0.2], id="equal values"),
        pytest.param([0.7], [0.7], id="one value"),
    ],
)
def test_curve_is_made_rising(curve: list[float], expected: list[float]) -> None:
    assert rising(np.array(curve)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ap50", "expected"),
    [
        pytest.param(0.1, 10, id="the first value needs the first labels"),
        pytest.param(0.05, 10, id="less is not extrapolated"),
        pytest.param(0.2, 15, id="half of the way from 0.1 to 0.3"),
        pytest.param(0.3, 20, id="where a plateau begins"),
    ],
)
def test_labels_are_interpolated(ap50: float, expected: float) -> None:
    assert labels_to_reach(np.array([0.1, 0.3, 0.3]), LABELS, ap50) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("own", "chance", "expected"),
    [
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], 0, id="chance itself"),
        pytest.param([0.1, 0.3, 0.5], [0.1, 0.2, 0.3], 100 * (1 - 20 / 30), id="20 labels in place of 30"),
        pytest.param([0.1, 0.5, 0.6], [0.1, 0.2, 0.3], 50, id="0.3 is half of the way from 10 to 20: 15 for 30"),
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.3, 0.5], -100 * (1 - 20 / 30), id="the other way round"),
        pytest.param([0.1, 0.2, 0.2], [0.1, 0.2, 0.3], 0, id="as fast as chance as far as it gets"),
        pytest.param([0.1, 0.3, 0.3], [0.1, 0.3, 0.3], 0, id="a plateau counts from its beginning, for both"),
    ],
)
def test_labels_saved(own: list[float], chance: list[float], expected: float) -> None:
    assert saved_percent(curves(own), curves(chance), LABELS) == pytest.approx(expected)


def test_labels_saved_are_those_of_the_mean_curve() -> None:
    """Means 0.1, 0.3, 0.4 for chance at 0.1, 0.2, 0.3: 20 labels in place of 30."""
    own = curves([0.1, 0.2, 0.5], [0.1, 0.4, 0.3])
    assert saved_percent(own, curves(*[[0.1, 0.2, 0.3]] * 2), LABELS) == pytest.approx(100 / 3)


def test_labels_saved_by_a_second_draw_of_chance_are_none_on_average() -> None:
    """First crossings of single noisy curves would give 10 % here: they come early by luck."""
    rng = np.random.default_rng(5)
    true = np.array([0.2, 0.25, 0.28, 0.3, 0.31])
    noisy = (true + rng.normal(0, 0.01, size=(2, 5, 5)) for _ in range(400))
    figures = [saved_percent(own, chance, (40, 80, 120, 160, 200)) for own, chance in noisy]
    assert abs(np.mean(figures)) < 3 * np.std(figures) / 20  # the standard error of 400


def test_interval_of_equal_seeds_has_no_width() -> None:
    own, chance = curves([0.1, 0.3], [0.2, 0.4]), curves([0.1, 0.25], [0.2, 0.35])
    assert bootstrap(area_over_chance, own, chance) == pytest.approx((0.05, 0.05, 0.05))


def test_seeds_are_resampled_in_pairs() -> None:
    """Unpaired, 0.9 would be compared with 0.1: the interval would be as wide as the seeds differ."""
    own, chance = curves([0, 0.1], [0, 0.9]), curves([0, 0.0], [0, 0.8])
    assert bootstrap(area_over_chance, own, chance) == pytest.approx((0.1, 0.1, 0.1))


def test_interval_of_two_seeds_reaches_from_one_to_the_other() -> None:
    """A quarter of the resamples has the first only, a quarter the second only: both are far more than 2.5 %."""
    assert interval_of_mean(np.array([0.2, 0.6])) == pytest.approx((0.4, 0.2, 0.6))


def test_interval_of_one_seed_is_its_value() -> None:
    assert interval_of_mean(np.array([0.3])) == pytest.approx((0.3, 0.3, 0.3))


def test_interval_of_five_seeds_covers_the_truth_in_about_85_of_100_experiments() -> None:
    """Of normal values: 1.96 standard errors with 1/n in place of 1/(n-1) are 1.75 of Student's t with 4 degrees."""
    experiments = np.random.default_rng(1).normal(size=(300, 5))
    covered = [interval.low <= 0 <= interval.high for interval in map(interval_of_mean, experiments)]
    assert 0.78 < np.mean(covered) < 0.9
