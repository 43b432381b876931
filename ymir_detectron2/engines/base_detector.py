"""Detection code that both engines share: resizing, batches of equal shape, fewer images when memory runs out.

Letters: N images of a batch, C channels, H and W cells of a pyramid level, A anchors per cell, K classes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any, Callable, Hashable, Mapping, Sequence, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..detections import Detections, ExtractDense, Pixels
from ..errors import is_out_of_memory
from ..retinanet.decoding import CroppedDenseOutputs, DecodedBoxes
from ..retinanet.layers import autocast
from ..retinanet.resample import resize_tensor
from ..retinanet.resize import resize_image, resized_hw
from ..tile_windows import Tiling
from .augmented_detection import BoxAugmentation
from .devices import describe_arithmetic

logger = logging.getLogger(__name__)

MAX_PIXELS_ON_DEVICE = 16_000_000
"""A larger image is resized in main memory: a satellite scene would fill the device."""

_BATCH_ON_GPU = 16
_BATCH_ON_CPU = 4


class BaseDetector:
    """Implements `detections.Detector` except for `_forward_batch`, which depends on the network."""

    def __init__(
        self, model: nn.Module, cfg: Mapping[str, Any], class_names: tuple[str, ...], *, device: torch.device,
        autocast_dtype: torch.dtype | None, batch_size: int, tiling: Tiling = Tiling(),  # noqa: B008 - immutable
    ) -> None:  # fmt: skip
        """
        Args:
            autocast_dtype: bfloat16 or float16 for mixed precision; None computes in the data type of the weights.
            batch_size: images per forward pass; 0 chooses by the device.
            tiling: see `Detector.tiling`.
        """
        self.class_names = class_names
        self.tiling = tiling
        self._model: Any = model
        self._cfg = cfg
        self._device = device
        self._autocast_dtype = autocast_dtype
        self._augmentation = BoxAugmentation.from_config(cfg)
        if self._augmentation is not None:
            logger.info("test-time augmentation (TEST.AUG): boxes are predicted in %d copies of every image",
                        self._augmentation.num_copies)  # fmt: skip
        self._batcher = ShapeBucketBatcher(batch_size, device)
        self.preferred_chunk = 2 * self._batcher.size  # wide and upright images can fill a batch each
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def has_dense_outputs(self) -> bool:
        """See `Detector.has_dense_outputs`."""
        return True

    @property
    def arithmetic(self) -> str:
        """See `Detector.arithmetic`."""
        return describe_arithmetic(self._device, self._autocast_dtype or next(self._model.parameters()).dtype)

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """See `Detector.network_hw`."""
        return resized_hw(*image_hw, self._cfg["INPUT.MIN_SIZE_TEST"], self._cfg["INPUT.MAX_SIZE_TEST"])

    def load(self, image_bgr: np.ndarray) -> Pixels:
        """See `Detector.load`."""
        height, width = image_bgr.shape[:2]
        hw = self.network_hw((height, width))
        if self._stream is None:
            return resize_image(image_bgr, hw)
        if height * width > MAX_PIXELS_ON_DEVICE:
            image_bgr = np.array(resize_image(image_bgr, hw))  # a copy: torch warns about PIL's read-only memory
        # a separate stream: the copies of reading threads need not wait for the network
        with torch.cuda.stream(self._stream):
            pixels = resize_tensor(torch.from_numpy(image_bgr).to(self._device), hw)
            # the allocator must not give this memory away while the network still reads it in its own stream
            pixels.record_stream(torch.cuda.default_stream(self._device))
        self._stream.synchronize()
        return pixels

    def detect(self, pixels: Sequence[Pixels]) -> list[Detections]:
        """See `Detector.detect`; with test-time augmentation, in copies of the images."""
        if self._augmentation is None:
            return self._detect_once(pixels)
        return self._augmentation.detect(pixels, self._detect_once)

    def detect_and_extract(self, pixels: Sequence[Pixels], extract: ExtractDense) -> list[tuple[Detections, Any]]:
        """See `Detector.detect_and_extract`; the dense outputs are always those of the image itself."""
        outputs = self._run(pixels, extract)
        if self._augmentation is None:
            return outputs
        return [(detections, extracted) for detections, (_, extracted) in zip(self.detect(pixels), outputs)]

    def _detect_once(self, pixels: Sequence[Pixels]) -> list[Detections]:
        return [detections for detections, _ in self._run(pixels, None)]

    def _run(self, pixels: Sequence[Pixels], extract: ExtractDense | None) -> list[tuple[Detections, Any]]:
        was_training = self._model.training  # an evaluation may interrupt a training
        self._model.eval()
        try:
            with torch.no_grad(), autocast(self._device, self._autocast_dtype):
                return self._batcher.run(
                    pixels, self._padded_shape, lambda batch: self._forward_batch(batch, extract)
                )
        finally:
            self._model.train(was_training)

    def _forward_batch(self, batch: list[Pixels], extract: ExtractDense | None) -> list[tuple[Detections, Any]]:
        """Run the network on images of one padded shape; return detections, and what `extract` made of each image."""
        raise NotImplementedError

    def _padded_shape(self, pixels: Pixels) -> tuple[int, ...]:
        """Height and width after padding, in steps of the pyramid: equal ones give a batch without further padding."""
        step = max(self._model.backbone.size_divisibility, 1)  # 0 for detectron2's networks without a pyramid
        return tuple(-(-side // step) for side in pixels.shape[:2])

    def _to_chw(self, pixels: Pixels) -> Tensor:
        """(3, H, W) uint8 on the device, channels in the order of INPUT.FORMAT."""
        if isinstance(pixels, np.ndarray):  # torch takes neither negative strides nor read-only memory
            pixels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        chw: Tensor = pixels.to(self._device, non_blocking=True).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        return chw if self._cfg["INPUT.FORMAT"] == "BGR" else chw.flip(0)


def to_detections(decoded: DecodedBoxes) -> Detections:
    """Copy the boxes of one image from the device to main memory."""
    return Detections(*(field.cpu().numpy() for field in decoded))


def extract_dense(
    decoded: Sequence[DecodedBoxes], levels: Sequence[Tensor], logits: Sequence[Tensor], strides: Sequence[int],
    image_hws: Sequence[tuple[int, int]], extract: ExtractDense | None,
) -> list[tuple[Detections, Any]]:  # fmt: skip
    """Return the detections of each image of a batch, and the result of `extract` on its dense outputs.

    Args:
        decoded: boxes of N images.
        levels: pyramid features, finest first, (N, C, H, W) each.
        logits: (N, H*W*A, K) each.
        strides: pixels per cell of each level.
        image_hws: N (height, width) without the padding.
        extract: None extracts nothing.
    """
    detections = [to_detections(boxes) for boxes in decoded]
    if extract is None:
        return [(one, None) for one in detections]
    dense = (CroppedDenseOutputs(levels, logits, strides, *image) for image in enumerate(image_hws))
    return [(one, extract(outputs)) for one, outputs in zip(detections, dense)]


Item = TypeVar("Item")
Result = TypeVar("Result")


class ShapeBucketBatcher:
    """Cuts images into batches of one shape, smaller ones from then on when a batch does not fit into memory.

    Without mixed shapes no image is padded for another's sake, so that its result does not depend on its neighbours.
    """

    def __init__(self, batch_size: int, device: torch.device) -> None:
        """
        Args:
            batch_size: images per forward pass; 0 lets the device decide.
        """
        self.size = batch_size or (_BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU)
        self._device = device
        self._has_warned = False

    def run(
        self,
        items: Sequence[Item],
        shape_of: Callable[[Item], Hashable],
        run_batch: Callable[[list[Item]], list[Result]],
    ) -> list[Result]:
        """Run batches of items for which `shape_of` is the same; results come in the order of the items."""
        buckets: dict[Hashable, list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            buckets[shape_of(item)].append(index)
        results: dict[int, Result] = {}
        for indexes in buckets.values():
            while indexes:
                batch, rest = indexes[: self.size], indexes[self.size :]
                batch_results = self._try(run_batch, [items[index] for index in batch])
                if batch_results is not None:  # else once more, with the smaller size
                    results.update(zip(batch, batch_results))
                    indexes = rest
        return [results[index] for index in range(len(items))]

    def _try(self, run_batch: Callable[[list[Item]], list[Result]], batch: list[Item]) -> list[Result] | None:
        """None when memory ran out and the batch size has been halved for another try."""
        try:
            return run_batch(batch)
        except Exception as error:  # of any type: see is_out_of_memory
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
        # outside of `except`: the traceback holds the tensors of the failed batch
        self.size = len(batch) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._has_warned:
            self._has_warned = True
            logger.warning("memory ran out with %d images at a time; going on with %d or fewer, which is slower; set"
                           " batch_size to avoid the attempt", len(batch), self.size)  # fmt: skip
        return None
