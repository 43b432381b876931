"""The images that mining and inference are to score: of a folder, a list, or a COCO file, labelled or not."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError, DatasetError, briefly
from ..text_file import read_lines
from ..untrusted_files import MAX_PATH_CHARS, is_file
from .coco import read_coco_file
from .image_files import as_posix, images_below, is_image_name
from .source import UNDIVIDED


def find_candidates(path: Path) -> list[Path]:
    """Return the images that a path stands for.

    Args:
        path: a folder: all images below it; an image; a COCO JSON file: its images; any other file: one path a line,
            relative to the folder of the file. Columns after a tab are ignored, so that an index file of the platform
            will do.

    Raises:
        ConfigError: it cannot be read.
        DatasetError: it holds no images, or one that it names is missing.
    """
    if path.is_dir():
        images = [path / str(image) for image in images_below(path)]
    elif path.suffix.lower() == ".json":
        images = list(read_coco_file(path).sets[UNDIVIDED])
    elif is_image_name(path.name) and is_file(path):
        images = [path]
    else:
        images = _listed(path)
    if not images:
        raise DatasetError(f"{path}: lists no images; give a folder of images, or put one path on each line")
    return images


def _listed(index: Path) -> list[Path]:
    try:
        lines = read_lines(index)
    except OSError as exc:
        raise ConfigError(
            f"{index}: cannot be read ({exc.strerror}); give a folder of images, an image, a list or a COCO JSON file"
        ) from exc
    names = [line.split("\t")[0].strip() for line in lines]
    for number, name in enumerate(names, start=1):
        if len(name) > MAX_PATH_CHARS or "\0" in name:
            raise DatasetError(f"{index}:{number}: {briefly(name)} cannot be a path; correct the line")
    # relative paths start at the folder of the file, so that a dataset can be moved
    return [_existing(index.parent, name) for name in names if name]


def _existing(folder: Path, name: str) -> Path:
    literal = folder / name
    # a backslash is part of some names on Linux, and a slash on Windows
    is_there = os.path.exists(literal)  # noqa: PTH110 - Path.exists raises for a name of 300 characters
    return literal if is_there or "\\" not in name else folder / as_posix(name)
