"""Losses of the validation set, to be compared with those of training: overfitting shows where the two part."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np
import torch
from torch import nn

from .. import distributed
from ..config.engine_config import EngineConfig
from ..dataset.coco_json import CocoDataset
from ..errors import ImageError, StoppedError
from ..retinanet.layers import autocast
from ..retinanet.model import RetinaNet
from .augmentations import LabelledImage
from .samples import for_network, read_labelled, resize_labelled

MAX_IMAGES = 50
"""Each costs a forward pass at every evaluation, and a curve needs no more."""

LossSums = Callable[[LabelledImage], Tuple[Dict[str, float], int]]
"""Maps an image to the sums of its losses and its number of positive anchors."""


def retinanet_loss_sums(model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None) -> LossSums:
    """Return the `LossSums` of the torch engine's network."""

    def loss_sums(image: LabelledImage) -> tuple[dict[str, float], int]:
        batch, _ = model.preprocess([torch.from_numpy(image.image_hwc).permute(2, 0, 1)])  # (H, W, 3) -> (3, H, W)
        boxes, classes = torch.from_numpy(image.boxes_xyxy), torch.from_numpy(image.classes)
        with autocast(device, autocast_dtype):
            sums, num_positives = model(batch.to(memory_format=model.memory_format), [boxes], [classes])
        return {name: float(value) for name, value in sums.items()}, int(num_positives)

    return loss_sums


class ValidationLoss:
    """Computes the losses of a model on images of inference size, without augmentation."""

    def __init__(
        self, model: nn.Module, cfg: EngineConfig, dataset: CocoDataset, loss_sums: LossSums,
        stop_requested: Callable[[], bool] = lambda: False, on_image: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """
        Args:
            stop_requested: asked before each image.
            on_image: called after each image.
        """
        self._model = model
        self._cfg = cfg
        self._dataset = dataset
        self._loss_sums = loss_sums
        self._stop_requested = stop_requested
        self._on_image = on_image
        # evenly spaced over the set, which may be sorted by class or by camera
        # of tiles without objects no more than training shows, or the losses could not be compared
        usual = np.arange(len(dataset)) if dataset.draws is None else np.flatnonzero(dataset.draws >= 1)
        count = min(len(usual), MAX_IMAGES)
        self._indexes = usual[np.linspace(0, len(usual) - 1, count).round().astype(int)].tolist()

    def measure(self) -> dict[str, float]:
        """Return the losses by name, divided by the positive anchors of all images; {} if no image can be read.

        Called in all processes together, each of which takes its share of the images.

        Raises:
            StoppedError: in all processes, when a stop was requested in one of them.
        """
        training = self._model.training
        self._model.eval()  # BN with its running statistics, which stay as they are
        try:
            share = self._sums(self._indexes[distributed.rank() :: distributed.world_size()])
        finally:
            self._model.train(training)
        shares = [share for share in distributed.all_gather_object(share) if share is not None]
        if len(shares) < distributed.world_size():
            raise StoppedError("stopped on request during an evaluation")
        # the normaliser of these images, not the running one of training: no trace of the measurement is left
        divisor = max(1, sum(num_positives for _, num_positives in shares))
        names = dict.fromkeys(name for sums, _ in shares for name in sums)
        return {name: sum(sums.get(name, 0.0) for sums, _ in shares) / divisor for name in names}

    @torch.no_grad()
    def _sums(self, indexes: list[int]) -> tuple[dict[str, float], int] | None:
        """Return the sums of the losses and of the positive anchors; None where a stop was requested."""
        totals: dict[str, float] = {}
        total_positives = 0
        for index in indexes:
            if self._stop_requested():
                return None
            self._on_image()
            try:
                image = read_labelled(self._dataset, index)
            except ImageError:  # already logged: the evaluation reads the whole set just before
                continue
            image = resize_labelled(image, self._cfg["INPUT.MIN_SIZE_TEST"], self._cfg["INPUT.MAX_SIZE_TEST"])
            sums, num_positives = self._loss_sums(for_network(image, self._cfg))
            total_positives += num_positives
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals, total_positives
