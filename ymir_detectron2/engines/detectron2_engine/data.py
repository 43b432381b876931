"""detectron2's training loader over the images of a task, without those that cannot be read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.structures import Boxes, Instances

from ...dataset.image_reading import read_image_bgr
from ...dataset.reading_guard import guard
from ...errors import ImageError
from ...training.samples import UnreadableImage, readable_batches

Sample = Dict[str, Any]
"""One image as detectron2's models take it: image, height, width, instances."""


class Mapper(DatasetMapper):
    """detectron2's mapper with this project's reading of images: upright, more than 8 bits stretched."""

    def __call__(self, dataset_dict: Sample) -> Sample:
        path = Path(dataset_dict["file_name"])
        try:
            with guard().in_work(path):
                return self._augmented(dataset_dict, read_image_bgr(path))
        except ImageError as error:
            return _unreadable(dataset_dict, str(error))

    def _augmented(self, dataset_dict: Sample, image_bgr: np.ndarray) -> Sample:
        # detectron2 would end the training
        if image_bgr.shape[:2] != (dataset_dict["height"], dataset_dict["width"]):
            return _unreadable(dataset_dict, f"{dataset_dict['file_name']}: its size changed since the task began")
        sample: Sample = copy.deepcopy(dataset_dict)  # the catalog's own, which the next epoch needs unchanged
        augmented = T.AugInput(image_bgr if self.image_format == "BGR" else image_bgr[:, :, ::-1])
        transforms = self.augmentations(augmented)  # changes `augmented` and returns how
        self._transform_annotations(sample, transforms, augmented.image.shape[:2])
        # an array goes through a pipe; a tensor would need /dev/shm, which a container has 64 MB of
        sample["image"] = np.ascontiguousarray(augmented.image.transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)
        return sample


class ReadableLoader:
    """detectron2's training loader without the images that cannot be decoded."""

    def __init__(self, cfg: CfgNode, *, may_skip_a_batch: bool) -> None:
        """
        Args:
            may_skip_a_batch: False where other processes would wait for the gradient of this one.
        """
        self.skipped: set[str] = set()
        self._cfg = cfg
        self._blank = None if may_skip_a_batch else blank_image()

    def begin_after(self, step: int) -> None:
        """Draw the images in another order than a run that begins at step 1; called before the first batch.

        Else a training that is often interrupted would see the beginning of one order again and again.
        """
        self._cfg = self._cfg.clone()
        self._cfg.defrost()
        self._cfg.SEED = (self._cfg.SEED + step) % 2**31  # in detectron2 0.6 the state of NumPy decides instead

    def __iter__(self) -> Iterator[list[Sample]]:
        return readable_batches(self._batches(), self.skipped, self._blank)

    def _batches(self) -> Iterator[list[Sample | UnreadableImage]]:
        # built at the first batch: a resumed training has restored its random state by then
        for batch in build_detection_train_loader(self._cfg, mapper=Mapper(self._cfg, is_train=True)):
            yield [
                # the tensor is made here, see `Mapper`
                UnreadableImage(sample["unreadable"])
                if "unreadable" in sample
                else {**sample, "image": torch.from_numpy(sample["image"])}
                for sample in batch
            ]


def _unreadable(dataset_dict: Sample, reason: str) -> Sample:
    """Return a sample that detectron2's loader can still group by shape."""
    return {"height": dataset_dict["height"], "width": dataset_dict["width"], "unreadable": reason}


def blank_image() -> Sample:
    """Return a small image without objects, for a process whose share of a batch cannot be read."""
    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.zeros((0, 4)))
    instances.gt_classes = torch.zeros(0, dtype=torch.int64)
    return {"image": torch.zeros((3, 64, 64), dtype=torch.uint8), "height": 64, "width": 64, "instances": instances}
