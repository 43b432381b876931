"""Training and validation set: as the source divides them, or divided here, so that no image is in both."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Dict, Mapping, Sequence

from ..contract.data_issues import DataIssues
from ..contract.task import class_key
from ..errors import ConfigError, DatasetError
from ..file_digest import file_digest
from .labelled_image import AnnotatedImage
from .source import TRAIN, UNDIVIDED, VAL, LabelledSource

COPY = "image with the same content as another one, their boxes put together"
OVERLAP = "validation image that is in the training set too: AP is then that of learned images; choose others"
ONE_SIDED = "class with boxes in one of the two sets only"


class ContentDigests(Dict[Path, str]):
    """Digests of files by path, each computed when it is first asked for."""

    def __missing__(self, path: Path) -> str:
        try:
            self[path] = file_digest(path)
        except OSError as exc:
            raise DatasetError(f"{path}: cannot be read ({exc.strerror}); correct it or take it away") from exc
        return self[path]


def sets_for_training(source: LabelledSource) -> tuple[str, str | None]:
    """Return the sets of a source that training and validation use; None: the first is divided for both.

    Images of no set are for training where the source has no training set: pool.json beside val.json.

    Raises:
        ConfigError: none is for training.
    """
    for name in (TRAIN, UNDIVIDED):
        if source.sets.get(name):
            return name, VAL if source.sets.get(VAL) else None
    raise ConfigError(f"{source.describe()}; none of them is for training: give --split or --coco-json")


def read_training_sets(
    source: LabelledSource, issues: DataIssues, *, val_share: float, seed: int
) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Read the training and the validation set of a source; one that has no validation set is divided.

    Args:
        source: read here.
        issues: counts copies of images, images in both sets, and classes that are in one set only.
        val_share: of the images for validation, where the source has no such set; between 0 and 1.
        seed: of the division: the same images and seed give the same sets, in whatever folder they are.

    Raises:
        ConfigError: the source has no images for training, or too few to divide.
        DatasetError: as `LabelledSource.read`.
    """
    digests = ContentDigests()
    train_name, val_name = sets_for_training(source)
    train = _merge_copies(source.read(train_name, issues), digests, issues)
    if val_name is None:
        train, val = split_images(train, digests, val_share, seed)
    else:
        val = _merge_copies(source.read(val_name, issues), digests, issues)
        learned = {digests[image.path] for image in train}
        for image in val:
            if digests[image.path] in learned:
                issues.add(OVERLAP, str(image.path))
    _compare_classes(train, val, issues)
    return train, val


def split_images(
    images: Sequence[AnnotatedImage], digests: Mapping[Path, str], val_share: float, seed: int
) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Divide images of different content, each set in the given order.

    Raises:
        ConfigError: there are fewer than two.
    """
    if len(images) < 2:
        raise ConfigError(f"{len(images)} usable images cannot be divided into a training and a validation set")
    by_content = sorted(images, key=lambda image: digests[image.path])  # names may differ on another machine
    random.Random(seed).shuffle(by_content)
    count = min(max(1, round(val_share * len(images))), len(images) - 1)
    chosen = {image.path for image in by_content[:count]}
    return [image for image in images if image.path not in chosen], [image for image in images if image.path in chosen]


def _merge_copies(
    images: Sequence[AnnotatedImage], digests: Mapping[Path, str], issues: DataIssues
) -> list[AnnotatedImage]:
    """Keep one of the images with the same content, as the platform does, with the boxes of all of them."""
    kept: dict[str, AnnotatedImage] = {}
    for image in images:
        digest = digests[image.path]
        first = kept.setdefault(digest, image)
        if first is image:
            continue
        issues.add(COPY, f"{image.path} and {first.path}")
        known = {(class_key(box[0]), box[1:]) for box in first.boxes}
        new = tuple(box for box in image.boxes if (class_key(box[0]), box[1:]) not in known)
        kept[digest] = AnnotatedImage(first.path, first.boxes + new)
    return list(kept.values())


def _compare_classes(train: Sequence[AnnotatedImage], val: Sequence[AnnotatedImage], issues: DataIssues) -> None:
    classes = [{class_key(box[0]) for image in images for box in image.boxes} for images in (train, val)]
    for names, other in ((classes[0] - classes[1], "validation"), (classes[1] - classes[0], "training")):
        for name in sorted(names):
            issues.add(ONE_SIDED, f"{name!r} is not in the {other} set")
