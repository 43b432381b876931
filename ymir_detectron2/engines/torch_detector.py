"""Detection with the torch engine: pictures of any size in, boxes in their own pixels out."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch

from ..retinanet.config import Config
from ..retinanet.decoding import DecodedBoxes, scale_detections
from ..retinanet.model import RetinaNet
from ..retinanet.precision import autocast
from ..retinanet.resize import resize_image, resized_hw
from .base import Detections
from .batching import batch_size_for, detect_by_shape


class TorchDetector:
    """A RetinaNet ready to look at pictures."""

    def __init__(
        self, model: RetinaNet, cfg: Config, class_names: tuple[str, ...], *, device: torch.device,
        autocast_dtype: torch.dtype | None, score_threshold: float, batch_size: int,
    ) -> None:  # fmt: skip
        """
        Args:
            score_threshold: boxes with a score of this or less are left out.
            batch_size: pictures per forward pass; 0 chooses by the device.
        """
        self.class_names = class_names
        self._model = model
        self._short_edge = cfg["INPUT.MIN_SIZE_TEST"]
        self._max_edge = cfg["INPUT.MAX_SIZE_TEST"]
        self._rgb = cfg["INPUT.FORMAT"] == "RGB"
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._score_threshold = score_threshold
        self._batch_size = batch_size_for(batch_size, device)

    def detect(self, images_bgr: Sequence[np.ndarray]) -> list[Detections]:
        """See `Detector.detect`. Only pictures of equal padded size share a batch: none feels its neighbours."""
        return detect_by_shape(images_bgr, self._batch_size, self._padded_steps, self._detect_batch)

    def _resized_hw(self, image: np.ndarray) -> tuple[int, int]:
        return resized_hw(image.shape[0], image.shape[1], self._short_edge, self._max_edge)

    def _padded_steps(self, image: np.ndarray) -> tuple[int, ...]:
        step = self._model.backbone.size_divisibility
        return tuple(-(-side // step) for side in self._resized_hw(image))

    def _detect_batch(self, images_bgr: list[np.ndarray]) -> list[Detections]:
        training = self._model.training
        self._model.eval()
        with torch.no_grad(), autocast(self._device, self._autocast_dtype):
            batch, image_hws = self._model.preprocess([self._to_tensor(image) for image in images_bgr])
            dense = self._model(batch.to(memory_format=torch.channels_last))
            decoded = self._model.decode(dense, image_hws, score_threshold=self._score_threshold)
        self._model.train(training)
        return [
            to_detections(boxes, image_hw, image.shape[:2])
            for boxes, image_hw, image in zip(decoded, image_hws, images_bgr)
        ]

    def _to_tensor(self, image_bgr: np.ndarray) -> torch.Tensor:
        resized = resize_image(image_bgr, self._resized_hw(image_bgr))
        ordered = resized[:, :, ::-1] if self._rgb else resized
        return torch.from_numpy(np.ascontiguousarray(ordered.transpose(2, 0, 1))).to(self._device, non_blocking=True)


def to_detections(decoded: DecodedBoxes, from_hw: tuple[int, int], to_hw: tuple[int, ...]) -> Detections:
    """From pixels of the resized picture to those of the original."""
    scaled = scale_detections(decoded, from_hw, (to_hw[0], to_hw[1]))
    return Detections(*(part.cpu().numpy() for part in scaled))
