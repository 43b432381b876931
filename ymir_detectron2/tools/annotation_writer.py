"""Annotation files as the platform exports them, one per picture.

ark, releases from 1.2:  `0, 9, 7, 28, 21, -1.0, 0.0`   class index, x1, y1, x2, y2, quality, rotation in units of pi
ark, release 1.1:        `0, 10, 7, 29, 21`
voc: XML with <bndbox> of the same corners. Corners are integers and inclusive in both.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Sequence, Tuple

from PIL import Image, UnidentifiedImageError

LabelledBox = Tuple[str, int, int, int, int]
"""Class name, then x1 y1 x2 y2 in pixels, inclusive."""


def ark_text(boxes: Sequence[LabelledBox], class_names: Sequence[str], columns: int) -> str:
    """Write boxes as ark lines; boxes of other classes are dropped, as the platform does."""
    tail = ", -1.0, 0.0" if columns == 7 else ""
    index_of = {name: index for index, name in enumerate(class_names)}
    known = [box for box in boxes if box[0] in index_of]
    return "".join(f"{index_of[name]}, {x1}, {y1}, {x2}, {y2}{tail}\n" for name, x1, y1, x2, y2 in known)


def voc_text(image: Path, asset_path: str, boxes: Sequence[LabelledBox], class_names: Sequence[str]) -> str:
    """Write boxes as the platform's VOC XML, with the size that the file itself states (EXIF not applied)."""
    width, height = _stored_size(image)
    root = ElementTree.Element("annotation")
    _add(root, "folder", "folder")
    _add(root, "filename", asset_path)
    source = ElementTree.SubElement(root, "source")
    for tag in ("database", "annotation", "image"):
        _add(source, tag, "unknown")
    size = ElementTree.SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, tag, value)
    _add(root, "segmented", 0)
    for box in boxes:
        if box[0] in class_names:
            _add_object(root, box)
    return ElementTree.tostring(root, encoding="unicode")


def _add_object(root: ElementTree.Element, box: LabelledBox) -> None:
    name, x1, y1, x2, y2 = box
    node = ElementTree.SubElement(root, "object")
    for tag, value in (("name", name), ("pose", "unknown"), ("truncated", "unknown"), ("occluded", 0)):
        _add(node, tag, value)
    if x2 - x1 + 1 != 0 and y2 - y1 + 1 != 0:  # the platform leaves <bndbox> out of a box without extent
        corners = ElementTree.SubElement(node, "bndbox")
        for tag, corner in (("xmin", x1), ("ymin", y1), ("xmax", x2), ("ymax", y2)):
            _add(corners, tag, corner)
        _add(corners, "rotate_angle", "0.0000")
    _add(node, "difficult", 0)
    _add(node, "box_quality", "-1.0000")


def _add(parent: ElementTree.Element, tag: str, value: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)


def _stored_size(image: Path) -> tuple[int, int]:
    """(width, height) from the header; (0, 0) for a file that is no picture, as the platform keeps it."""
    try:
        with Image.open(str(image)) as picture:
            return picture.size[0], picture.size[1]
    except (UnidentifiedImageError, OSError):
        return 0, 0
