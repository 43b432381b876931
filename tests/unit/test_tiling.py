"""Boxes of tiles in pixels of their image, and every object once."""

from __future__ import annotations

import numpy as np
import pytest

from ymir_detectron2.detections import Detections
from ymir_detectron2.inference.tiling import merge_tiles, tile_to_image
from ymir_detectron2.tile_windows import Window

WHOLE = Window(0, 0, 200, 100)
LEFT, RIGHT = Window(0, 0, 120, 100), Window(80, 0, 120, 100)


def detected(*rows: tuple, with_probs: bool = False) -> Detections:
    """(x1, y1, x2, y2, score, class) each."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    classes = table[:, 5].astype(np.int64)
    probs = np.eye(3, dtype=np.float32)[classes] if with_probs else None
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), classes, probs)


def rows_of(detections: Detections) -> list[tuple]:
    return [
        (*map(float, box), round(float(score), 4), int(class_id))
        for box, score, class_id in zip(detections.boxes_xyxy, detections.scores, detections.classes)
    ]


def test_boxes_of_a_tile_are_scaled_and_clipped_into_the_image():
    """A window of 100 x 50 pixels at (40, 10), resized to twice the size."""
    in_image = tile_to_image(
        detected((0, 0, 20, 20, 0.9, 0), (180, 80, 300, 300, 0.8, 1), (250, 0, 260, 20, 0.7, 2), with_probs=True),
        Window(40, 10, 100, 50), (100, 200, 3),
    )  # fmt: skip
    assert rows_of(in_image) == [(40, 10, 50, 20, 0.9, 0), (130, 50, 140, 60, 0.8, 1)]
    assert in_image.class_probs.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert in_image.boxes_xyxy.dtype == np.float32


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        pytest.param([detected(), detected()], [], id="no detections"),
        pytest.param(
            [detected((10, 10, 30, 30, 0.8, 0)), detected((10, 10, 31, 30, 0.9, 0))], [(10, 10, 31, 30, 0.9, 0)],
            id="twice the same object",
        ),
        pytest.param(
            [detected((10, 10, 30, 30, 0.8, 0)), detected((10, 10, 31, 30, 0.9, 1))],
            [(10, 10, 31, 30, 0.9, 1), (10, 10, 30, 30, 0.8, 0)], id="of two classes",
        ),
        pytest.param(
            [detected((10, 10, 30, 30, 0.8, 0)), detected((20, 10, 40, 30, 0.9, 0))],
            [(20, 10, 40, 30, 0.9, 0), (10, 10, 30, 30, 0.8, 0)], id="neighbours, IoU a third",
        ),
        pytest.param(
            [detected((60, 10, 180, 90, 0.6, 0)), detected((60, 10, 120, 90, 0.9, 0))], [(60, 10, 180, 90, 0.6, 0)],
            id="the tile has half of it, with a better score",
        ),
        pytest.param(
            [detected((60, 10, 180, 90, 0.6, 1)), detected((60, 10, 120, 90, 0.9, 0))],
            [(60, 10, 120, 90, 0.9, 0), (60, 10, 180, 90, 0.6, 1)], id="half of something else",
        ),
        pytest.param(
            [detected(), detected((60, 10, 120, 90, 0.9, 0))], [(60, 10, 120, 90, 0.9, 0)], id="half and no whole"
        ),
    ],
)  # fmt: skip
def test_every_object_once(tiles: list[Detections], expected: list[tuple]):
    assert rows_of(merge_tiles(tiles, [WHOLE, LEFT], (100, 200))) == expected


def test_an_object_at_the_edge_of_the_image_is_not_cut():
    tiles = [detected((0, 0, 200, 100, 0.5, 0)), detected((0, 0, 50, 100, 0.9, 0))]
    assert len(merge_tiles(tiles, [WHOLE, LEFT], (100, 200))) == 2


def test_the_only_tile_stays_as_it_is():
    detections = detected((10, 10, 30, 30, 0.8, 0), (10, 10, 30, 30, 0.8, 0))
    assert merge_tiles([detections], [WHOLE], (100, 200)) is detections


def test_the_order_of_tiles_changes_nothing():
    boxes = (60, 10, 180, 90, 0.6, 0), (5, 5, 119, 50, 0.9, 1), (80, 12, 181, 91, 0.7, 0)
    tiles = [detected(box) for box in boxes]
    windows = [WHOLE, LEFT, RIGHT]
    forward = merge_tiles(tiles, windows, (100, 200))
    backward = merge_tiles(tiles[::-1], windows[::-1], (100, 200))
    assert rows_of(forward) == rows_of(backward)
