"""Logistic regression: odds that can be counted, and features that tell nothing or everything."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.evaluation.logistic_regression import fit_logistic


def test_odds_are_the_ratio_of_the_frequencies():
    """Of the first kind one in four has the feature, of the second three in four: odds 3 with it, 1 / 3 without."""
    first = np.array([[1.0]] * 25 + [[0.0]] * 75)
    second = np.array([[1.0]] * 75 + [[0.0]] * 25)
    odds = fit_logistic(first, second).odds(np.array([[1.0], [0.0]]))
    assert odds == pytest.approx([3, 1 / 3], rel=0.03)


def test_both_kinds_weigh_the_same_whatever_their_numbers():
    first = np.array([[1.0]] * 25 + [[0.0]] * 75)
    second = np.array([[1.0]] * 7500 + [[0.0]] * 2500)
    odds = fit_logistic(first, second).odds(np.array([[1.0], [0.0]]))
    assert odds == pytest.approx([3, 1 / 3], rel=0.03)


def test_the_slope_is_that_of_the_distributions():
    """Two normal distributions of variance 1 whose means differ by d: the logit is d x - d^2 / 2."""
    random = np.random.default_rng(0)
    model = fit_logistic(random.normal(0, 1, (20_000, 1)), random.normal(1.5, 1, (20_000, 1)))
    assert model.coefficients == pytest.approx([1.5], abs=0.06)
    assert model.intercept == pytest.approx(-1.5**2 / 2, abs=0.06)


def test_features_that_separate_both_kinds_give_finite_odds():
    model = fit_logistic(np.zeros((5, 2)), np.ones((5, 2)))
    low, high = model.odds(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert 0 < low < 0.1
    assert 10 < high < np.inf


def test_a_feature_that_never_differs_changes_nothing():
    random = np.random.default_rng(1)
    first, second = random.normal(0, 1, (200, 1)), random.normal(1, 1, (200, 1))
    alone = fit_logistic(first, second)
    beside = fit_logistic(np.column_stack([first, np.full(200, 0.3)]), np.column_stack([second, np.full(200, 0.3)]))
    given = np.linspace(-2, 3, 9)[:, None]
    assert beside.odds(np.column_stack([given, np.full(9, 0.3)])) == pytest.approx(alone.odds(given), rel=1e-6)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 4), (4, 0)])
def test_nothing_is_told_apart_without_both_kinds(first: int, second: int):
    model = fit_logistic(np.zeros((first, 3)), np.ones((second, 3)))
    assert model.odds(np.ones((2, 3))).tolist() == [1.0, 1.0]
