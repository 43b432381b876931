"""Recognise the format of a dataset by what its files contain."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Sequence

from ..contract.annotations import MAX_LABEL_BYTES
from ..contract.data_issues import DataIssues
from ..errors import ConfigError, DatasetError
from ..text_file import read_lines, read_text
from ..untrusted_files import is_file, read_regular
from .coco import CocoSource, read_coco_file, sets_of_files
from .coco_file import MAX_JSON_BYTES, CocoFile, is_coco, load_json
from .image_files import files_below, images_below
from .source import LabelledSource
from .voc import VocSource, read_voc_file
from .yolo import YoloSource, label_file
from .yolo_layout import find_description

_SAMPLE = 20
"""Files of each kind that are opened to say what they are."""


class UnlabelledError(ConfigError):
    """A path holds no labels in a format that is read here; it may still hold candidates."""


def recognise(path: Path, class_names: Sequence[str], issues: DataIssues) -> LabelledSource:
    """Return the dataset at a path, whose annotations are read later.

    Args:
        path: its folder, a COCO JSON file, or the data.yaml or obj.data of a YOLO dataset.
        class_names: by class number, for a YOLO dataset that names none.
        issues: counts images that a list names twice.

    Raises:
        UnlabelledError: it has no format that is read here; the message says what was found.
        ConfigError: it has several.
        DatasetError: an image that it names is missing.
    """
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, for names of 300 characters too
        raise ConfigError(f"{path}: no such file or folder; give a folder with images and their labels")
    if path.is_file():
        return _recognise_file(path, class_names, issues)
    found: dict[str, Callable[[], LabelledSource]] = {}
    coco_files = _coco_files(path)
    if coco_files:
        found["--coco"] = lambda: CocoSource(path, sets_of_files(coco_files))
    if _has_voc(path):
        found["--voc"] = lambda: VocSource(path, (), issues)
    if find_description(path) is not None or _has_yolo_labels(path):
        found["--yolo"] = lambda: YoloSource(path, class_names, issues)
    if len(found) > 1:
        raise ConfigError(f"{path}: holds labels in several formats; choose by {' or '.join(found)}")
    if not found:
        raise UnlabelledError(
            f"{path}: no labels in Pascal VOC, COCO JSON or YOLO form; found {describe_content(path)}; give the root of"
            " the dataset, or export it as one of these"
        )
    return next(iter(found.values()))()


def _recognise_file(path: Path, class_names: Sequence[str], issues: DataIssues) -> LabelledSource:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_coco_file(path)
    if suffix in (".yaml", ".yml", ".data"):
        return YoloSource(path, class_names, issues)
    raise UnlabelledError(f"{path}: is neither COCO JSON nor a data.yaml; give the folder of the dataset")


def read_coco_folder(folder: Path) -> CocoSource:
    """Return the COCO dataset of a folder.

    Raises:
        ConfigError: there is no COCO JSON in it.
        DatasetError: an image is missing.
    """
    files = _coco_files(folder)
    if not files:
        raise ConfigError(f"{folder}: holds no COCO JSON; name the files with --coco-json")
    return CocoSource(folder, sets_of_files(files))


def _coco_files(folder: Path) -> list[CocoFile]:
    files = [folder / str(file) for file in files_below(folder, (".json",))]
    contents = ((file, load_json(file)) for file in files if _mentions_coco(file))
    return [CocoFile(file, content) for file, content in contents if is_coco(content)]


def _mentions_coco(file: Path) -> bool:
    """Return whether a file may be COCO JSON; a damaged one may, and must not be passed over."""
    # without parsing it: labelme writes a file for each image, with its pixels
    data = read_regular(file, MAX_JSON_BYTES).replace(b"\0", b"")  # every second byte of UTF-16 is zero
    return all(word in data for word in (b'"images"', b'"categories"'))


def _json_or_none(file: Path) -> Any:
    try:
        return load_json(file)
    except (ConfigError, DatasetError):
        return None


def _has_voc(folder: Path) -> bool:
    return any(_is_voc(folder / str(file)) for file in files_below(folder, (".xml",)))


def _is_voc(file: Path) -> bool:
    try:
        read_voc_file(file)
    except DatasetError:
        return False
    return True


def _has_yolo_labels(folder: Path) -> bool:
    labels = (label_file(folder / str(image)) for image in images_below(folder))
    return any(is_file(file) and _looks_like_yolo(file) for file in labels)


def _looks_like_yolo(file: Path) -> bool:
    try:
        columns = next((line.split() for line in read_lines(file, MAX_LABEL_BYTES) if line.strip()), [])
        return len(columns) >= 5 and len([float(column) for column in columns]) >= 5
    except (ValueError, OSError, DatasetError):
        return False


def describe_content(folder: Path) -> str:
    """Return what a folder holds, for a message: counts by extension, and formats that other programs write."""
    images = images_below(folder)
    others = files_below(folder, (".xml", ".json", ".txt", ".csv"))
    counts = Counter(file.suffix.lower() for file in others)
    words = [f"{len(images)} images", *(f"{count} {suffix} files" for suffix, count in sorted(counts.items()))]
    words += [_other_xml(folder / str(file)) for file in files_below(folder, (".xml",))[:_SAMPLE]]
    for file in files_below(folder, (".json",))[:_SAMPLE]:
        tool = _json_tool(_json_or_none(folder / str(file)))
        words += [f"JSON of {tool}"] if tool else []
    return ", ".join(dict.fromkeys(filter(None, words)))


def _other_xml(file: Path) -> str:
    try:
        text = read_text(file, MAX_LABEL_BYTES)
    except (DatasetError, OSError):
        return "XML that cannot be read"
    return "XML of CVAT (for images)" if "<annotations>" in text and "<image " in text else "XML of another kind"


def _json_tool(content: Any) -> str:
    """Return the program whose own JSON this is, '' if none is known."""
    if isinstance(content, dict):
        known = {"shapes": "labelme or X-AnyLabeling", "_via_img_metadata": "VIA", "regions": "VoTT", "assets": "VoTT"}
        return next((tool for key, tool in known.items() if key in content), "")
    tasks = isinstance(content, list) and content and isinstance(content[0], dict) and "data" in content[0]
    return "Label Studio" if tasks else ""
