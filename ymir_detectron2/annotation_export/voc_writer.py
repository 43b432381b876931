"""Pascal VOC as LabelImg and CVAT read it: Annotations/ with one XML per image, and JPEGImages/."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

from ..tools.annotation_writer import add_elements
from .own_names import names_by_stem
from .predictions import PredictedImage, Predictions
from .writer import DatasetFolder


def write_voc(predictions: Predictions, folder: DatasetFolder) -> Path:
    """Write all files; return the folder of the XML files."""
    names = names_by_stem(image.name for image in predictions.images)
    folder.place_images("JPEGImages", zip(names, (image.file for image in predictions.images)))
    for name, image in zip(names, predictions.images):
        folder.write_text(f"Annotations/{name.with_suffix('.xml')}", voc_document(name, image))
    return folder.root / "Annotations"


def voc_document(name: PurePosixPath, image: PredictedImage) -> str:
    """Return the XML of an image, with the size of the upright image, to which the boxes belong.

    `<confidence>` is the score, which most tools ignore. Corners are inclusive.
    """
    root = ElementTree.Element("annotation")
    add_elements(root, folder=str(name.parent), filename=name.name)
    add_elements(ElementTree.SubElement(root, "size"), width=image.width, height=image.height, depth=3)
    add_elements(root, segmented=0)
    for box in image.boxes:
        node = ElementTree.SubElement(root, "object")
        add_elements(node, name=box.class_name, pose="Unspecified", truncated=0, difficult=0, confidence=box.score)
        corners = ElementTree.SubElement(node, "bndbox")
        add_elements(corners, xmin=box.x, ymin=box.y, xmax=box.x + box.w - 1, ymax=box.y + box.h - 1)
    return ElementTree.tostring(root, encoding="unicode")
