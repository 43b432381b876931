"""Inputs and outputs of a detector: the types that inference, mining, evaluation and both engines share. No torch here.

Letters: N boxes of one image, K classes, C channels, H and W height and width of the image in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Protocol, Sequence

import numpy as np

from .tile_windows import Tiling


@dataclass(frozen=True)
class Detections:
    """The boxes predicted in one image, best score first."""

    boxes_xyxy: np.ndarray
    """(N, 4) float32: x1 y1 x2 y2 in pixels of the original image, x2 and y2 exclusive."""
    scores: np.ndarray
    """(N,) float32 in [0, 1]."""
    classes: np.ndarray
    """(N,) int64: 0-based position in the detector's class names."""
    class_probs: np.ndarray | None = None
    """(N, K) float32: probability of each class, independent sigmoids; None where the model does not predict them."""

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def empty() -> Detections:
        """Return detections without a box."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def take(self, index: np.ndarray, **changed: np.ndarray) -> Detections:
        """Return the detections at these positions, or where a mask is True, with the `changed` fields replaced."""
        # class_probs stays None
        fields = {name: value for name, value in vars(self).items() if value is not None}
        return Detections(**{**{name: value[index] for name, value in fields.items()}, **changed})

    @staticmethod
    def concatenate(detections: Sequence[Detections]) -> Detections:
        """Return the boxes of several detections, at least one, of the same detector; in their order, not by score."""
        # the same detector: either all of them have class_probs or none
        fields = [name for name, value in vars(detections[0]).items() if value is not None]
        return Detections(**{name: np.concatenate([getattr(one, name) for one in detections]) for name in fields})


Pixels = Any
"""(H, W, 3) uint8 BGR: a NumPy array in main memory, or a torch tensor on the detector's device."""


class ImageDenseOutputs(Protocol):
    """The dense outputs of a RetinaNet for one image, without the padding of its batch. Torch tensors."""

    @property
    def score_maps(self) -> list[Any]:
        """Per pyramid level, finest first, (K, h, w) float32 in [0, 1]: the largest probability over the anchors."""

    @property
    def features(self) -> list[Any]:
        """Per pyramid level, finest first, (C, h, w): the input of the heads."""


ExtractDense = Callable[[ImageDenseOutputs], Any]
"""Reduces the dense outputs of one image to what a caller keeps of them."""


class Detector(Protocol):
    """A loaded model that predicts the boxes of images.

    An image is first resized to the network's input size (`load`), then passed to `detect` as it is: a caller that
    augments images can do so in between, on the device.
    """

    class_names: tuple[str, ...]
    score_threshold: float
    """Boxes with a score of this or less are left out; may be set between two calls of `detect`."""
    tiling: Tiling
    """How the images of its training were cut into tiles, and so how those that it predicts are to be cut."""
    preferred_chunk: int
    """How many images to pass to `detect` at a time: several batches, so that images of one shape can share a batch."""

    @property
    def has_dense_outputs(self) -> bool:
        """Whether `detect_and_extract` can be called: a RetinaNet has score maps, a network of two stages has none."""

    @property
    def arithmetic(self) -> str:
        """What the last digits of its results depend on: precision and kind of device, e.g. `bf16 on CPU (AVX512)`."""

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width to which an upright image of this height and width is resized."""

    def load(self, image_bgr: np.ndarray) -> Pixels:
        """Resize an upright (H, W, 3) uint8 BGR image to `network_hw`, on the GPU if there is one. Thread-safe."""

    def detect(self, pixels: Sequence[Pixels]) -> list[Detections]:
        """Predict the boxes of images of any sizes, without resizing them: boxes are in pixels of the given images.

        The result for an image does not depend on the others.
        """

    def detect_and_extract(self, pixels: Sequence[Pixels], extract: ExtractDense) -> list[tuple[Detections, Any]]:
        """Run `detect`, and `extract` on the dense outputs of each image from the same forward pass.

        Raises:
            ConfigError: the network has no dense outputs.
        """
