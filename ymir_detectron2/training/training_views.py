"""What the network of a training is shown: the images of both sets, or with `tile_size` the images and their tiles."""

from __future__ import annotations

import logging
import math
import re

import numpy as np

from .. import distributed
from ..config.engine_config import EngineConfig
from ..config.image_sizes import require_overlap
from ..contract.model_package import ModelPackage
from ..dataset.coco_json import CocoDataset
from ..retinanet.anchor_fit import resized_wh
from ..retinanet.checkpoint import read_checkpoint
from ..tile_windows import Tiling
from .anchor_check import SIZES, SMALL_PX, per_level, typical_short_edge
from .empty_images import with_empty_share
from .job import TrainJob
from .tile_choice import InputSize, choose_tile_size
from .tiled_set import with_tiles

logger = logging.getLogger(__name__)

_CELLS = 2
"""Cells of the finest level of features that an object must span: within one, the network sees one number of it."""
_FINEST_LEVEL = 3
"""Of a RetinaNet: p3, whose stride is 2 to the power of 3."""


class TrainingViews:
    """The views of both sets: as images of a set, the whole images first."""

    def __init__(self, job: TrainJob, train_set: CocoDataset, val_set: CocoDataset) -> None:
        self._job = job
        self.train, self.val = train_set, val_set
        self.tiling = Tiling()
        self._num_val_images = len(val_set)

    @property
    def draws(self) -> int:
        """How many views a pass through the training set draws."""
        return len(self.train) if self.train.draws is None else round(float(self.train.draws.sum()))

    @property
    def per_val_image(self) -> float:
        """Views of a validation image, on average: each is a forward pass of an evaluation."""
        return len(self.val) / max(1, self._num_val_images)

    def cut(self, cfg: EngineConfig) -> int:
        """Choose the tiles for a configuration and cut both sets; return `draws`.

        Called once, in every process: all choose the same tiles.

        Args:
            cfg: with the sizes and anchors of the training.

        Raises:
            ConfigError: `tile_overlap` does not fit the tiles that `auto` has chosen.
            ModelError: the chosen model cannot be read.
        """
        self.tiling = tiling = self._choose(cfg)
        self.train, self.val = (with_tiles(each, tiling, _is_small(cfg, each)) for each in (self.train, self.val))
        if tiling.size:
            self._log(
                "tiles of %d px, neighbours sharing %d px: %d training images and tiles, %d of them in each pass",
                tiling.size, tiling.overlap, len(self.train), self.draws,
            )  # fmt: skip
        self.train = with_empty_share(self.train, self._job.settings.empty_share or 1.0)
        return self.draws

    def _choose(self, cfg: EngineConfig) -> Tiling:
        size, overlap, pretrained = self._job.settings.tile_size, self._job.settings.tile_overlap, self._job.pretrained
        trained = tiling_of(pretrained) if size == 0 else Tiling()  # a model brings the images that it was shown
        if trained.size:
            self._log("tile_size %d: as in the training of the chosen model", trained.size)
        if size == "auto":
            choice = choose_tile_size(
                self.train.boxes_xyxy, _hw_of_boxes(self.train), self.train.image_hw, _input_size(cfg, self._job)
            )
            self._log("tile_size: auto: %s: %s", choice.size or "no tiles", choice.reason)
            if choice.size:
                require_overlap(choice.size, overlap)
            size = choice.size or "none"
        return Tiling.of_keys(size, overlap, trained)

    def _log(self, message: str, *values: object) -> None:
        if distributed.rank() == 0:
            logger.info(message, *values)


def tiling_of(package: ModelPackage | None) -> Tiling:
    """Return how the images of a chosen model's training were cut into tiles; no tiles without a model.

    Raises:
        ModelError: its file cannot be read.
    """
    return Tiling() if package is None else Tiling.of_checkpoint(read_checkpoint(package.weights).metadata)


def _input_size(cfg: EngineConfig, job: TrainJob) -> InputSize:
    """Return what a network is shown, and from which size on its anchors and features have an object.

    A square inside of an anchor of side a has an IoU of 0.5 with it, enough to be matched, from a / sqrt(2) on.
    """
    levels = [int(match[1]) for name in cfg["MODEL.RETINANET.IN_FEATURES"] if (match := re.match(r"p(\d+)$", name))]
    stride = 2 ** min(levels, default=_FINEST_LEVEL)
    # `anchors: auto` fits the sizes afterwards, to the boxes as the tiles show them; the stride stays
    smallest = 0.0 if job.settings.anchors else min((min(level) for level in per_level(cfg[SIZES])), default=0.0)
    wanted_px = max(float(_CELLS * stride), smallest / math.sqrt(2.0))
    return InputSize(typical_short_edge(cfg), cfg["INPUT.MAX_SIZE_TRAIN"], wanted_px)


def _is_small(cfg: EngineConfig, dataset: CocoDataset) -> np.ndarray:
    """(M,) bool: a side of the box has less than one cell of the finest level when the network sees the whole image."""
    shown = resized_wh(
        dataset.boxes_xyxy, _hw_of_boxes(dataset), typical_short_edge(cfg), cfg["INPUT.MAX_SIZE_TRAIN"]
    )
    is_small: np.ndarray = shown.min(axis=1, initial=np.inf) < SMALL_PX
    return is_small


def _hw_of_boxes(dataset: CocoDataset) -> np.ndarray:
    """(M, 2) height and width of the image of each box."""
    hw: np.ndarray = np.repeat(dataset.image_hw, np.diff(dataset.box_starts), axis=0)
    return hw
