"""Datasets in COCO JSON: `images`, `categories` and `annotations` with `bbox` x, y, w, h in pixels."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any, Iterator, Mapping

from ..errors import ConfigError, DatasetError, briefly
from ..untrusted_files import is_file, open_regular, path_below
from .annotation_writer import MAX_PIXEL, LabelledBox, is_name
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
    # ids are arbitrary in COCO: those of its own categories have gaps
    with _entries(json_file, content, "categories") as categories:
        names = {category["id"]: _class_name(category["name"]) for category in categories}
    with _entries(json_file, content, "images") as images:
        boxes: dict[Any, list[LabelledBox]] = {image["id"]: [] for image in images}
    crowds = 0
    with _entries(json_file, content, "annotations") as annotations:
        for annotation in annotations:
            if annotation.get("iscrowd"):
                crowds += 1
                continue
            box = (names[annotation["category_id"]], *_corners(annotation["bbox"]))
            boxes[annotation["image_id"]].append(box)
    if crowds:
        logger.warning("left out %d crowd regions of %s", crowds, json_file)
    return [
        AnnotatedImage(_find_image(images_dir, image, json_file), tuple(boxes[image["id"]]))
        for image in content["images"]
    ]


@contextlib.contextmanager
def _entries(json_file: Path, content: Mapping[str, Any], key: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Iterate over the entries of a list; whatever is wrong with one becomes an error that says which and what."""
    number = 0

    def entries() -> Iterator[dict[str, Any]]:
        nonlocal number
        for number, entry in enumerate(content[key], start=1):  # noqa: B007 - the message names it
            if not isinstance(entry, dict):
                raise TypeError(f"expected an object, found {briefly(entry)}")
            yield entry

    try:
        yield entries()
    except KeyError as error:
        finding = f"{briefly(error.args[0])} is missing, or is no id of this file"
    except (TypeError, ValueError, OverflowError) as error:
        finding = str(error)
    else:
        return
    raise DatasetError(f"{json_file}: entry {number} of {key}: {finding}; correct it")


def _class_name(name: Any) -> str:
    if not isinstance(name, (str, int, float)) or not is_name(str(name)):
        raise ValueError(f"{briefly(name)} cannot be the name of a class")
    return str(name)


def _corners(bbox: Any) -> tuple[int, int, int, int]:
    """Return x1 y1 x2 y2 in whole pixels, inclusive, of x, y, w, h."""
    numbers = [] if not isinstance(bbox, list) else [n for n in bbox if isinstance(n, (int, float))]
    if len(numbers) != 4 or len(bbox) != 4 or not all(abs(number) <= MAX_PIXEL for number in numbers):
        raise ValueError(f"bbox is {briefly(bbox)}, expected x, y, w, h in pixels")
    x, y, w, h = map(float, numbers)
    # the sum is rounded, not w and h, so that neighbouring boxes stay neighbours; -1: exclusive -> inclusive
    return round(x), round(y), round(x + w) - 1, round(y + h) - 1


def _load_coco(json_file: Path) -> dict[str, Any]:
    try:
        with open_regular(json_file) as file:
            content = json.loads(file.read().decode("utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"{json_file}: cannot be read ({exc.strerror}); give a COCO JSON file") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{json_file}: is no JSON in UTF-8 ({exc}); give a COCO JSON file") from exc
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise ConfigError(f"{json_file}: needs the lists {', '.join(keys)}; give a COCO JSON file")
    return content


def _find_image(images_dir: Path, image: Mapping[str, Any], json_file: Path) -> Path:
    name = image.get("file_name", "")
    if not isinstance(name, str):
        raise DatasetError(f"{json_file}: file_name is {briefly(name)}, expected text; correct it")
    # file_name may contain folders that images_dir does not have
    for file in (path_below(images_dir, name), path_below(images_dir, Path(name).name)):
        if file is not None and is_file(file):
            return file
    raise DatasetError(
        f"{json_file}: image {briefly(name)} is not in {images_dir}; give the folder that holds it, and copies in place"
        " of symbolic links"
    )
