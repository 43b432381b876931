"""Plots have the right size and something on them, whatever there is to plot."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluated_images import BOX, FAR, evaluated_image, has_colour, pixels_of
from ymir_detectron2.evaluation.curves import RECALLS, confidence_curve
from ymir_detectron2.evaluation.figure import new_figure
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.matching import best_f1, match_set
from ymir_detectron2.evaluation.plots import (
    _set_loss_scale,
    plot_ap_by_class,
    plot_confidence,
    plot_confusion,
    plot_losses,
    plot_precision_recall,
)

NAMES = {
    "one class": ["cat"],
    "Chinese": ["红细胞", "白细胞 WBC", "a$b$"],
    "80 classes": [f"a rather long name of a class {i}" for i in range(80)],
}
all_names = pytest.mark.parametrize("names", list(NAMES.values()), ids=list(NAMES))


@all_names
def test_precision_and_recall(names: list[str]):
    curves = {index: np.clip(1 - RECALLS * (index + 1) / 40, 0, 1) for index in range(len(names))}
    assert pixels_of(plot_precision_recall(curves, names)).shape[0] == 520


def test_precision_and_recall_without_objects():
    assert pixels_of(plot_precision_recall({}, ["cat"])).shape[0] == 520


def test_confidence_without_a_detection_has_no_curve():
    matches = match_set([evaluated_image([(0, BOX)], [(0, 0.8, BOX), (0, 0.4, FAR)])], 1)
    with_curve = pixels_of(plot_confidence(confidence_curve(matches), best_f1(matches)))
    nothing = match_set([evaluated_image([(0, BOX)], [])], 1)
    without = pixels_of(plot_confidence(confidence_curve(nothing), best_f1(nothing)))
    recall = (0xD5, 0x5E, 0x00)
    assert (has_colour(with_curve, recall), has_colour(without, recall)) == (True, False)


@all_names
def test_confusion(names: list[str]):
    matrix = np.full((len(names) + 1,) * 2, 12_345_678)
    matrix[-1, -1] = 0
    assert pixels_of(plot_confusion(matrix, names, 0.2)).shape[0] == 720


def test_confusion_of_nothing():
    assert pixels_of(plot_confusion(np.zeros((2, 2), dtype=np.int64), ["cat"], 0.2)).shape[0] == 720


@all_names
def test_ap_by_class_grows_with_the_classes(names: list[str]):
    ap50 = {name: index / len(names) for index, name in enumerate(names)}
    height = pixels_of(plot_ap_by_class({name: value / 2 for name, value in ap50.items()}, ap50, names)).shape[0]
    assert height == {1: 210, 3: 238, 80: 1570}[len(names)]


def test_ap_of_more_classes_than_have_room_and_of_none():
    many = {f"class {i}": i / 500 for i in range(500)}
    assert pixels_of(plot_ap_by_class(many, many, list(many))).shape[0] == 1570
    assert pixels_of(plot_ap_by_class({}, {}, ["cat"])).shape[0] == 210


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"loss_cls": LossCurve([], [])}, {}, id="no step"),
        pytest.param({"loss_cls": LossCurve([1], [float("nan")])}, {}, id="not a number"),
        pytest.param({"loss_cls": LossCurve([1], [0.5])}, {"loss_cls": LossCurve([1], [0.7])}, id="one step"),
        pytest.param({"loss_cls": LossCurve([1, 2, 3], [0.0, 0.0, 0.0])}, {}, id="zero"),
        pytest.param({"loss_cls": LossCurve(range(1, 1001), np.linspace(900, 0.1, 1000))}, {}, id="thousandfold"),
        pytest.param({}, {"红细胞": LossCurve([10, 20], [1.0, -1.0])}, id="of validation only"),
        pytest.param({f"loss {i}": LossCurve([1, 2], [i, 1]) for i in range(30)}, {}, id="thirty"),
    ],
)
def test_losses(training, validation):
    assert pixels_of(plot_losses(training, validation)).shape[0] == 460


def test_the_title_of_a_confusion_matrix_is_not_cut_off():
    """Long names push the axes to the right, and the title does not follow."""
    names = [f"{index} {'W' * 22}" for index in range(9)]
    title = pixels_of(plot_confusion(np.ones((10, 10), dtype=np.int64), names, 0.2))[:30]
    drawn = np.flatnonzero((title < 128).any(axis=(0, 2)))
    assert 100 < drawn[0] < drawn[-1] < 700


def test_losses_below_one_are_written_as_plain_numbers():
    with new_figure(100) as output:
        axes = output.figure.add_subplot()
        _set_loss_scale(axes, 0.02, 3)
        labels = {text.get_text() for text in axes.get_yticklabels(which="both")}
    assert {"0.1", "1"} <= labels
    assert not any("e" in label for label in labels)


