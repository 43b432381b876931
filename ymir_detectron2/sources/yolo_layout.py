"""Where the images and class names of a YOLO dataset are, in the layouts of ultralytics, Roboflow, darknet and CVAT.

data.yaml    path, train, val, test: a folder, a list file, or several of them; names: a list, or by number
obj.data     train = data/train.txt, valid = ..., names = data/obj.names
classes.txt  obj.names  _darknet.labels      one class name a line, beside the images or above them
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path, PurePosixPath
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from ..errors import ConfigError, DatasetError, briefly
from ..text_file import read_lines, read_text
from ..untrusted_files import MAX_PATH_CHARS, is_file
from ..yaml_file import MAX_BYTES, NotYamlError, parse_yaml
from .image_files import as_posix, files_below, images_below
from .labelled_image import is_name
from .source import TEST, TRAIN, UNDIVIDED, VAL, set_of_folder

_YAML_KEYS = {"train": TRAIN, "val": VAL, "valid": VAL, "test": TEST}
CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")


class YoloLayout(NamedTuple):
    """What a dataset says about itself."""

    sets: dict[str, list[Path]]
    class_names: list[str]
    """By class number; [] if no file names them."""
    keypoints: int = 0
    """Numbers that follow the box in a line of a pose dataset."""


def find_layout(path: Path) -> YoloLayout:
    """Read the layout of a dataset.

    Args:
        path: its folder, or its data.yaml or obj.data.

    Raises:
        ConfigError: a file of the dataset cannot be read or makes no sense.
        DatasetError: a folder, list or image that it names is missing.
    """
    description = path if path.is_file() else find_description(path)
    if description is None:
        return YoloLayout(_sets_by_folder(path), _names_from_files(path))
    if description.suffix.lower() == ".data":
        return _from_darknet(description)
    return _from_yaml(description)


def find_description(folder: Path) -> Path | None:
    """Return the data.yaml or obj.data of a folder.

    Raises:
        ConfigError: there are several.
    """
    found = [file for file in sorted(folder.iterdir()) if file.is_file() and _is_description(file)]
    if len(found) > 1:
        raise ConfigError(f"{folder}: {found[0].name} and {found[1].name} both describe it; give one of them")
    return found[0] if found else None


def _is_description(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix not in (".data", ".yaml", ".yml"):
        return False
    try:
        if suffix == ".data":
            return "train" in _darknet_values(file)
        # by its lines: a description that is not YAML any more must not be passed over
        keys = {line.partition(":")[0].strip("\"' \t") for line in read_lines(file) if ":" in line}
    except DatasetError:  # no text
        return False
    return "names" in keys and bool(set(_YAML_KEYS) & keys)


def _from_yaml(file: Path) -> YoloLayout:
    try:
        content = parse_yaml(read_text(file, MAX_BYTES))
    except (NotYamlError, OSError) as exc:
        raise ConfigError(f"{file}: cannot be read as YAML ({exc}); correct it") from exc
    if not isinstance(content, dict) or "names" not in content:
        raise ConfigError(f"{file}: needs the keys names and train; give the data.yaml of a YOLO dataset")
    root = _existing(file.parent, _as_text(content.get("path")) or ".") or file.parent
    sets: dict[str, list[Path]] = {}
    text_of: dict[Path, str] = {}
    for key, name in _YAML_KEYS.items():
        given = content.get(key)
        for value in given if isinstance(given, list) else [given] if given else []:
            text = _as_text(value)
            place = _existing(root, text) or _existing(file.parent, text)
            # without their leading folders, those of two machines may become one
            if place is not None and text_of.setdefault(place, text) == text:
                sets.setdefault(name, []).extend(_images_at(place, root))
            elif name != TEST:  # archives of Roboflow name a test set that they do not have
                raise DatasetError(
                    f"{file}: {key}: {briefly(value)} is neither in {root} nor beside the file; correct it"
                )
    return YoloLayout(sets, _yaml_names(file, content), _keypoints(file, content))


def _yaml_names(file: Path, content: Mapping[str, Any]) -> list[str]:
    names = content["names"]
    if isinstance(names, dict):
        numbered = {_as_text(key): name for key, name in names.items()}
        numbers = list(map(str, range(len(names))))
        if set(numbered) != set(numbers):
            raise ConfigError(f"{file}: names has the numbers {briefly(list(names))}, expected 0, 1, 2 ...; correct it")
        names = [numbered[number] for number in numbers]
    if not isinstance(names, list) or not names or not all(is_name(_as_text(name)) for name in names):
        raise ConfigError(f"{file}: names is {briefly(names)}, expected a list of names; correct it")
    count = content.get("nc", len(names))
    if _as_text(count) != str(len(names)):
        raise ConfigError(f"{file}: nc is {briefly(count)}, but there are {len(names)} names; correct one of them")
    return list(map(_as_text, names))


def _as_text(value: Any) -> str:
    """Return a name, as a class 5 or a folder 2017 is for YAML a number; '' for what is none."""
    is_scalar = isinstance(value, (str, float, datetime.date)) or (isinstance(value, int) and abs(value) < 2**63)
    return str(value).strip() if is_scalar else ""


def _keypoints(file: Path, content: Mapping[str, Any]) -> int:
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(side) is int for side in shape):
        raise ConfigError(f"{file}: kpt_shape is {briefly(shape)}, expected two numbers; correct it")
    return int(shape[0] * shape[1])


def _from_darknet(file: Path) -> YoloLayout:
    values = _darknet_values(file)
    sets: dict[str, list[Path]] = {}
    for key, name in _YAML_KEYS.items():
        # without its images and lists, a dataset still describes them: CVAT names a valid.txt that it does not write
        place = _existing(file.parent, values[key]) if key in values else None
        if place is not None:
            sets.setdefault(name, []).extend(_images_at(place, file.parent))
        elif key == "train":
            raise DatasetError(f"{file}: train: {briefly(values.get(key))} is not there; correct it")
    names = _existing(file.parent, values.get("names", ""))
    return YoloLayout(sets, read_class_file(names) if names else _names_from_files(file.parent))


def _darknet_values(file: Path) -> dict[str, str]:
    """Return the `key = value` pairs of an obj.data."""
    pairs = (line.partition("=") for line in read_lines(file))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and not key.lstrip().startswith("#")}


def _existing(folder: Path, text: str) -> Path | None:
    """Return the file or folder that a description means.

    Leading folders of another machine, or those above the dataset, may be missing here; so may those before a file,
    since CVAT writes data/obj.names. A folder's own relative path is kept whole: valid/images is not images.
    """
    if not text.strip() or len(text) > MAX_PATH_CHARS:
        return None
    posix = as_posix(text)
    parts = [part for part in PurePosixPath(posix).parts if part not in ("/", "..")]
    places = [folder / posix]  # an absolute path replaces the folder
    if posix.startswith(("/", "..")) or PurePosixPath(posix).suffix:
        places += [folder.joinpath(*parts[dropped:]) for dropped in range(len(parts))]
    return next(filter(os.path.exists, places), None)  # Path.exists raises for a name of 300 characters


def _images_at(place: Path, root: Path) -> list[Path]:
    """Return the images of a folder, or those that a list file names, in its order."""
    if place.is_dir():
        return [place / str(image) for image in images_below(place)]
    images = []
    for number, line in enumerate(read_lines(place), start=1):
        if not line.strip():
            continue
        # beside the list, or in the dataset: CVAT writes data/obj_train_data/1.jpg, with data/ not in the archive
        image = next((file for file in _places_of_listed(line, place.parent, root) if is_file(file)), None)
        if image is None:
            raise DatasetError(f"{place}:{number}: no image {briefly(line.strip())} in {root}; correct the line")
        images.append(image)
    return images


def _places_of_listed(line: str, list_folder: Path, root: Path) -> Iterator[Path]:
    if len(line) > MAX_PATH_CHARS:
        return
    posix = PurePosixPath(as_posix(line))
    yield from (list_folder / str(posix), root / str(posix))  # an absolute path replaces the folder
    parts = [part for part in posix.parts if part != "/"]
    # the last folder stays: another folder's 1.jpg is another image
    for dropped in range(1, max(len(parts) - 1, 0)):
        yield root.joinpath(*parts[dropped:])


def _sets_by_folder(folder: Path) -> dict[str, list[Path]]:
    """Divide images by a folder called train, valid or the like, above or below images/."""
    sets: dict[str, list[Path]] = {}
    for image in images_below(folder):
        names = [set_of_folder(part) for part in image.parts[:-1]]
        sets.setdefault(next(filter(None, names), UNDIVIDED), []).append(folder / str(image))
    return sets


def _names_from_files(folder: Path) -> list[str]:
    """Return the class names of the files that tools write them to; several files must agree."""
    files = [folder / str(file) for file in files_below(folder, {PurePosixPath(name).suffix for name in CLASS_FILES})]
    found = [file for file in files if file.name.lower() in CLASS_FILES]
    lists: Sequence[list[str]] = [read_class_file(file) for file in found]
    for file, names in zip(found, lists):
        if names != lists[0]:
            raise ConfigError(f"{file}: names other classes than {found[0]}; remove one of them")
    return lists[0] if lists else []


def read_class_file(file: Path) -> list[str]:
    """Return the class names of a file, one a line; blank lines at its end are ignored.

    Raises:
        ConfigError: it cannot be read.
        DatasetError: a line between others is empty, which would shift all later names, or is no name of a class.
    """
    try:
        names = [line.strip() for line in read_lines(file)]
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read ({exc.strerror}); correct it") from exc
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise DatasetError(f"{file}:{names.index('') + 1}: is empty; a class number without a name; correct the line")
    for number, name in enumerate(names, start=1):
        if not is_name(name):
            raise DatasetError(f"{file}:{number}: {briefly(name)} cannot be the name of a class; correct the line")
    return names
