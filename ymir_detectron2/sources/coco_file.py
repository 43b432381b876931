"""One file of COCO JSON: its images, its categories by id, and the boxes of each image.

Not by pycocotools: it indexes whatever it finds, so that of two images with one id it keeps the second, and it knows
neither text for numbers nor rotated boxes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from ..contract.data_issues import DataIssues
from ..errors import ConfigError, DatasetError, briefly
from ..label_geometry import Corners, FrameWH, polygon_envelope
from ..text_file import read_text
from ..untrusted_files import MAX_PATH_CHARS
from .labelled_image import MAX_PIXEL, RawBox, is_name

MAX_JSON_BYTES = 16 << 30
"""Several times the annotations of the largest public datasets."""
_MAX_ID_CHARS = 300

CROWD = "crowd region (iscrowd), left out"
NO_BBOX = "object without bbox, replaced by the box around its polygon"


class CocoImage(NamedTuple):
    """One entry of `images`."""

    key: str
    """The id as text: some tools write ids as numbers in one list and as text in another."""
    file_name: str
    stated_wh: FrameWH | None
    place: str
    """For messages."""


class CocoFile:
    """The content of one file, checked entry by entry."""

    def __init__(self, path: Path, content: Any = None) -> None:
        """Read and check the images and categories; annotations are read by `boxes`.

        Args:
            path: the file.
            content: of the file, where it has been loaded already.

        Raises:
            ConfigError: the file cannot be read or is no COCO JSON.
            DatasetError: an image has no name, two images or two categories share an id, or no class can have a name.
        """
        self.path = path
        self._content = load_json(path) if content is None else content
        if not is_coco(self._content):
            raise ConfigError(f"{path}: needs the lists images and categories; give a COCO JSON file")
        self.images = [self._image(*entry) for entry in self._entries("images")]
        self._require_one_name_per_id("images", [(image.key, image.file_name) for image in self.images])
        named = [(self._id(*entry, "id"), _category_name(*entry)) for entry in self._entries("categories")]
        self._require_one_name_per_id("categories", named)
        self._categories = dict(named)
        self.images = list({image.key: image for image in self.images}.values())

    @property
    def is_labelled(self) -> bool:
        return isinstance(self._content.get("annotations"), list)

    @property
    def category_names(self) -> list[str]:
        return list(filter(None, self._categories.values()))

    def boxes(self, issues: DataIssues) -> dict[str, list[RawBox]]:
        """Return the boxes of every image, by `CocoImage.key`; crowd regions are left out and counted.

        YMIR does not know crowd regions and would take each for one object.

        Raises:
            ConfigError: the file has no annotations.
            DatasetError: an annotation is incomplete or points nowhere; its id is named.
        """
        if not self.is_labelled:
            raise ConfigError(f"{self.path}: has no list of annotations; give a COCO JSON file with labels")
        boxes: dict[str, list[RawBox]] = {image.key: [] for image in self.images}
        for place, entry in self._entries("annotations"):
            image, category = self._id(place, entry, "image_id"), self._id(place, entry, "category_id")
            if image not in boxes:
                raise DatasetError(f"{place}: there is no image with the id {image}; correct the file")
            name = self._categories.get(category)
            if not name:
                what = "no name" if category in self._categories else "no entry in categories"
                raise DatasetError(f"{place}: the category with the id {category} has {what}; correct the file")
            if _number(entry.get("iscrowd") or 0, f"{place}: iscrowd"):
                issues.add(CROWD, place)
                continue
            boxes[image].append(RawBox(name, _corners(entry, place, issues), _angle_rad(entry, place)))
        return boxes

    def _entries(self, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield every entry of a list with its place."""
        for number, entry in enumerate(self._content.get(key) or [], start=1):
            if not isinstance(entry, dict):
                found = briefly(entry)
                raise DatasetError(f"{self.path}: {key}, entry {number} is {found}, expected an object; correct it")
            name = f"id {briefly(entry['id'])}" if "id" in entry else f"entry {number}"
            yield f"{self.path}: {key}, {name}", entry

    def _image(self, place: str, entry: Mapping[str, Any]) -> CocoImage:
        name = entry.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{place}: file_name is {briefly(name)}, expected a name; correct the file")
        if len(name) > MAX_PATH_CHARS:
            raise DatasetError(f"{place}: file_name is {briefly(name)}, longer than any path; correct the file")
        width, height = entry.get("width"), entry.get("height")
        stated_wh = None
        if width is not None and height is not None:
            stated_wh = _pixels(width, f"{place}: width"), _pixels(height, f"{place}: height")
        return CocoImage(self._id(place, entry, "id"), name, stated_wh, place)

    def _id(self, place: str, entry: Mapping[str, Any], key: str) -> str:
        value = entry.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # tables know one type of number
        # Python refuses to print numbers of thousands of digits; messages name ids as they are
        text = str(value).strip() if isinstance(value, str) or _is_printable(value) else ""
        if not is_name(text) or len(text) > _MAX_ID_CHARS:
            raise DatasetError(f"{place}: {key} is {briefly(value)}, expected an id; correct the file")
        return text

    def _require_one_name_per_id(self, key: str, named: Sequence[tuple[str, str]]) -> None:
        names: dict[str, str] = {}
        for number, name in named:
            if names.setdefault(number, name) != name:
                raise DatasetError(
                    f"{self.path}: {key}: {briefly(names[number])} and {briefly(name)} have the same id {number}; give"
                    " each its own, in the annotations too"
                )


