"""Logistic regression with a ridge penalty, by Newton's method: a handful of features, the same digits each time.

scikit-learn's would bring SciPy, for forty lines. Letters: n samples, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_RIDGE = 1e-3
"""Penalty on each coefficient per unit of weight: enough for features that separate both kinds, or never differ."""
_MOST_STEPS = 50
_MOST_LOGIT = 30.0


class LogisticModel(NamedTuple):
    """A fitted model."""

    coefficients: np.ndarray
    """(F,) float64."""
    intercept: float

    def odds(self, features: np.ndarray) -> np.ndarray:
        """Return (n,) odds of the second kind against the first, as if both were equally frequent, in (0, inf)."""
        logits = np.asarray(features, dtype=np.float64) @ self.coefficients + self.intercept
        odds: np.ndarray = np.exp(np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT))
        return odds


def fit_logistic(first: np.ndarray, second: np.ndarray) -> LogisticModel:
    """Fit a model that tells two kinds of samples apart; each kind as a whole has the same weight.

    Args:
        first: (n1, F) features, finite. n1 may be 0, and so may n2: then nothing is told apart, and all odds are 1.
        second: (n2, F).
    """
    features = np.concatenate([first, second]).astype(np.float64)
    num_features = features.shape[1]
    if not (len(first) and len(second)):
        return LogisticModel(np.zeros(num_features), 0.0)
    is_second = np.arange(len(features)) >= len(first)
    weights = np.where(is_second, 0.5 / len(second), 0.5 / len(first))
    design = np.column_stack([features, np.ones(len(features))])  # (n, F + 1)
    ridge = np.diag([_RIDGE] * num_features + [1e-12])  # the intercept is free
    beta = np.zeros(num_features + 1)
    for _ in range(_MOST_STEPS):
        probs = 1 / (1 + np.exp(-np.clip(design @ beta, -_MOST_LOGIT, _MOST_LOGIT)))
        gradient = design.T @ (weights * (probs - is_second)) + ridge @ beta
        curvature = (design * (weights * probs * (1 - probs))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
    return LogisticModel(beta[:-1], float(beta[-1]))
