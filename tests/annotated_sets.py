"""Small datasets in Pascal VOC and COCO form, for the tools that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from PIL import Image

from ymir_detectron2.sources.labelled_image import LabelledBox

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


def marked_image(
    path: Path,
    box: tuple[int, int, int, int] = (20, 10, 60, 50),
    wh: tuple[int, int] = (96, 64),
    *,
    orientation: int = 1,
    shade: int = 0,
) -> Path:
    """Write a dark image with a white rectangle: inclusive corners, pixels as stored. Other shades are other bytes."""
    pixels = np.full((wh[1], wh[0]), shade, np.uint8)
    x1, y1, x2, y2 = box
    pixels[y1 : y2 + 1, x1 : x2 + 1] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def corners_xml(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"


def voc_xml(*objects: str, wh: tuple[int, int] | None = None) -> str:
    """Return an annotation with objects of the class cat, each given by what follows its name."""
    size = f"<size><width>{wh[0]}</width><height>{wh[1]}</height><depth>3</depth></size>" if wh else ""
    nodes = "".join(f"<object><name>cat</name>{inside}</object>" for inside in objects)
    return f"<annotation>{size}{nodes}</annotation>"


def write_text(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
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
