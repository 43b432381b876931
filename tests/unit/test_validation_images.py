"""Validation images for TensorBoard: which, and what is on their left and right halves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.metrics import Evaluation, evaluate
from ymir_detectron2.evaluation.validation_images import COUNT, draw_validation_images

BOX, FAR = (50, 50, 150, 150), (200, 50, 300, 150)


def evaluation_of(folder: Path, labelled: list[bool], *, size: tuple[int, int] = (400, 200)) -> Evaluation:
    """Grey images, each with detections at BOX (0.9) and FAR (0.1); those that are labelled have a box at BOX."""
    records, predictions = [], {}
    for number, has_label in enumerate(labelled, start=1):
        path = folder / f"{number}.png"
        Image.new("RGB", size, (128, 128, 128)).save(path)
        boxes = np.array([BOX] if has_label else [], dtype=np.float32).reshape(-1, 4)
        records.append(Record(path, size[0], size[1], boxes, np.zeros(len(boxes), dtype=np.int32)))
        pred = np.array([BOX, FAR], dtype=np.float32)
        predictions[number] = Detections(pred, np.array([0.9, 0.1], dtype=np.float32), np.zeros(2, dtype=np.int64))
    write_coco_json(folder / "val.json", records, ("cat",))
    return evaluate(folder / "val.json", predictions, ("cat",))


def pixels_of(jpeg: bytes) -> np.ndarray:
    assert jpeg.startswith(b"\xff\xd8")
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def is_coloured(pixels: np.ndarray, x: float, y: float) -> bool:
    """Whether a place of a half is far from the grey of the image; the caption is 20 pixels high."""
    around = pixels[20 + round(y) - 2 : 20 + round(y) + 3, round(x) - 2 : round(x) + 3]
    return bool((np.ptp(around, axis=2) > 60).any())


def test_labels_are_on_the_left_and_detections_above_the_best_threshold_on_the_right(tmp_path: Path):
    ((number, jpeg),) = draw_validation_images(evaluation_of(tmp_path, [True]))
    pixels = pixels_of(jpeg)
    assert (number, pixels.shape) == (1, (220, 808, 3))
    left, right = pixels[:, :400], pixels[:, 408:]
    assert is_coloured(left, 50, 120)
    assert is_coloured(right, 50, 120)
    assert not is_coloured(left, 300, 120)
    assert not is_coloured(right, 300, 120), "0.1 is below the best threshold"


def test_boxes_fit_an_image_that_is_reduced(tmp_path: Path):
    ((_, jpeg),) = draw_validation_images(evaluation_of(tmp_path, [True], size=(2048, 1024)))
    pixels = pixels_of(jpeg)
    assert pixels.shape == (276, 2 * 512 + 8, 3)
    assert is_coloured(pixels, 50 / 4, 100 / 4)
    assert not is_coloured(pixels, 50, 100)


@pytest.mark.parametrize(
    ("labelled", "numbers"),
    [
        ([False, True, False, True], [1, 2]),
        ([False, False], [1, 2]),
        ([], []),
        ([True] * 20, list(range(1, COUNT + 1))),
    ],
)
def test_images_with_labels_come_first_and_at_most_eight(tmp_path: Path, labelled: list[bool], numbers: list[int]):
    assert [number for number, _ in draw_validation_images(evaluation_of(tmp_path, labelled))] == numbers


def test_the_same_set_gives_the_same_bytes_and_an_image_that_is_gone_leaves_the_numbers_of_the_others(tmp_path: Path):
    evaluation = evaluation_of(tmp_path, [True, True, True])
    before = dict(draw_validation_images(evaluation))
    (tmp_path / "2.png").unlink()
    assert dict(draw_validation_images(evaluation)) == {1: before[1], 3: before[3]}
