"""What the detectors of both engines share: the size at which a picture is looked at, and batches of equal shape."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..retinanet.decoding import DecodedBoxes
from ..retinanet.precision import autocast
from ..retinanet.resample import resize_tensor
from ..retinanet.resize import resize_image, resized_hw
from .base import Detections, Pixels, ReadDense
from .batching import ShapeBatches

LARGEST_ON_DEVICE = 16_000_000
"""Pixels. A larger picture is resized in main memory: a scene of a satellite would fill the device."""


class PictureDetector:
    """Implements `base.Detector` but for `_look`, which is the network's own."""

    def __init__(
        self, model: nn.Module, cfg: Mapping[str, Any], class_names: tuple[str, ...], *, device: torch.device,
        autocast_dtype: torch.dtype | None, batch_size: int,
    ) -> None:  # fmt: skip
        """
        Args:
            batch_size: pictures per forward pass; 0 chooses by the device.
        """
        self.class_names = class_names
        self._model: Any = model
        self._cfg = cfg
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._batches = ShapeBatches(batch_size, device)
        self.parts_at_once = 2 * self._batches.size
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """See `Detector.network_hw`."""
        return resized_hw(*image_hw, self._cfg["INPUT.MIN_SIZE_TEST"], self._cfg["INPUT.MAX_SIZE_TEST"])

    def load(self, image_bgr: np.ndarray) -> Pixels:
        """See `Detector.load`."""
        height, width = image_bgr.shape[:2]
        hw = self.network_hw((height, width))
        if self._stream is None:
            return resize_image(image_bgr, hw)
        if height * width > LARGEST_ON_DEVICE:
            image_bgr = np.array(resize_image(image_bgr, hw))
        # a stream of its own: the copies of reading threads need not wait for the network
        with torch.cuda.stream(self._stream):
            pixels = resize_tensor(torch.from_numpy(image_bgr).to(self._device), hw)
            pixels.record_stream(torch.cuda.default_stream(self._device))
        self._stream.synchronize()
        return pixels

    def detect(self, pixels: Sequence[Pixels]) -> list[Detections]:
        """See `Detector.detect`."""
        return [found for found, _ in self._run(pixels, None)]

    def detect_and_read(self, pixels: Sequence[Pixels], read: ReadDense) -> list[tuple[Detections, Any]]:
        """See `Detector.detect_and_read`."""
        return self._run(pixels, read)

    def _run(self, pixels: Sequence[Pixels], read: ReadDense | None) -> list[tuple[Detections, Any]]:
        training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad(), autocast(self._device, self._autocast_dtype):
                return self._batches.run(pixels, self._padded_steps, lambda batch: self._look(batch, read))
        finally:
            self._model.train(training)

    def _look(self, batch: list[Pixels], read: ReadDense | None) -> list[tuple[Detections, Any]]:
        """One forward pass over pictures of one padded size."""
        raise NotImplementedError

    def _padded_steps(self, pixels: Pixels) -> tuple[int, ...]:
        step = max(self._model.backbone.size_divisibility, 1)
        return tuple(-(-side // step) for side in pixels.shape[:2])

    def _to_chw(self, pixels: Pixels) -> Tensor:
        """(3, H, W) uint8 on the device, channels in the order of INPUT.FORMAT."""
        if isinstance(pixels, np.ndarray):
            pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        chw: Tensor = pixels.to(self._device, non_blocking=True).permute(2, 0, 1)
        return chw if self._cfg["INPUT.FORMAT"] == "BGR" else chw.flip(0)


def to_detections(decoded: DecodedBoxes) -> Detections:
    """From the device to main memory."""
    return Detections(*(part.cpu().numpy() for part in decoded))
