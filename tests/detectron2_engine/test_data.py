"""detectron2's mapper and loader over the images of a task: unreadable ones, changed ones, the order of channels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.running import TINY_CONFIG

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.structures import BoxMode

    from ymir_detectron2.engines.detectron2_engine.configuration import load_config
    from ymir_detectron2.engines.detectron2_engine.data import Mapper, blank_image


def record(path: Path, hw: tuple[int, int]) -> dict[str, Any]:
    """An entry of detectron2's catalog."""
    box = {"bbox": [2.0, 4.0, 12.0, 24.0], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1}
    return {"file_name": str(path), "height": hw[0], "width": hw[1], "image_id": 1, "annotations": [box]}


def mapped(path: Path, hw: tuple[int, int], **values: Any) -> dict[str, Any]:
    cfg = load_config(TINY_CONFIG).merged({"INPUT.RANDOM_FLIP": "none", **values}, "test")
    return Mapper(cfg.node(), is_train=True)(record(path, hw))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 48, 3)).astype(np.uint8)).save(path)
    return path


def test_an_image_is_resized_with_its_boxes(image: Path):
    """32 x 48 to 64 x 96: everything is twice as large."""
    sample = mapped(image, (32, 48))
    assert sample["image"].shape == (3, 64, 96)
    assert isinstance(sample["image"], np.ndarray), "an array crosses a pipe, a tensor needs /dev/shm"
    assert sample["instances"].gt_boxes.tensor.tolist() == [[4, 8, 24, 48]]
    assert sample["instances"].gt_classes.tolist() == [1]


def test_rgb_models_get_rgb(image: Path):
    bgr, rgb = (mapped(image, (32, 48), **{"INPUT.FORMAT": order})["image"] for order in ("BGR", "RGB"))
    np.testing.assert_array_equal(bgr[::-1], rgb)


def test_a_damaged_image_is_returned_as_such_with_the_shape_that_detectron2_groups_by(image: Path):
    image.write_bytes(b"no image")
    sample = mapped(image, (32, 48))
    assert (sample["height"], sample["width"]) == (32, 48)
    assert "a.png" in sample["unreadable"]


def test_an_image_whose_size_changed_is_left_out(image: Path):
    assert "its size changed since the task began" in mapped(image, (48, 32))["unreadable"]


def test_a_blank_image_has_no_objects():
    blank = blank_image()
    assert blank["image"].shape == (3, 64, 64)
    assert len(blank["instances"]) == 0