def load_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ConfigError: it cannot be read or is no JSON.
    """
    try:
        return json.loads(read_text(path, MAX_JSON_BYTES))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); give a COCO JSON file") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: is no JSON ({exc}); give a COCO JSON file") from exc


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is COCO's for detection; unlabelled sets have no annotations."""
    if not isinstance(content, dict):
        return False
    lists = [content.get("images"), content.get("categories"), content.get("annotations", [])]
    return all(isinstance(items, list) for items in lists)


def _corners(entry: Mapping[str, Any], place: str, issues: DataIssues) -> Corners:
    bbox = entry.get("bbox")
    if not bbox:
        polygons = entry.get("segmentation")
        if isinstance(polygons, list) and polygons and all(isinstance(points, list) for points in polygons):
            issues.add(NO_BBOX, place)
            points = [_pixels(value, f"{place}: segmentation") for part in polygons for value in part]
            if len(points) >= 6 and len(points) % 2 == 0:
                return polygon_envelope(points)
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DatasetError(f"{place}: bbox is {briefly(bbox)}, expected x, y, width and height; correct the file")
    x, y, w, h = (_pixels(value, f"{place}: bbox") for value in bbox)
    return x, y, x + w, y + h


def _angle_rad(entry: Mapping[str, Any], place: str) -> float:
    """Return the rotation that CVAT writes as an attribute, in degrees."""
    attributes = entry.get("attributes")
    degrees = attributes.get("rotation") if isinstance(attributes, dict) else None
    return math.radians(_number(degrees or 0, f"{place}: attribute rotation"))


def _number(value: Any, place: str) -> float:
    """Return a finite number; text is read as one, since tables turned into JSON have no other."""
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    try:
        number = float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{place}: {briefly(value)} is not a finite number; correct the file")
    return number


def _pixels(value: Any, place: str) -> float:
    """Return a number of pixels, as `_number`."""
    number = _number(value, place)
    if abs(number) > MAX_PIXEL:
        raise DatasetError(f"{place}: {briefly(value)} is more than any image has pixels; correct the file")
    return number


def _category_name(place: str, entry: Mapping[str, Any]) -> str:
    """Return the name of a category, '' if it has none, which matters only if an object is of it."""
    value = entry.get("name")
    name = "" if value is None else str(value).strip() if isinstance(value, str) or _is_printable(value) else "\0"
    if name and not is_name(name):
        raise DatasetError(f"{place}: {briefly(value)} cannot be the name of a class; correct the file")
    return name


def _is_printable(value: Any) -> bool:
    """Return whether a value is a number of not more digits than a float has."""
    return isinstance(value, (int, float)) and abs(value) < 1e308


_WORDS: Mapping[str, float] = {"true": 1.0, "false": 0.0}
