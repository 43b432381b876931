"""Pictures as the platform stores them: in/assets/<last 2 of sha1>/<sha1>.<ext>."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

from ymir_detectron2.errors import DatasetError
from ymir_detectron2.tools.releases import Release

logger = logging.getLogger(__name__)

_SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"BM": "bmp"}
_FIRST_RELEASE_NAMES = {"jpg": "jpeg", "png": "png"}
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Asset:
    """One stored picture."""

    source: Path
    sha1: str
    extension: str
    """Without the dot."""

    @property
    def name(self) -> str:
        return f"{self.sha1}.{self.extension}"

    def path_below(self, folder: str, extension: str | None = None) -> str:
        """Give `<folder>/17/8e5f...17.<ext>`, the file of this picture in `/in/assets` or `/in/annotations`."""
        return f"{folder}/{self.sha1[-2:]}/{self.sha1}.{extension or self.extension}"


def read_asset(image: Path, release: Release) -> Asset | None:
    """Name a picture as the platform does; None if the release leaves pictures of this format out.

    A file that is no picture keeps its own extension: the cache may hold a broken file under a good name.

    Raises:
        DatasetError: if the file is not there or cannot be read.
    """
    digest = hashlib.sha1()  # noqa: S324 - a file name, no secret
    try:
        with image.open("rb") as stream:
            head = stream.read(4)
            digest.update(head)
            for chunk in iter(lambda: stream.read(_READ_AT_ONCE), b""):
                digest.update(chunk)
    except OSError as exc:
        raise DatasetError(f"{image}: cannot be read ({exc.strerror}); correct the list of pictures") from exc
    extension = _extension(image, head)
    if not release.format_names_as_extensions:
        return Asset(image, digest.hexdigest(), extension)
    if extension not in _FIRST_RELEASE_NAMES:
        return None
    return Asset(image, digest.hexdigest(), _FIRST_RELEASE_NAMES[extension])


def store_assets(images: Iterable[Path], assets_dir: Path, release: Release) -> list[Asset]:
    """Put every picture into `assets_dir` once and return those that the index is to list, in the given order.

    As on the platform, pictures with the same bytes are one picture: the first counts, the others are left out.
    """
    stored: list[Asset] = []
    seen: set[str] = set()
    left_out: dict[str, int] = {}
    for image in images:
        asset = read_asset(image, release)
        if asset is None or asset.sha1 in seen:
            reason = "same bytes as another picture" if asset else f"format not exported by YMIR {release.name}"
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        seen.add(asset.sha1)
        place_file(image, Path(asset.path_below(str(assets_dir))))
        stored.append(asset)
    for reason, count in left_out.items():
        logger.warning("left out %d of %d pictures: %s", count, count + len(stored), reason)
    return stored


def place_file(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where the file system will not link."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(str(source.resolve()), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))


def _extension(image: Path, head: bytes) -> str:
    for signature, extension in _SIGNATURES.items():
        if head.startswith(signature):
            return extension
    suffix = image.suffix.lower().lstrip(".").replace("jpeg", "jpg")
    return suffix if suffix in _SIGNATURES.values() else "unknown"
