"""Detection with the torch engine."""

from __future__ import annotations

import logging
import os
import shutil
from typing import Any, Callable, List, Tuple

import torch
from torch import Tensor

from ..retinanet.config import Config
from ..retinanet.dense_view import PictureView
from ..retinanet.model import RetinaNet
from .base import Detections, Pixels, ReadDense
from .picture_detector import PictureDetector, to_detections

logger = logging.getLogger(__name__)

Levels = List[Tensor]
Network = Callable[[Tensor], Tuple[Levels, Levels, Levels]]
"""A batch -> pyramid levels, logits and deltas, finest first."""


class TorchDetector(PictureDetector):
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
        super().__init__(
            model, cfg, class_names, device=device, autocast_dtype=autocast_dtype, batch_size=batch_size
        )
        self._score_threshold = score_threshold
        self._network: Network = _network(model)

    def compile(self) -> None:
        """From now on run the network as torch's compiler makes it, anew for every shape of a batch.

        Says so and changes nothing where torch cannot: it needs a C++ compiler, which an image may lack.
        """
        obstacle = _obstacle_to_compiling()
        if obstacle:
            logger.warning("compile: %s; going on without", obstacle)
            return
        import torch._dynamo
        import torch._inductor.config

        torch._inductor.config.freezing = True  # weights become constants, laid out for the kernels that use them
        torch._dynamo.config.cache_size_limit = 1000  # shapes; the default of 8 would give up after a few
        self._network = torch.compile(self._network, dynamic=False)

    def _look(self, batch: list[Pixels], read: ReadDense | None) -> list[tuple[Detections, Any]]:
        model: RetinaNet = self._model
        images, image_hws = model.preprocess([self._to_chw(pixels) for pixels in batch])
        levels, logits, deltas = self._network(images.to(dtype=model.dtype, memory_format=model.memory_format))
        dense = model.dense(levels, logits, deltas)
        decoded = model.decode(dense, image_hws, score_threshold=self._score_threshold)
        found = [to_detections(boxes) for boxes in decoded]
        if read is None:
            return [(detections, None) for detections in found]
        views = (PictureView(levels, dense.logits, model.strides, *one) for one in enumerate(image_hws))
        return [(detections, read(view)) for detections, view in zip(found, views)]


def _network(model: RetinaNet) -> Network:
    def network(images: Tensor) -> tuple[Levels, Levels, Levels]:
        levels = model.features(images)
        return (levels, *model.head(levels))

    return network


def _obstacle_to_compiling() -> str:
    if not hasattr(torch, "compile"):
        return f"torch {torch.__version__} has no compiler, it came with 2.0"
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "there is no C++ compiler (g++) here"
    return ""
