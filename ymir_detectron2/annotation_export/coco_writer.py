"""COCO JSON: annotations.json for a labelling tool, detections.json for pycocotools' `loadRes`, and images/.

    annotations.json  {"images": [...], "categories": [...], "annotations": [{..., "bbox": [x, y, w, h], "score": 0.9}]}
    detections.json   [{"image_id": 1, "category_id": 1, "bbox": [x, y, w, h], "score": 0.9}]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .predictions import Predictions
from .writer import DatasetFolder


def write_coco(predictions: Predictions, folder: DatasetFolder) -> Path:
    """Write both files and the images; return the first file."""
    category_ids = {name: number for number, name in enumerate(predictions.class_names, start=1)}
    images: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image_id, image in enumerate(predictions.images, start=1):
        images.append({"id": image_id, "file_name": str(image.name), "width": image.width, "height": image.height})
        detections += [
            {
                "image_id": image_id, "category_id": category_ids[box.class_name],
                "bbox": [box.x, box.y, box.w, box.h], "score": box.score,
            }
            for box in image.boxes
        ]  # fmt: skip
    content = {
        "info": {"description": f"predictions of {predictions.model_version}"},
        "images": images,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
        "annotations": [
            # `score` is none of COCO's keys: tools that do not know it ignore it
            {"id": number, **found, "area": found["bbox"][2] * found["bbox"][3], "iscrowd": 0, "segmentation": []}
            for number, found in enumerate(detections, start=1)
        ],
    }
    folder.place_images("images", ((image.name, image.file) for image in predictions.images))
    folder.write_text("detections.json", json.dumps(detections))
    return folder.write_text("annotations.json", json.dumps(content, ensure_ascii=False))
