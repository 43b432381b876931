"""Test-time augmentation (TEST.AUG): boxes predicted in resized and mirrored copies of an image, merged by NMS.

Source: detectron2's DatasetMapperTTA and GeneralizedRCNNWithTTA. There it is for R-CNN only, here for RetinaNet too.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Callable, List, Mapping, NamedTuple, Sequence

import numpy as np
import torch
from torchvision.ops import batched_nms

from ..detections import Detections, Pixels
from ..retinanet.resample import resize_tensor
from ..retinanet.resize import resize_image, resized_hw

Detect = Callable[[Sequence[Pixels]], List[Detections]]
"""Predicts boxes in images of any sizes, in pixels of the image that was given."""


class BoxAugmentation(NamedTuple):
    """The copies of an image in which boxes are predicted, and how these are merged."""

    short_edges: tuple[int, ...]
    """TEST.AUG.MIN_SIZES: one copy for each, in pixels."""
    max_edge: int
    """TEST.AUG.MAX_SIZE: of the longer side, in pixels."""
    flip: bool
    """TEST.AUG.FLIP: every copy once more, mirrored left to right."""
    nms_threshold: float
    """IoU above which, of two boxes of one class, the one with the lower score is suppressed."""
    max_detections: int
    """Boxes of one image, at most; below 0: any number."""

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> BoxAugmentation | None:
        """Read the keys of TEST.AUG; None where TEST.AUG.ENABLED is False."""
        if not cfg["TEST.AUG.ENABLED"]:
            return None
        head = "RETINANET" if cfg["MODEL.META_ARCHITECTURE"] == "RetinaNet" else "ROI_HEADS"
        return cls(
            cfg["TEST.AUG.MIN_SIZES"], cfg["TEST.AUG.MAX_SIZE"], cfg["TEST.AUG.FLIP"],
            cfg[f"MODEL.{head}.NMS_THRESH_TEST"], cfg["TEST.DETECTIONS_PER_IMAGE"],
        )  # fmt: skip

    @property
    def num_copies(self) -> int:
        """Copies of an image, each of which costs a forward pass."""
        return len(self.short_edges) * (1 + self.flip)

    def detect(self, images: Sequence[Pixels], detect: Detect) -> list[Detections]:
        """Return the merged boxes of each image, best score first, in pixels of that image.

        Args:
            images: (H, W, 3) uint8 each, as the network gets them without augmentation.
            detect: predicts boxes without augmentation.
        """
        found: list[list[Detections]] = [[] for _ in images]
        # copy by copy: those of all images in one size share batches, and only they are in memory
        for short_edge, is_flipped in itertools.product(self.short_edges, (False, True)[: 1 + self.flip]):
            copies = [self._resized(image, short_edge) for image in images]
            copies = [_mirrored(copy) for copy in copies] if is_flipped else copies
            for of_image, image, copy, detections in zip(found, images, copies, detect(copies)):
                of_image.append(_to_original(detections, copy.shape[:2], image.shape[:2], is_flipped=is_flipped))
        return [self._merge(of_image) for of_image in found]

    def _resized(self, image: Pixels, short_edge: int) -> Pixels:
        height, width = image.shape[:2]
        hw = resized_hw(height, width, short_edge, self.max_edge)
        return resize_image(image, hw) if isinstance(image, np.ndarray) else resize_tensor(image, hw)

    def _merge(self, detections: Sequence[Detections]) -> Detections:
        merged = Detections.concatenate(detections)
        keep = batched_nms(
            torch.from_numpy(merged.boxes_xyxy), torch.from_numpy(merged.scores), torch.from_numpy(merged.classes),
            self.nms_threshold,
        ).numpy()  # fmt: skip
        return merged.take(keep[: self.max_detections] if self.max_detections >= 0 else keep)


def _mirrored(image: Pixels) -> Pixels:
    return image[:, ::-1] if isinstance(image, np.ndarray) else image.flip(1)


def _to_original(
    detections: Detections, copy_hw: Sequence[int], image_hw: Sequence[int], *, is_flipped: bool
) -> Detections:
    """Return the detections of a copy in pixels of its image, clipped to it."""
    height, width = image_hw
    boxes = detections.boxes_xyxy.copy()
    if is_flipped:
        boxes[:, [0, 2]] = copy_hw[1] - boxes[:, [2, 0]]
    boxes *= np.array([width / copy_hw[1], height / copy_hw[0]] * 2, dtype=np.float32)
    limit = np.array([width, height] * 2, dtype=np.float32)
    return replace(detections, boxes_xyxy=np.clip(boxes, np.float32(0), limit))
