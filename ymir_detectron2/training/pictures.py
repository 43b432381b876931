"""Training pictures: read, resized to a random scale, flipped by chance, with their boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Sequence, TypeVar, Union

import numpy as np
from torch.utils.data import Dataset

from ..contract.findings import Findings
from ..dataset.coco_json import CocoDataset
from ..dataset.image_reading import read_image_bgr
from ..errors import ConfigError, DatasetError, ImageError
from ..retinanet.config import Config
from ..retinanet.resize import resize_image, resized_hw
from .augmentations import Augmentations, Labelled
from .sampling import Draw


class TrainingPicture(NamedTuple):
    """Kept as NumPy uint8: it crosses from a worker through a pipe, not through /dev/shm, and is a quarter of float."""

    image_chw: np.ndarray
    """(3, H, W) uint8 in the channel order of INPUT.FORMAT."""
    boxes_xyxy: np.ndarray
    """(G, 4) float32 in pixels of this array."""
    classes: np.ndarray
    """(G,) int64."""


class UnreadablePicture(NamedTuple):
    """What stands in a batch for a picture whose pixels turned out to be damaged."""

    reason: str


BatchItem = Union[TrainingPicture, UnreadablePicture]
Picture = TypeVar("Picture")

_BARREN_BATCHES = 1000  # without a single readable picture, one after another: then none of the set is


class TrainingPictures(Dataset):  # type: ignore[type-arg]
    """Pictures by draw; the random choices of a draw depend on the seed and its number alone."""

    def __init__(self, cfg: Config, dataset: CocoDataset, *, seed: int, augment: Sequence[str] = ()) -> None:
        """
        Args:
            augment: what else is done to pictures, see `augmentations`.
        """
        self._augmentations = Augmentations(augment)
        self._dataset = dataset
        self._seed = seed
        self._short_edges = tuple(cfg["INPUT.MIN_SIZE_TRAIN"])
        self._sampling = cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"]
        self._max_edge = cfg["INPUT.MAX_SIZE_TRAIN"]
        self._flip = cfg["INPUT.RANDOM_FLIP"]
        self._rgb = cfg["INPUT.FORMAT"] == "RGB"
        if self._flip not in ("none", "horizontal", "vertical"):
            raise ConfigError(f"INPUT.RANDOM_FLIP: must be none, horizontal or vertical, found {self._flip!r}")

    def __getitem__(self, draw: Draw) -> BatchItem:
        generator = np.random.default_rng([self._seed, draw.number])
        try:
            picture = self._read(draw.picture)
        except ImageError as error:
            return UnreadablePicture(str(error))
        image_bgr, boxes_xyxy, classes = self._augmentations.before_resizing(picture, self._another, generator)
        height, width = image_bgr.shape[:2]
        short_edge = round(self._short_edge(generator) * self._augmentations.scale(generator))
        new_hw = resized_hw(height, width, short_edge, self._max_edge)
        image = resize_image(image_bgr, new_hw)
        boxes_xyxy = boxes_xyxy * np.array([new_hw[1] / width, new_hw[0] / height] * 2, dtype=np.float32)
        if self._flip != "none" and generator.random() < 0.5:
            image, boxes_xyxy = flip(image, boxes_xyxy, horizontally=self._flip == "horizontal")
        if self._rgb:
            image = image[:, :, ::-1]
        return TrainingPicture(np.ascontiguousarray(image.transpose(2, 0, 1)), boxes_xyxy, classes)

    def _read(self, number: int) -> Labelled:
        return Labelled(read_image_bgr(Path(self._dataset.image_paths[number])), *self._dataset.objects(number))

    def _another(self, generator: np.random.Generator) -> Labelled | None:
        try:
            return self._read(int(generator.integers(len(self._dataset))))
        except ImageError:  # it is counted where it is drawn itself
            return None

    def _short_edge(self, generator: np.random.Generator) -> int:
        if self._sampling == "range":
            low, high = self._short_edges[0], self._short_edges[-1]
            return int(generator.integers(low, high, endpoint=True))
        return int(generator.choice(self._short_edges))


def readable_batches(
    batches: Iterable[Sequence[Picture | UnreadablePicture]], skipped: Findings, blank: Picture | None
) -> Iterator[list[Picture]]:
    """Batches without their damaged pictures; a batch of nothing but those is left out.

    Args:
        skipped: counts what is left out.
        blank: stands in for such a batch where several processes train: one of them must not leave out a step in which
            the others wait for it. None: alone.

    Raises:
        DatasetError: not one picture of the set can be decoded.
    """
    barren = 0
    for items in batches:
        pictures: list[Picture] = []
        for item in items:
            if isinstance(item, UnreadablePicture):
                skipped.add("unreadable picture, left out of its batch", item.reason)
            else:
                pictures.append(item)
        barren = 0 if pictures else barren + 1
        if barren == _BARREN_BATCHES:
            raise DatasetError(
                f"no picture of {barren} batches could be decoded, e.g. {skipped.sentences()[0]};"
                " check the pictures of the training set"
            )
        if pictures or blank is not None:
            yield pictures or [blank]  # type: ignore[list-item]


def flip(image_hwc: np.ndarray, boxes_xyxy: np.ndarray, *, horizontally: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a picture and its boxes left to right, or upside down."""
    axis, side = (1, image_hwc.shape[1]) if horizontally else (0, image_hwc.shape[0])
    first, last = (0, 2) if horizontally else (1, 3)
    mirrored = boxes_xyxy.copy()
    mirrored[:, first], mirrored[:, last] = side - boxes_xyxy[:, last], side - boxes_xyxy[:, first]
    return np.flip(image_hwc, axis), mirrored
