"""COCO JSON as a source of pictures: `images`, `categories` and `annotations` with `bbox` x, y, w, h in pixels."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Mapping

from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.tools.annotation_writer import LabelledBox
from ymir_detectron2.tools.task_folder import LabelledPicture

logger = logging.getLogger(__name__)


def read_coco(images_dir: Path, json_file: Path) -> list[LabelledPicture]:
    """Read a COCO file's pictures with their boxes, corners rounded to inclusive integers.

    Crowd regions are left out and counted: YMIR has no such thing, they would count as objects.

    Raises:
        ConfigError: if the file is not there or is no COCO JSON.
        DatasetError: if a picture is missing or an annotation points nowhere.
    """
    content = _load_coco(json_file)
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        boxes: dict[Any, list[LabelledBox]] = {image["id"]: [] for image in content["images"]}
        crowds = 0
        for annotation in content["annotations"]:
            crowds += bool(annotation.get("iscrowd"))
            if not annotation.get("iscrowd"):
                boxes[annotation["image_id"]].append((names[annotation["category_id"]], *_corners(annotation["bbox"])))
    except (KeyError, TypeError, ValueError) as exc:
        raise DatasetError(
            f"{json_file}: an entry is incomplete or points nowhere ({exc!r}); correct the file"
        ) from exc
    if crowds:
        logger.warning("left out %d crowd regions of %s", crowds, json_file)
    return [
        LabelledPicture(_find_image(images_dir, image, json_file), tuple(boxes[image["id"]]))
        for image in content["images"]
    ]


def _load_coco(json_file: Path) -> dict[str, Any]:
    try:
        content = json.loads(json_file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{json_file}: cannot be read ({exc.strerror}); give a COCO JSON file") from exc
    except ValueError as exc:
        raise ConfigError(f"{json_file}: is no JSON ({exc}); give a COCO JSON file") from exc
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise ConfigError(f"{json_file}: needs the lists {', '.join(keys)}; give a COCO JSON file")
    return content


def _corners(bbox: Any) -> tuple[int, int, int, int]:
    """x, y, w, h with exclusive far edges -> inclusive corners."""
    x, y, w, h = (float(value) for value in bbox)
    return round(x), round(y), round(x + w) - 1, round(y + h) - 1


def _find_image(images_dir: Path, image: Mapping[str, Any], json_file: Path) -> Path:
    name = str(image.get("file_name", ""))
    for file in (images_dir / name, images_dir / Path(name).name):
        if name and file.is_file():
            return file
    raise DatasetError(f"{json_file}: picture {name!r} is not in {images_dir}; give the folder that holds it")
