"""Label Studio's own JSON: tasks with predictions, which it shows as pre-annotations, and the labelling interface.

    tasks.json        import it into a project; coordinates are percentages of the image
    label-config.xml  the interface of the project: Settings, Labeling Interface, Code
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Sequence
from urllib.parse import quote

from ..contract.infer_result import ResultBox
from .predictions import PredictedImage, Predictions
from .writer import DatasetFolder

LOCAL_FILES = "/data/local-files/?d="
"""The address of a file in the folder that Label Studio serves (LOCAL_FILES_DOCUMENT_ROOT)."""
_IMAGE, _LABEL = "image", "label"  # as in Label Studio's own template for boxes


def write_label_studio(predictions: Predictions, folder: DatasetFolder, image_prefix: str = LOCAL_FILES) -> Path:
    """Write both files; return tasks.json. Images are not copied: Label Studio shows them from their address.

    Args:
        image_prefix: comes before the name of an image.
    """
    tasks = [_task(image, predictions.model_version, image_prefix) for image in predictions.images]
    folder.write_text("label-config.xml", label_config(predictions.class_names))
    return folder.write_text("tasks.json", json.dumps(tasks, ensure_ascii=False, indent=1))


def label_config(class_names: Sequence[str]) -> str:
    """Return the labelling interface for boxes of these classes."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_IMAGE, value="$image")
    labels = ElementTree.SubElement(view, "RectangleLabels", name=_LABEL, toName=_IMAGE)
    for name in class_names:
        ElementTree.SubElement(labels, "Label", value=name)
    return ElementTree.tostring(view, encoding="unicode")


def _task(image: PredictedImage, model_version: str, image_prefix: str) -> dict[str, Any]:
    scores = [box.score for box in image.boxes]
    prediction = {
        "model_version": model_version,
        # tasks can be ordered by it
        "score": sum(scores) / len(scores) if scores else 0.0,
        "result": [_region(box, image, number) for number, box in enumerate(image.boxes)],
    }
    address = image_prefix + quote(str(image.name), errors="surrogateescape")
    return {"data": {"image": address}, "predictions": [prediction]}


def _region(box: ResultBox, image: PredictedImage, number: int) -> dict[str, Any]:
    return {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": _LABEL,
        "to_name": _IMAGE,
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {
            "x": 100 * box.x / image.width,
            "y": 100 * box.y / image.height,
            "width": 100 * box.w / image.width,
            "height": 100 * box.h / image.height,
            "rotation": 0,
            "rectanglelabels": [box.class_name],
        },
        "score": box.score,
    }
