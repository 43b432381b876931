"""Images of a task folder: by the platform's names, in/assets/<last 2 digits of sha1>/<sha1>.<ext>, or by their own."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping

from ..errors import DatasetError
from ..file_digest import file_digest
from ..untrusted_files import is_within, open_regular
from .releases import Release

logger = logging.getLogger(__name__)

_SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"BM": "bmp"}
_FIRST_RELEASE_NAMES = {"jpg": "jpeg", "png": "png"}  # YMIR 1.1 uses PIL's format names, and exports no others


@dataclass(frozen=True)
class Asset:
    """One stored image."""

    source: Path
    sha1: str
    """Of the content; '' where the image keeps its own name."""
    extension: str
    """Of the platform's name, without the dot."""
    own_name: str = ""
    """The name that the user knows, unique in the task; '' for the platform's name."""

    @property
    def name(self) -> str:
        return self.own_name or f"{self.sha1}.{self.extension}"

    def path_below(self, folder: str, extension: str | None = None) -> str:
        """Return the file of this image in `/in/assets` or, with the extension of one, of its annotation.

        `<folder>/17/8e5f...17.<ext>`, or `<folder>/0042.jpg` and `<folder>/0042.jpg.txt`: there may be a 0042.png too.
        """
        if self.own_name:
            return f"{folder}/{self.own_name}.{extension}" if extension else f"{folder}/{self.own_name}"
        return f"{folder}/{self.sha1[-2:]}/{self.sha1}.{extension or self.extension}"


def read_asset(image: Path, release: Release, own_name: str = "") -> Asset | None:
    """Name an image by its content, as the platform does; return None if the release does not export its format.

    A file that is not an image keeps its own extension: on the platform, a broken file may have a good name.

    Args:
        image: the file.
        release: of the platform.
        own_name: used in place of the platform's name.

    Raises:
        DatasetError: if the file is not there or cannot be read.
    """
    try:
        with open_regular(image) as stream:
            head = stream.read(4)
        digest = "" if own_name else file_digest(image, "sha1")
    except OSError as exc:
        raise DatasetError(f"{image}: cannot be read ({exc.strerror}); correct the list of images") from exc
    extension = _extension(image, head)
    if not release.format_names_as_extensions:
        return Asset(image, digest, extension, own_name)
    if extension not in _FIRST_RELEASE_NAMES:
        return None
    return Asset(image, digest, _FIRST_RELEASE_NAMES[extension], own_name)


def store_assets(
    images: Iterable[Path],
    assets_dir: Path,
    release: Release,
    source_dir: Path | None = None,
    own_names: Mapping[Path, str] | None = None,
) -> list[Asset]:
    """Put every image into `assets_dir` once and return those that the index is to list, in the given order.

    As on the platform, images with the same bytes are one image: the first is kept. Images with own names are all kept.

    Args:
        images: a file that is there twice is listed once.
        assets_dir: `in/assets` of the task folder.
        release: of the platform.
        source_dir: see `place_file`.
        own_names: of the images; None for the platform's.

    Raises:
        DatasetError: if a file is not there or cannot be read.
    """
    stored: list[Asset] = []
    seen: set[str] = set()
    left_out: dict[str, int] = {}
    for image in images:
        asset = read_asset(image, release, own_names[image] if own_names else "")
        # counted, not logged: a set may hold thousands of them
        if asset is None or asset.name in seen:
            reason = "same bytes as another image" if asset else f"format not exported by YMIR {release.name}"
            reason = "listed twice" if asset and own_names else reason
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        seen.add(asset.name)
        place_file(image, Path(asset.path_below(str(assets_dir))), source_dir)
        stored.append(asset)
    for reason, count in left_out.items():
        logger.warning("left out %d of %d images: %s", count, count + len(stored), reason)
    return stored


def place_file(source: Path, target: Path, source_dir: Path | None = None) -> None:
    """Hard-link a file of `source_dir`; copy any other one, or where the file system does not support hard links.

    A container that can write to a hard link changes the original, so that none is made to a file outside of the folder
    that the user has given, even if a symbolic link in it leads there.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source_dir is not None and is_within(source, source_dir) and _hard_link(source.resolve(), target):
        return
    with open_regular(source) as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy)


def _hard_link(source: Path, target: Path) -> bool:
    try:
        # not symbolic: the link must work inside a container, which sees the task folder only
        os.link(str(source), str(target))
    except OSError:
        return False
    return True


def _extension(image: Path, head: bytes) -> str:
    # content first: a .jpg may be a PNG
    for signature, extension in _SIGNATURES.items():
        if head.startswith(signature):
            return extension
    suffix = image.suffix.lower().lstrip(".").replace("jpeg", "jpg")
    return suffix if suffix in _SIGNATURES.values() else "unknown"
