"""Annotation files as the platform exports them, one per image.

ark, releases from 1.2:  `0, 9, 7, 28, 21, -1.0, 0.0`   class id, x1, y1, x2, y2, quality, rotation in units of pi
ark, release 1.1:        `0, 10, 7, 29, 21`
voc: XML with <bndbox> of the same corners. Corners are integers and inclusive in both.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Sequence

from PIL import UnidentifiedImageError

from ..dataset.image_reading import open_image
from ..sources.labelled_image import LabelledBox


def ark_text(boxes: Sequence[LabelledBox], class_names: Sequence[str], columns: int) -> str:
    """Format boxes as ark lines; boxes of other classes are dropped, as the platform does."""
    tail = ", -1.0, 0.0" if columns == 7 else ""  # the platform's values for "not set"
    index_of = {name: index for index, name in enumerate(class_names)}
    known = [box for box in boxes if box[0] in index_of]
    return "".join(f"{index_of[name]}, {x1}, {y1}, {x2}, {y2}{tail}\n" for name, x1, y1, x2, y2 in known)


def voc_text(image: Path, asset_path: str, boxes: Sequence[LabelledBox], class_names: Sequence[str]) -> str:
    """Format boxes as the platform's VOC XML, with the size in the header of the file (EXIF not applied)."""
    try:
        # not image_reading.read_image_hw: that returns the size of the upright image
        with open_image(image) as opened:
            width, height = opened.size
    except (UnidentifiedImageError, OSError):
        width, height = 0, 0  # the platform's size of a file that is not an image
    root = ElementTree.Element("annotation")
    add_elements(root, folder="folder", filename=asset_path)
    add_elements(ElementTree.SubElement(root, "source"), database="unknown", annotation="unknown", image="unknown")
    add_elements(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    add_elements(root, segmented=0)
    for name, x1, y1, x2, y2 in boxes:
        if name not in class_names:
            continue
        node = ElementTree.SubElement(root, "object")
        # the platform writes the word "unknown" for a number here, which readers must survive
        add_elements(node, name=name, pose="unknown", truncated="unknown", occluded=0)
        if x2 - x1 + 1 != 0 and y2 - y1 + 1 != 0:  # the platform writes no <bndbox> for a box of zero width or height
            corners = ElementTree.SubElement(node, "bndbox")
            add_elements(corners, xmin=x1, ymin=y1, xmax=x2, ymax=y2, rotate_angle="0.0000")
        add_elements(node, difficult=0, box_quality="-1.0000")
    return ElementTree.tostring(root, encoding="unicode")


def add_elements(parent: ElementTree.Element, **texts: object) -> None:
    """Add an element of text for each name, in the given order."""
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)
