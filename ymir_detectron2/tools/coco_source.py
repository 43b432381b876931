"""Datasets in COCO JSON: `images`, `categories` and `annotations` with `bbox` x, y, w, h in pixels."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Mapping

from ..errors import ConfigError, DatasetError, briefly
from ..untrusted_files import open_regular, path_below
from .annotation_writer import LabelledBox
from .task_folder import AnnotatedImage

logger = logging.getLogger(__name__)


def read_coco(images_dir: Path, json_file: Path) -> list[AnnotatedImage]:
    """Read the images of a COCO file with their boxes, corners rounded to inclusive integers.

    Crowd regions (`iscrowd`) are skipped and counted: YMIR does not know them and would take each for one object.

    Raises:
        ConfigError: if the file is missing or is not COCO JSON.
        DatasetError: if an image file is missing or an annotation refers to an unknown image or category.
    """
    content = _load_coco(json_file)
    try:
        # ids are arbitrary in COCO: those of its own categories have gaps
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        boxes: dict[Any, list[LabelledBox]] = {image["id"]: [] for image in content["images"]}
        crowds = 0
        for annotation in content["annotations"]:
            if annotation.get("iscrowd"):
                crowds += 1
                continue
            x, y, w, h = (float(value) for value in annotation["bbox"])
            # the sum is rounded, not w and h, so that neighbouring boxes stay neighbours; -1: exclusive -> inclusive
            corners = round(x), round(y), round(x + w) - 1, round(y + h) - 1
            boxes[annotation["image_id"]].append((names[annotation["category_id"]], *corners))
    except (KeyError, TypeError, ValueError) as exc:
        raise DatasetError(
            f"{json_file}: an entry is incomplete or points nowhere ({exc!r}); correct the file"
        ) from exc
    if crowds:
        logger.warning("left out %d crowd regions of %s", crowds, json_file)
    return [
        AnnotatedImage(_find_image(images_dir, image, json_file), tuple(boxes[image["id"]]))
        for image in content["images"]
    ]


def _load_coco(json_file: Path) -> dict[str, Any]:
    try:
        with open_regular(json_file) as file:
            content = json.loads(file.read().decode("utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"{json_file}: cannot be read ({exc.strerror}); give a COCO JSON file") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{json_file}: is no JSON ({exc}); give a COCO JSON file") from exc
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise ConfigError(f"{json_file}: needs the lists {', '.join(keys)}; give a COCO JSON file")
    return content


def _find_image(images_dir: Path, image: Mapping[str, Any], json_file: Path) -> Path:
    name = str(image.get("file_name", ""))
    # file_name may contain folders that images_dir does not have
    for file in (path_below(images_dir, name), path_below(images_dir, Path(name).name)):
        if file is not None and file.is_file():
            return file
    raise DatasetError(
        f"{json_file}: image {briefly(name)} is not in {images_dir}; give the folder that holds it, and copies in place"
        " of symbolic links"
    )
