"""The figures of an active learning experiment."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmarks.learning_curves import Curves
from benchmarks.learning_figures import draw_figures
from tests.unit.test_learning_curves import TWO_SEEDS, finished

pytest.importorskip("matplotlib")


def read(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def test_curves_and_what_labels_are_spent_on_are_drawn() -> None:
    figures = draw_figures(Curves(TWO_SEEDS), "demo")
    assert list(figures) == ["by_labels.png", "by_boxes.png", "by_empty.png", "by_class.png", "spent.png"]
    shapes = [read(png).shape for png in figures.values()]
    assert shapes[:3] == [(500, 800, 3)] * 3


def test_without_empty_images_there_is_no_figure_of_them() -> None:
    curves = Curves([dataclasses.replace(one, empty_images=0) for one in TWO_SEEDS])
    assert list(draw_figures(curves, "demo")) == ["by_labels.png", "by_boxes.png", "by_class.png", "spent.png"]


def test_same_curves_same_bytes_and_others_others() -> None:
    first, again = (draw_figures(Curves(TWO_SEEDS), "demo") for _ in range(2))
    other = draw_figures(Curves([*TWO_SEEDS[:-1], finished(0, "margin", 1, 0.6, empty=8)]), "demo")
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_of_many_classes_the_panels_are_bounded() -> None:
    shapes = []
    for count in (8, 300):
        shown = {f"class {number}": number for number in range(count)}
        curves = Curves([dataclasses.replace(one, images_by_class=shown) for one in TWO_SEEDS])
        shapes.append(read(draw_figures(curves, "demo")["spent.png"]).shape)
    assert shapes[0] == shapes[1]
