"""Training images: read, augmented, resized to a random scale and flipped, with their boxes.

Letters: H, W height and width in pixels, G ground-truth boxes of one image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Sequence, TypeVar, Union

import numpy as np
from torch.utils.data import Dataset

from ..config.engine_config import EngineConfig
from ..config.retinanet_config import RetinaNetConfig
from ..dataset.coco_json import CocoDataset
from ..dataset.image_reading import read_image_bgr
from ..dataset.reading_guard import guard
from ..errors import DatasetError, ImageError
from ..retinanet.resize import resize_image, resized_hw
from ..tile_windows import Window
from .augmentations import Augmentations, LabelledImage, flip
from .sampling import SampleIndex


class UnreadableImage(NamedTuple):
    """Takes the place of an image whose pixels cannot be decoded: an exception in a worker would end the training."""

    reason: str


BatchItem = Union[LabelledImage, UnreadableImage]
Sample = TypeVar("Sample")

_MAX_UNREADABLE_BATCHES = 1000  # in a row: then no image of the set can be read


class TrainingDataset(Dataset):  # type: ignore[type-arg]
    """Images by `SampleIndex`; the random choices for a sample depend on the seed and its `draw` only."""

    def __init__(self, cfg: RetinaNetConfig, dataset: CocoDataset, *, seed: int, augment: Sequence[str] = ()) -> None:
        """
        Args:
            augment: names of further augmentations, see `augmentations`.
        """
        self._cfg = cfg
        self._dataset = dataset
        self._seed = seed
        self._augmentations = Augmentations(augment)
        # not those of which a pass leaves some out: most tiles of a scan are empty
        self._others = np.arange(len(dataset)) if dataset.draws is None else np.flatnonzero(dataset.draws >= 1)

    def __getitem__(self, index: SampleIndex) -> BatchItem:
        try:
            with guard().in_work(Path(self._dataset.image_paths[index.image])):
                return self._augmented(index)
        except ImageError as error:
            return UnreadableImage(str(error))

    def _augmented(self, index: SampleIndex) -> LabelledImage:
        # not a generator per worker: the number of workers must not change the images
        generator = np.random.default_rng([self._seed, index.draw])
        image = read_labelled(self._dataset, index.image)
        image = self._augmentations.before_resizing(image, self._read_another, generator)
        short_edge = round(self._draw_short_edge(generator) * self._augmentations.scale(generator))
        image = resize_labelled(image, short_edge, self._cfg["INPUT.MAX_SIZE_TRAIN"])
        if self._cfg["INPUT.RANDOM_FLIP"] != "none" and generator.random() < 0.5:
            image = flip(image, horizontally=self._cfg["INPUT.RANDOM_FLIP"] == "horizontal")
        return for_network(image, self._cfg)

    def _read_another(self, generator: np.random.Generator) -> LabelledImage | None:
        try:
            return read_labelled(self._dataset, int(self._others[generator.integers(len(self._others))]))
        except ImageError:  # counted when it is drawn for itself
            return None

    def _draw_short_edge(self, generator: np.random.Generator) -> int:
        sizes = self._cfg["INPUT.MIN_SIZE_TRAIN"]
        if self._cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"] == "range":
            return int(generator.integers(sizes[0], sizes[-1], endpoint=True))
        return int(generator.choice(sizes))


def read_labelled(dataset: CocoDataset, index: int) -> LabelledImage:
    """Read an image of a set, with its boxes; raise ImageError if its pixels cannot be decoded."""
    pixels = read_image_bgr(Path(dataset.image_paths[index]))
    if dataset.windows is not None:
        pixels = _cut_out(pixels, Window(*dataset.windows[index].tolist()), dataset.image_paths[index])
    return LabelledImage(pixels, *dataset.objects(index))


def _cut_out(image_bgr: np.ndarray, window: Window, path: str) -> np.ndarray:
    height, width = image_bgr.shape[:2]
    if window.x + window.width > width or window.y + window.height > height:
        raise ImageError(f"{path}: its size changed since the task began; leave the images of a running task alone")
    return image_bgr[window.y : window.y + window.height, window.x : window.x + window.width]


def resize_labelled(image: LabelledImage, short_edge: int, max_edge: int) -> LabelledImage:
    """Resize an image and its boxes; the edges are those of `resized_hw`."""
    height, width = image.image_hwc.shape[:2]
    new_hw = resized_hw(height, width, short_edge, max_edge)
    # per side: the new sides are rounded to whole pixels, so their ratios differ a little
    scale = np.array([new_hw[1] / width, new_hw[0] / height] * 2, dtype=np.float32)
    return LabelledImage(resize_image(image.image_hwc, new_hw), image.boxes_xyxy * scale, image.classes)


def for_network(image: LabelledImage, cfg: EngineConfig) -> LabelledImage:
    """Put the channels into the order of INPUT.FORMAT, and the pixels into one writable block, as torch wants them."""
    pixels = image.image_hwc if cfg["INPUT.FORMAT"] == "BGR" else image.image_hwc[:, :, ::-1]
    return image._replace(image_hwc=np.require(pixels, requirements=["C", "W"]))


def readable_batches(
    batches: Iterable[Sequence[Sample | UnreadableImage]], skipped: set[str], blank: Sample | None
) -> Iterator[list[Sample]]:
    """Yield batches without their unreadable images; a batch of nothing else is left out.

    Args:
        skipped: gets the reason of each unreadable image, which names it; an image that is drawn again stays one.
        blank: replaces a batch without a readable image where several processes train, since a process must not leave
            out a step in which the others wait for its gradient. None: there is only one process.

    Raises:
        DatasetError: no image of the set can be decoded.
    """
    unreadable_batches = 0
    for items in batches:
        images: list[Sample] = []
        for item in items:
            if isinstance(item, UnreadableImage):
                skipped.add(item.reason)
            else:
                images.append(item)
        unreadable_batches = 0 if images else unreadable_batches + 1
        if unreadable_batches == _MAX_UNREADABLE_BATCHES:  # else a training on nothing would read for ever
            raise DatasetError(
                f"no image of {unreadable_batches} batches could be decoded, e.g. {min(skipped)};"
                " check the images of the training set"
            )
        if images or blank is not None:
            yield images or [blank]  # type: ignore[list-item]
