"""Datasets in Pascal VOC form: DIR/annotations/<stem>.xml, DIR/images/<stem>.jpg, and a split with one stem per line.

The folders may also have VOC's own names, Annotations and JPEGImages.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Sequence

from ..errors import ConfigError, DatasetError
from ..untrusted_files import open_regular, read_lines
from .annotation_writer import LabelledBox
from .task_folder import AnnotatedImage

logger = logging.getLogger(__name__)


def read_voc(folder: Path, split: str) -> list[AnnotatedImage]:
    """Read the images of one split with their boxes.

    Corners are kept as they are: VOC's are 1-based, and the platform does not shift them when it imports a dataset.

    Args:
        folder: contains the folders of annotations and images.
        split: name of the split file, below `folder` or as a path.

    Raises:
        ConfigError: if a folder or the split file is missing.
        DatasetError: if a listed image or its annotation is missing or unreadable.
    """
    annotations = _find_folder(folder, ("annotations", "Annotations"))
    image_paths = list_voc_images(folder, split)
    images = []
    without_box = 0
    for image in image_paths:
        boxes, skipped = _read_annotation(annotations / f"{image.stem}.xml")
        images.append(AnnotatedImage(image, boxes))
        without_box += skipped
    if without_box:
        logger.warning("left out %d objects without <bndbox> in %s", without_box, annotations)
    return images


def list_voc_images(folder: Path, split: str) -> list[Path]:
    """Return the image paths of one split, in its order; annotations are not needed.

    Raises:
        ConfigError: if the folder of images or the split file is missing.
        DatasetError: if a listed image is missing.
    """
    images = _find_folder(folder, ("images", "JPEGImages"))
    split_file = next((file for file in (folder / split, Path(split)) if file.is_file()), None)
    if split_file is None:
        raise ConfigError(f"{split}: no such split file, neither below {folder} nor as a path")
    by_name: dict[str, Path] = {}  # one listing of the folder: splits name stems, images may have any extension
    for file in sorted(images.iterdir()):
        by_name.setdefault(file.stem, file)
    listed = []
    for line_number, line in enumerate(read_lines(split_file), start=1):
        stem = line.strip()
        if not stem:
            continue
        image = by_name.get(stem) or by_name.get(Path(stem).stem)  # some splits list file names
        if image is None:
            raise DatasetError(f"{split_file}:{line_number}: no image named {stem!r} in {images}; correct the line")
        listed.append(image)
    return listed


def _find_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"{folder}: has no folder {' or '.join(names)}; give the root of a Pascal VOC set")


def _read_annotation(file: Path) -> tuple[tuple[LabelledBox, ...], int]:
    """Return the boxes of one file, and how many of its objects have none."""
    try:
        with open_regular(file) as content:
            root = ElementTree.parse(content).getroot()  # noqa: S314 - expat limits entity expansion since 2.4.1
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read ({exc.strerror}); an image without objects needs one too") from exc
    except ElementTree.ParseError as exc:
        raise DatasetError(f"{file}: is no XML ({exc}); correct it or take its image out of the split") from exc
    boxes: list[LabelledBox] = []
    without_box = 0  # the platform exports objects of zero width or height without <bndbox>
    for node in root.iter("object"):
        name, corners = node.findtext("name"), node.find("bndbox")
        if not name or not name.strip():
            raise DatasetError(f"{file}: an object has no <name>; correct it")
        if corners is None:
            without_box += 1
            continue
        x1, y1, x2, y2 = (_read_corner(corners, tag, file) for tag in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append((name.strip(), x1, y1, x2, y2))
    return tuple(boxes), without_box


def _read_corner(corners: ElementTree.Element, tag: str, file: Path) -> int:
    text = corners.findtext(tag)
    try:
        return int(float(text or ""))  # fractions are cut, as the platform's import does
    except (ValueError, OverflowError) as exc:
        raise DatasetError(f"{file}: <{tag}> holds {text!r}, expected pixels; correct it") from exc
