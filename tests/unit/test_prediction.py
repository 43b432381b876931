"""What a prediction says of itself, and how it is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_image
from ymir_detectron2.api.prediction import DetectedObject, Prediction
from ymir_detectron2.errors import ConfigError, ImageError, StorageError
from ymir_detectron2.evaluation.box_drawing import class_colour


def prediction(image: object, image_hw: tuple[int, int] = (96, 64)) -> Prediction:
    """A cat at the top, and below it 红细胞."""
    boxes = np.array([[4.5, 8, 40, 30.25], [10, 50, 60, 90]], dtype=np.float32)
    scores, classes = np.array([0.75, 0.5], dtype=np.float32), np.array([1, 0])
    return Prediction(boxes, scores, classes, ("红细胞", "cat"), image_hw, image)


def test_boxes_one_by_one_as_dictionaries_and_as_json():
    found = prediction("a.jpg")
    assert len(found) == 2
    assert found.names == ["cat", "红细胞"]
    assert list(found) == [
        DetectedObject("cat", 0.75, (4.5, 8.0, 40.0, 30.25)), DetectedObject("红细胞", 0.5, (10.0, 50.0, 60.0, 90.0)),
    ]  # fmt: skip
    assert found.to_dicts()[0] == {"name": "cat", "class": 1, "score": 0.75, "box_xyxy": [4.5, 8.0, 40.0, 30.25]}
    assert json.loads(found.to_json()) == found.to_dicts()
    assert "红细胞" in found.to_json()


def test_no_boxes(tmp_path: Path):
    draw_image(tmp_path / "a.png")
    nothing = Prediction(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ("cat",), (64, 96),
        tmp_path / "a.png",
    )  # fmt: skip
    assert (len(nothing), list(nothing), nothing.names, nothing.to_json()) == (0, [], [], "[]")
    with Image.open(tmp_path / "a.png") as original:
        np.testing.assert_array_equal(np.asarray(nothing.plot()), np.asarray(original))


def colours(image: Image.Image) -> set[int]:
    """Which of the classes are drawn."""
    pixels = np.asarray(image)
    return {class_id for class_id in range(3) if (pixels == class_colour(class_id)).all(axis=2).any()}


def test_a_plot_is_upright_in_the_size_of_the_image_whatever_was_given(tmp_path: Path):
    path = tmp_path / "turned.jpg"
    draw_image(path, wh=(64, 96), orientation=6)
    from_path = prediction(path).plot()
    assert (from_path.size, from_path.mode, colours(from_path)) == ((64, 96), "RGB", {0, 1})
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(prediction(opened).plot()), np.asarray(from_path))
    array = np.zeros((96, 64, 3), dtype=np.uint8)
    array[:, :, 0] = 200  # blue of BGR
    drawn = np.asarray(prediction(array).plot())
    assert drawn[-1, -1].tolist() == [0, 0, 200]
    assert (array[:, :, 1:] == 0).all(), "a copy is drawn into"


def test_a_plot_is_saved_in_the_format_of_its_name(tmp_path: Path):
    path = tmp_path / "a.png"
    draw_image(path, wh=(64, 96))
    drawn = prediction(path).plot(tmp_path / "boxes.png")
    with Image.open(tmp_path / "boxes.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(drawn))
    prediction(path).plot(str(tmp_path / "boxes.jpg"))
    with Image.open(tmp_path / "boxes.jpg") as saved:
        assert saved.format == "JPEG"


def test_what_cannot_be_plotted_is_said_in_one_sentence(tmp_path: Path):
    path = tmp_path / "a.png"
    draw_image(path, wh=(64, 96))
    for name in ("boxes", "boxes.txt"):
        with pytest.raises(ConfigError, match="its suffix names no image format"):
            prediction(path).plot(tmp_path / name)
    with pytest.raises(StorageError, match="cannot be written"):
        prediction(path).plot(tmp_path / "no folder" / "boxes.png")
    path.unlink()
    with pytest.raises(ImageError, match=r"a\.png: cannot be read as an image"):
        prediction(path).plot()
