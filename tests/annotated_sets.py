"""Small datasets in Pascal VOC and COCO form, for the tools that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from PIL import Image

from ymir_detectron2.tools.annotation_writer import LabelledBox

COCO_ANNOTATIONS = (
    {"id": 1, "image_id": 7, "category_id": 9, "bbox": [4.0, 5.0, 10.0, 6.0]},
    {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 3.6, 4.4], "iscrowd": 0},
    {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1},
)


def grey_image(path: Path, shade: int, wh: tuple[int, int] = (40, 30)) -> Path:
    """Write an image of one colour; different shades are different bytes, and so different assets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((wh[1], wh[0], 3), shade, np.uint8)).save(path)
    return path


def write_voc(
    folder: Path,
    images: Mapping[str, Sequence[LabelledBox]],
    splits: Mapping[str, Sequence[str]],
    *,
    names: tuple[str, str] = ("annotations", "images"),
) -> Path:
    """Write images by stem with their boxes, and split files by name with the stems that they list."""
    (folder / names[0]).mkdir(parents=True)
    for number, (stem, boxes) in enumerate(images.items()):
        grey_image(folder / names[1] / f"{stem}.jpg", 10 * number + 10)
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for name, x1, y1, x2, y2 in boxes
        )
        (folder / names[0] / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    for name, stems in splits.items():
        (folder / name).write_text("".join(f"{stem}\n" for stem in stems))
    return folder


def write_coco(
    folder: Path, split: str, annotations: Sequence[Mapping[str, Any]] = COCO_ANNOTATIONS, **changes: Any
) -> Path:
    """Write images/SPLIT.png and return SPLIT.json, in which ids have gaps; `changes` replace its lists."""
    grey_image(folder / "images" / f"{split}.png", 40 + len(split))
    content = {
        "images": [{"id": 7, "file_name": f"{split}.png", "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "Dog"}, {"id": 9, "name": "cat"}],
        "annotations": list(annotations),
        **changes,
    }
    file = folder / f"{split}.json"
    file.write_text(json.dumps(content))
    return file
