"""Datasets in Pascal VOC form: DIR/annotations/<stem>.xml, DIR/images/<stem>.jpg, and a split with one stem per line.

The folders may also have VOC's own names, Annotations and JPEGImages.
"""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Sequence

from ..errors import ConfigError, DatasetError, briefly
from ..untrusted_files import is_file, open_regular, read_lines
from ..xml_file import NotXmlError, parse_xml
from .annotation_writer import MAX_PIXEL, LabelledBox, is_name
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
    split_file = next(filter(is_file, (folder / split, Path(split))), None)
    if split_file is None:
        raise ConfigError(f"{split}: no such split file, neither below {folder} nor as a path")
    by_name: dict[str, Path] = {}  # one listing of the folder: splits name stems, images may have any extension
    for file in _list(images):
        by_name.setdefault(file.stem, file)
    listed = []
    for line_number, line in enumerate(_read_split(split_file), start=1):
        stem = line.strip()
        if not stem:
            continue
        image = by_name.get(stem) or by_name.get(Path(stem).stem)  # some splits list file names
        if image is None:
            raise DatasetError(
                f"{split_file}:{line_number}: no image named {briefly(stem)} in {images}; correct the line"
            )
        listed.append(image)
    return listed


def _read_split(file: Path) -> list[str]:
    try:
        return read_lines(file)
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read ({exc.strerror}); give a list of names") from exc


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as exc:
        raise ConfigError(f"{folder}: cannot be listed ({exc.strerror}); let this user read it") from exc


def _find_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"{folder}: has no folder {' or '.join(names)}; give the root of a Pascal VOC set")


def _read_annotation(file: Path) -> tuple[tuple[LabelledBox, ...], int]:
    """Return the boxes of one file, and how many of its objects have none."""
    try:
        with open_regular(file) as content:
            root = parse_xml(content.read())
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read ({exc.strerror}); an image without objects needs one too") from exc
    except NotXmlError as exc:
        raise DatasetError(f"{file}: is no XML ({exc}); correct it or take its image out of the split") from exc
    boxes: list[LabelledBox] = []
    without_box = 0  # the platform exports objects of zero width or height without <bndbox>
    for node in root.iter("object"):
        name, corners = node.findtext("name"), node.find("bndbox")
        if not name or not name.strip():
            raise DatasetError(f"{file}: an object has no <name>; correct it")
        if not is_name(name):
            raise DatasetError(f"{file}: {briefly(name)} cannot be the name of a class; correct it")
        if corners is None:
            without_box += 1
            continue
        x1, y1, x2, y2 = (_read_corner(corners, tag, file) for tag in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append((name.strip(), x1, y1, x2, y2))
    return tuple(boxes), without_box


def _read_corner(corners: ElementTree.Element, tag: str, file: Path) -> int:
    text = corners.findtext(tag)
    try:
        corner = float(text or "")
    except ValueError:
        corner = math.nan
    if not abs(corner) <= MAX_PIXEL:  # NaN is neither
        raise DatasetError(f"{file}: <{tag}> holds {briefly(text)}, expected pixels; correct it")
    return int(corner)  # fractions are cut, as the platform's import does
