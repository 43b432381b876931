"""ALDD's operator against the numbers of both YMIR executors that have it, and what becomes of it for RetinaNet."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.mining.aldd import (
    Aldd,
    contradiction,
    extract_contradiction,
    read_class_weights,
    window_means,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mining.json").read_text(encoding="utf-8"))["aldd"]
NAMES = ("person", "car", "dog")


def to_160(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, (160, 160), mode="bilinear", align_corners=False)


def peers_score(probs: torch.Tensor, *, padding: int) -> torch.Tensor:
    """Peers add up all maps of a class before they take the largest in a window."""
    return window_means(contradiction(probs, padding=padding).sum(dim=1, keepdim=True))[:, 0]


@pytest.fixture
def random_outputs() -> tuple:
    """The very numbers behind the golden ones, in their order."""
    torch.manual_seed(0)
    logits = [torch.randn(1, 3, 40, 40), torch.randn(1, 3, 20, 20)]
    return logits, [torch.randn(2, 3, 20, 20, 7), torch.randn(2, 3, 10, 10, 7), torch.randn(2, 3, 5, 5, 7)]


def test_operator_equals_that_of_mining_base(random_outputs):
    """Logits are resized, then become probabilities; no padding; all channels of both maps together."""
    probs = torch.cat([to_160(maps) for maps in random_outputs[0]], dim=1).sigmoid()
    expected = GOLDEN["mining_base_seed0_3ch_40_20_to160"]
    assert peers_score(probs, padding=0).tolist() == pytest.approx([expected], abs=2e-6)


def test_operator_equals_that_of_yolov5(random_outputs):
    """Probabilities are resized; padding 4 that counts nothing; objectness times class, two images, two classes."""
    outputs = [maps.sigmoid() for maps in random_outputs[1]]
    of_classes = [
        peers_score(torch.cat([to_160(maps[..., 4] * maps[..., 5 + k]) for maps in outputs], dim=1), padding=4)
        for k in range(2)
    ]
    assert sum(of_classes).tolist() == pytest.approx(GOLDEN["yolov5_after"], abs=2e-6)


def test_maps_that_agree_with_themselves_contradict_nothing():
    for value in (0.0, 0.3, 1.0):
        assert contradiction(torch.full((1, 1, 20, 30), value), padding=4).abs().max() < 1e-6


def test_contradiction_by_hand():
    """One place of certainty among 81 of none: entropy of 1 / 81, minus 0. Out of its reach: 0."""
    maps = torch.zeros(1, 1, 40, 40)
    maps[0, 0, 20, 20] = 1.0
    p = 1 / 81
    peak = -p * log(p) - (1 - p) * log(1 - p)
    around = contradiction(maps, padding=4)
    assert around.shape == (1, 1, 40, 40)
    assert around[0, 0, 16:25, 16:25].flatten().tolist() == pytest.approx([peak] * 81, abs=1e-6)
    assert around[0, 0, :16].abs().max() < 1e-6
    assert contradiction(maps, padding=0).shape == (1, 1, 32, 32)


def test_mean_over_windows_of_their_largest_value():
    """40 x 70 holds 1 x 2 windows of 32; rows from 32 and columns from 64 on fill none."""
    values = torch.zeros(1, 1, 40, 70)
    values[0, 0, 3, 3], values[0, 0, 9, 40], values[0, 0, 39, 0], values[0, 0, 0, 69] = 1.0, 0.5, 9.0, 9.0
    assert window_means(values).tolist() == [[0.75]]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (31, 31)])
def test_small_map_is_one_window_in_the_short_direction(height, width):
    values = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    last = height * width - 1 if width <= 32 else (height - 1) * width + 31
    assert window_means(values).tolist() == [[last]]


def test_levels_add_up_class_by_class():
    generator = torch.Generator().manual_seed(1)
    maps = [torch.rand(3, side, side + 7, generator=generator) for side in (50, 25, 13, 7, 1)]
    whole = extract_contradiction(SimpleNamespace(score_maps=maps))
    single = [extract_contradiction(SimpleNamespace(score_maps=[level])) for level in maps]
    assert whole.dtype == np.float64
    assert whole.shape == (3,)
    assert whole == pytest.approx(np.sum(single, axis=0))
    assert (whole > 0).all()
    swapped = extract_contradiction(SimpleNamespace(score_maps=[level[[2, 0, 1]] for level in maps]))
    assert swapped == pytest.approx(whole[[2, 0, 1]])


def test_score_weights_classes_and_takes_the_mean_of_the_tiles():
    """(1 * (0.2 + 0.4) / 2) + (0.5 * (1 + 3) / 2)."""
    aldd = Aldd(class_names=NAMES[:2], class_distribution_scores="1,0.5")
    tile_scores = aldd.score_tiles(["a", "a#2"], [None] * 2, [None] * 2, [np.array([0.2, 1.0]), np.array([0.4, 3.0])])
    assert aldd.score_image("a", None, tile_scores) == pytest.approx(1.3)


def test_map_that_is_not_finite_counts_nothing_and_is_reported_once(caplog):
    aldd = Aldd(class_names=NAMES[:2])
    broken = np.array([np.nan, 1.0])
    tile_scores = aldd.score_tiles(["a", "b"], [None] * 2, [None] * 2, [broken, broken])
    assert aldd.score_image("a", None, tile_scores[:1]) == 1.0
    assert [record.getMessage()[:8] for record in caplog.records] == ["a: class"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [1.0, 1.0, 1.0], id="empty: all alike"),
        pytest.param("  ", [1.0, 1.0, 1.0], id="blank"),
        pytest.param("0.5", [0.5, 1.0, 1.0], id="the missing ones count 1"),
        pytest.param("1.0, 0 ,2e-1", [1.0, 0.0, 0.2], id="one for each"),
    ],
)
def test_class_weights(text, expected):
    assert read_class_weights(text, NAMES).tolist() == expected


@pytest.mark.parametrize("text", ["1,2,3,4", "1,two", "1,,2", "1,", "nan", "inf", "-1", "1;2"])
def test_class_weights_that_do_not_fit_are_errors(text):
    with pytest.raises(ConfigError, match=r"^config\.yaml: class_distribution_scores: ") as error:
        read_class_weights(text, NAMES)
    assert error.value.code == 300001
    assert repr(text) in str(error.value)
    assert "\n" not in str(error.value)
