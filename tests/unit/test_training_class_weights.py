"""The setting `class_weights`, and what a weight does to the loss."""

from __future__ import annotations

import math

import pytest
import torch

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.losses import sigmoid_focal_loss
from ymir_detectron2.training.class_weights import class_weights

NAMES = ("cat", "Hot Dog", "bird")


@pytest.mark.parametrize(
    ("text", "boxes", "expected"),
    [
        ("", [1, 2, 3], None),
        ("cat:2", [1, 2, 3], [2, 1, 1]),
        (" hot dog : 0.5 , bird:3 ", [1, 2, 3], [1, 0.5, 3]),
        ("auto", [100, 100, 100], [1, 1, 1]),
        ("auto", [400, 100, 25], [0.5, 1, 2]),  # the middle one is 100: sqrt(1/4), 1, sqrt(4)
        ("auto", [10000, 100, 1], [0.25, 1, 4]),  # sqrt(1/100) and sqrt(100), held between 1/4 and 4
        ("auto", [90, 0, 10], [math.sqrt(50 / 90), 1, math.sqrt(5)]),
        ("auto", [0, 0, 0], [1, 1, 1]),
    ],
)
def test_a_text_becomes_one_weight_per_class(text: str, boxes: list[int], expected: list[float] | None):
    found = class_weights(text, NAMES, boxes)
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("dog:2", "'dog' is none of class_names"),
        ("cat", "'' is none of class_names"),
        ("cat:much", "'cat:much' needs a number above 0"),
        ("cat:0", "'cat:0' needs a number above 0"),
        ("cat:-1", "'cat:-1' needs a number above 0"),
        ("cat:nan", "'cat:nan' needs a number above 0"),
        ("cat:1e39", "'cat:1e39' needs a number above 0 and up to 1000"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(text: str, finding: str):
    with pytest.raises(ConfigError, match=r"^config.yaml: class_weights: ") as failure:
        class_weights(text, NAMES, [1, 1, 1])
    assert finding in str(failure.value)


def test_an_object_counts_by_the_weight_of_its_class_and_background_is_untouched():
    """At logit 0 each of 3 x 2 entries is ln 2 with gamma 0 and no alpha; two are positive, counting 3 and 1."""
    targets = torch.tensor([[1, 0], [0, 1], [0, 0]])
    loss = sigmoid_focal_loss(torch.zeros(3, 2), targets, -1, 0.0, torch.tensor([3.0, 1.0]))
    assert float(loss) == pytest.approx((4 + 3 + 1) * math.log(2))
