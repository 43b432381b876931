"""When two sides of a comparison agree."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import pytest

SCORE_TOLERANCE, BOX_TOLERANCE = 1e-4, 0.05  # the latter in pixels


def assert_same_detections(images: Sequence[Mapping[str, Any]], expected_images: Sequence[Mapping[str, Any]]) -> None:
    """Compare the detections of several images, best score first; where scores are tied, rounding decides the order.

    Args:
        images: boxes (n, 4), scores (n,) and classes (n,) of each.
        expected_images: the same, or the first ones of `count` boxes.
    """
    assert len(images) == len(expected_images)
    for ours, expected in zip(images, expected_images):
        assert len(ours["scores"]) == expected.get("count", len(expected["scores"]))
        kept = len(expected["scores"])
        np.testing.assert_allclose(ours["scores"][:kept], expected["scores"], rtol=0, atol=SCORE_TOLERANCE)
        for box, score, label in zip(expected["boxes"], expected["scores"], expected["classes"]):
            same = (np.abs(ours["scores"] - score) < SCORE_TOLERANCE) & (ours["classes"] == label)
            distances = np.abs(ours["boxes"][same] - box).max(axis=1, initial=0)
            assert (distances < BOX_TOLERANCE).any(), (box, score, label)


def assert_same_losses(
    losses: Sequence[Mapping[str, float]], expected: Sequence[Mapping[str, float]], *, rel: float
) -> None:
    """Compare the losses of every step."""
    assert len(losses) == len(expected)
    for ours, theirs in zip(losses, expected):
        assert ours == pytest.approx(theirs, rel=rel)


def assert_same_norms(norms: Mapping[str, float], expected: Mapping[str, float], *, rel: float) -> None:
    """Compare the norm of every parameter; below 1e-5 of the largest it is rounding."""
    assert norms == pytest.approx(expected, rel=rel, abs=1e-5 * max(expected.values()))
