"""Image files of a dataset: which files are images, and which image an annotation or a list means.

A name leads to the file that has it, or to none: never to another one with a similar name.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Iterable, Iterator, Sequence

from ..untrusted_files import path_below

IMAGE_SUFFIXES = frozenset((
    ".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
))  # fmt: skip
"""Of the formats that `dataset/image_reading.py` opens, in lower case."""

IMAGE_FOLDERS = frozenset(("images", "image", "imgs", "img", "jpegimages"))
LABEL_FOLDERS = frozenset(("annotations", "annotation", "labels", "label", "xml", "xmls"))


def is_image_name(name: str) -> bool:
    """Return whether a file name has the extension of an image, in whatever case."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path, suffixes: Iterable[str]) -> list[PurePosixPath]:
    """Return the files with these extensions (in lower case) below a folder, relative to it, sorted.

    Hidden files are left out, among them the `._` twins of macOS, and so are task folders of this project.
    """
    wanted = frozenset(suffixes)
    found = []
    for place, folders, names in os.walk(str(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_task(Path(place, name)))
        relative = PurePosixPath(os.path.relpath(place, str(folder)))
        found += [
            relative / name
            for name in names
            if not name.startswith(".") and PurePosixPath(name).suffix.lower() in wanted
        ]
    return sorted(found)


def _is_task(folder: Path) -> bool:
    return (folder / "in" / "env.yaml").is_file()


def images_below(folder: Path) -> list[PurePosixPath]:
    """Return the images below a folder, relative to it, sorted.

    Where some are in a folder called images or JPEGImages, only those: others are masks or thumbnails.
    """
    images = files_below(folder, IMAGE_SUFFIXES)
    proper = [image for image in images if IMAGE_FOLDERS & {part.lower() for part in image.parts[:-1]}]
    return proper or images


def pair_key(file: PurePosixPath) -> str:
    """Return what an image and its annotation have in common: the path without extension and without images/, labels/.

    JPEGImages/b/1.jpg and Annotations/b/1.xml are `b/1`, train/images/1.jpg and train/labels/1.txt `train/1`, and files
    side by side share their key as well.
    """
    folders = [part for part in file.parts[:-1] if part.lower() not in IMAGE_FOLDERS | LABEL_FOLDERS]
    return "/".join([*folders, file.stem])


def by_pair_key(files: Iterable[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    """Group files by `pair_key`."""
    grouped: dict[str, list[PurePosixPath]] = defaultdict(list)
    for file in files:
        grouped[pair_key(file)].append(file)
    return dict(grouped)


def as_posix(name: str) -> str:
    """Return a file name as written on Windows or Linux with slashes, and without `./` before it."""
    return str(PurePosixPath(name.strip().replace("\\", "/")))


class ImageNames:
    """Finds the images below a folder by the names that lists and annotations use."""

    def __init__(self, root: Path, below: str = "") -> None:
        """List the images below a folder, or only those below one folder of it; names start at the first."""
        self.root = root
        self.images = [PurePosixPath(below) / image for image in images_below(root / below)]
        self._exact = {str(image): image for image in self.images}
        self._by_key = by_pair_key(self.images)
        self._by_named_key = {str(PurePosixPath(pair_key(image) + image.suffix)): image for image in self.images}

    def find(self, name: str) -> list[PurePosixPath]:
        """Return the images that a line of a list can mean; more than one if only their extensions differ.

        The line is a path or a stem, relative to the root or to its folder of images, or a path of another machine that
        names that folder: /their/VOC/JPEGImages/b/1.jpg. A second column with an XML file is ignored.
        """
        for written in (name.strip(), as_posix(name)):
            for path in _meant(written):
                image = self._exact.get(path) or self._by_named_key.get(path)
                if image is not None:
                    return [image]
                if path in self._by_key:
                    return self._by_key[path]
        return []


def _meant(line: str) -> Iterator[str]:
    """Yield what a line may mean, the most literal first."""
    first, blank, last = line.rpartition(" ")
    without_xml = first.strip() if blank and last.lower().endswith(".xml") else line
    for text in dict.fromkeys((line, without_xml)):
        path = PurePosixPath(text)
        yield str(path)
        folders = [index for index, part in enumerate(path.parts[:-1]) if part.lower() in IMAGE_FOLDERS]
        if folders:
            yield "/".join(path.parts[folders[-1] + 1 :])


class _FilesBelow:
    """Finds files by names that data gives, as `path_below` does, for 100,000 names: each folder is resolved once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_safe: dict[str, bool] = {"": True}

    def find(self, name: str) -> Path | None:
        """Return the file of that name; None if there is none, or outside of the folder."""
        file = os.path.join(str(self._folder), name)  # noqa: PTH118 - ten times as fast as pathlib
        if not os.path.isfile(file):  # noqa: PTH113
            return None
        parent = os.path.dirname(name)  # noqa: PTH120
        if parent not in self._is_safe:
            self._is_safe[parent] = path_below(self._folder, parent) is not None
        if self._is_safe[parent] and not os.path.islink(file):  # noqa: PTH114
            return Path(file)
        return path_below(self._folder, name)


def find_all_named(folder: Path, names: Sequence[str]) -> tuple[list[Path], str | None]:
    """Find the images of an annotation file by the names in it, in a folder that may lack some of their folders.

    Leading folders are dropped from all names alike, no more of them than it takes to find one: where `a/1.jpg` is
    found, the `1.jpg` beside `a` is not taken for a missing `b/1.jpg`.

    Returns:
        The files, and None; or, if one is missing, any list and its name.
    """
    parts = [PurePosixPath(as_posix(name)).parts or ("",) for name in names]
    below = _FilesBelow(folder)
    for dropped in range(max(map(len, parts), default=1)):
        found = [below.find("/".join(some[min(dropped, len(some) - 1) :])) for some in parts]
        if any(found) or not names:
            missing = [name for name, file in zip(names, found) if file is None]
            return [file for file in found if file is not None], _collision(found, names) or next(iter(missing), None)
    return [], names[0]


def _collision(found: Sequence[Path | None], names: Sequence[str]) -> str | None:
    """Return a name that, without its folders, means the file of another one."""
    first: dict[Path | None, str] = {None: ""}
    for file, name in zip(found, names):
        if file is not None and first.setdefault(file, as_posix(name)) != as_posix(name):
            return name
    return None
