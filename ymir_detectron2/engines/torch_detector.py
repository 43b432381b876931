"""Detection with the torch engine, optionally with torch's compiler."""

from __future__ import annotations

import logging
import os
import shutil
from typing import Any, Callable, List, Tuple

import torch
from torch import Tensor

from ..config.retinanet_config import RetinaNetConfig
from ..detections import Detections, ExtractDense, Pixels
from ..retinanet.model import RetinaNet
from ..tile_windows import Tiling
from .base_detector import BaseDetector, extract_dense

logger = logging.getLogger(__name__)

Levels = List[Tensor]
Network = Callable[[Tensor], Tuple[Levels, Levels, Levels]]
"""A batch -> pyramid levels, logits and deltas, finest first."""


class TorchDetector(BaseDetector):
    """A RetinaNet of the torch engine as a detector."""

    def __init__(
        self, model: RetinaNet, cfg: RetinaNetConfig, class_names: tuple[str, ...], *, device: torch.device,
        autocast_dtype: torch.dtype | None, score_threshold: float, batch_size: int,
        tiling: Tiling = Tiling(),  # noqa: B008 - immutable
    ) -> None:  # fmt: skip
        """
        Args:
            score_threshold: boxes with a score of this or less are left out.
            batch_size: images per forward pass; 0 chooses by the device.
            tiling: see `Detector.tiling`.
        """
        super().__init__(
            model, cfg, class_names, device=device, autocast_dtype=autocast_dtype, batch_size=batch_size, tiling=tiling
        )
        self.score_threshold = score_threshold

        # only this is compiled: anchors are cached, and the number of candidates in decoding varies
        def network(images: Tensor) -> tuple[Levels, Levels, Levels]:
            levels = model.features(images)
            return (levels, *model.head(levels))

        self._network: Network = network

    def compile(self) -> None:
        """Run the network by torch.compile from now on, compiled once per shape of a batch; warn where torch cannot."""
        if not hasattr(torch, "compile"):
            obstacle = f"torch {torch.__version__} has no compiler, it came with 2.0"
        elif shutil.which(os.environ.get("CXX", "g++")) is None:  # as torch finds it
            obstacle = "there is no C++ compiler (g++) here"
        else:
            import torch._dynamo as dynamo  # torch before 2.0 has neither
            import torch._inductor.config as inductor_config

            inductor_config.freezing = True  # weights become constants, laid out for the kernels that use them
            dynamo.config.cache_size_limit = 1000  # shapes; the default of 8 would give up after a few
            self._network = torch.compile(self._network, dynamic=False)
            return
        logger.warning("compile: %s; going on without", obstacle)

    def _forward_batch(self, batch: list[Pixels], extract: ExtractDense | None) -> list[tuple[Detections, Any]]:
        model: RetinaNet = self._model
        images, image_hws = model.preprocess([self._to_chw(pixels) for pixels in batch])
        levels, logits, deltas = self._network(images.to(dtype=model.dtype, memory_format=model.memory_format))
        dense = model.dense(levels, logits, deltas)
        decoded = model.decode(dense, image_hws, score_threshold=self.score_threshold)
        return extract_dense(decoded, levels, dense.logits, model.strides, image_hws, extract)
