"""Pascal VOC as a source of pictures: DIR/annotations/<stem>.xml, DIR/images/<stem>.jpg, a split with one stem a line.

The folders may also bear VOC's own names, Annotations and JPEGImages.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Sequence

from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.tools.annotation_writer import LabelledBox
from ymir_detectron2.tools.task_folder import LabelledPicture

logger = logging.getLogger(__name__)


def read_voc(folder: Path, split: str) -> list[LabelledPicture]:
    """Read the pictures of one split with their boxes; corners are kept as they stand.

    Args:
        folder: holds the folders of annotations and images.
        split: name of the split file, below `folder` or as a path.

    Raises:
        ConfigError: if a folder or the split file is not there.
        DatasetError: if a listed picture or its annotation is missing or unreadable.
    """
    annotations = _find_folder(folder, ("annotations", "Annotations"))
    images = list_voc_images(folder, split)
    pictures = []
    without_box = 0
    for image in images:
        boxes, incomplete = _read_annotation(annotations / f"{image.stem}.xml")
        pictures.append(LabelledPicture(image, boxes))
        without_box += incomplete
    if without_box:
        logger.warning("left out %d objects without <bndbox> in %s", without_box, annotations)
    return pictures


def list_voc_images(folder: Path, split: str) -> list[Path]:
    """Find the pictures of one split, in its order, without a look at their annotations."""
    images = _find_folder(folder, ("images", "JPEGImages"))
    split_file = _find_split(folder, split)
    by_name: dict[str, Path] = {}
    for file in sorted(images.iterdir()):
        by_name.setdefault(file.stem, file)
    found = []
    for line_number, line in enumerate(split_file.read_text(encoding="utf-8").splitlines(), start=1):
        stem = line.strip()
        if not stem:
            continue
        image = by_name.get(stem) or by_name.get(Path(stem).stem)
        if image is None:
            raise DatasetError(f"{split_file}:{line_number}: no picture named {stem!r} in {images}; correct the line")
        found.append(image)
    return found


def _find_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"{folder}: has no folder {' or '.join(names)}; give the root of a Pascal VOC set")


def _find_split(folder: Path, split: str) -> Path:
    for file in (folder / split, Path(split)):
        if file.is_file():
            return file
    raise ConfigError(f"{split}: no such split file, neither below {folder} nor as a path")


def _read_annotation(file: Path) -> tuple[tuple[LabelledBox, ...], int]:
    """Boxes of one file, and how many of its objects have none."""
    try:
        root = ElementTree.parse(str(file)).getroot()  # noqa: S314 - the user's own files
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read ({exc.strerror}); a picture without objects needs one too") from exc
    except ElementTree.ParseError as exc:
        raise DatasetError(f"{file}: is no XML ({exc}); correct it or take its picture out of the split") from exc
    boxes = [_read_object(node, file) for node in root.iter("object")]
    complete = tuple(box for box in boxes if box)
    return complete, len(boxes) - len(complete)


def _read_object(node: ElementTree.Element, file: Path) -> LabelledBox | None:
    name, corners = node.findtext("name"), node.find("bndbox")
    if not name or not name.strip():
        raise DatasetError(f"{file}: an object has no <name>; correct it")
    if corners is None:
        return None
    x1, y1, x2, y2 = (_read_corner(corners, tag, file) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return name.strip(), x1, y1, x2, y2


def _read_corner(corners: ElementTree.Element, tag: str, file: Path) -> int:
    text = corners.findtext(tag)
    try:
        return int(float(text or ""))  # fractions are cut, as the platform's import does
    except (ValueError, OverflowError) as exc:
        raise DatasetError(f"{file}: <{tag}> holds {text!r}, expected pixels; correct it") from exc
