"""YOLO as ultralytics, CVAT and Roboflow read it: images/, labels/ with one text file per image, and data.yaml.

A line is `class x y w h`, in parts of the upright image. It has no score: readers of labels take a sixth number for an
error.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from .own_names import names_by_stem
from .predictions import PredictedImage, Predictions
from .writer import DatasetFolder

_HEADER = "# predictions, to be corrected; divide them and add val: before training on them with ultralytics\n"


def write_yolo(predictions: Predictions, folder: DatasetFolder) -> Path:
    """Write all files; return data.yaml."""
    class_ids = {name: number for number, name in enumerate(predictions.class_names)}
    names = names_by_stem(image.name for image in predictions.images)
    folder.place_images("images", zip(names, (image.file for image in predictions.images)))
    for name, image in zip(names, predictions.images):
        folder.write_text(f"labels/{name.with_suffix('.txt')}", label_lines(image, class_ids))
    content = {"train": "images", "names": {number: name for name, number in class_ids.items()}}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    return folder.write_text("data.yaml", _HEADER + text)


def label_lines(image: PredictedImage, class_ids: dict[str, int]) -> str:
    """Return a line for each box; eight decimals are exact to 0.001 pixels in any image."""
    return "".join(
        f"{class_ids[box.class_name]} {(box.x + box.w / 2) / image.width:.8f} {(box.y + box.h / 2) / image.height:.8f}"
        f" {box.w / image.width:.8f} {box.h / image.height:.8f}\n"
        for box in image.boxes
    )
