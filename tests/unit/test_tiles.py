"""The benchmark of tiles: its scenes, its boards, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import tiles
from benchmarks.tiles import SCENE_HW, Row, as_table, boards, scenes


def test_scenes_have_small_and_large_objects_where_their_boxes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tiles, "TRAINING", 2)
    monkeypatch.setattr(tiles, "VALIDATION", 1)
    drawn = scenes(tmp_path / "drawn")
    assert (len(drawn.train), len(drawn.val)) == (2, 1)
    assert drawn.class_names == ["disc", "triangle"]
    sides = [(x2 - x1 + 1, y2 - y1 + 1) for image in drawn.train for _, x1, y1, x2, y2 in image.boxes]
    assert all(w == h and (10 <= w <= 16 or 80 <= w <= 160) for w, h in sides)
    assert sum(w <= 16 for w, _ in sides) > sum(w > 16 for w, _ in sides) > 0
    pixels = np.asarray(Image.open(drawn.train[0].path))
    assert pixels.shape == (*SCENE_HW, 3)
    _, x1, y1, x2, y2 = drawn.train[0].boxes[0]
    below_the_centre = pixels[y1 + 3 * (y2 - y1) // 4, (x1 + x2) // 2]
    assert 255 in below_the_centre, "one channel of every object is full"


def test_boards_are_those_with_objects(tmp_path: Path):
    for name, count in (("pool", 3), ("val", 2)):
        images = [{"id": n, "file_name": f"{name}{n}.png", "width": 32, "height": 32} for n in range(count)]
        for image in images:
            Image.new("RGB", (32, 32)).save(tmp_path / str(image["file_name"]))
        content = {"images": images, "categories": [{"id": 1, "name": "open"}],
                   "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 10]}]}  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    found = boards(tmp_path)
    assert [image.path.name for image in (*found.train, *found.val)] == ["pool1.png", "val1.png"]


def test_table_has_mean_and_range_over_the_seeds():
    rows = [Row("scenes", seed, "tiles", "whole", 128, 0.1 * seed, 0.5, None, 0.25) for seed in (1, 2)]
    row = "| scenes | tiles of 128 px | whole | 0.150 (0.100 to 0.200) | 0.500 (0.500 to 0.500) | - |"
    assert as_table(rows).splitlines()[2:] == [f"{row} 0.250 (0.250 to 0.250) |"]
