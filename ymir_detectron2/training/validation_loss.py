"""The losses of the validation set, to be held against those of training: a model that learns by heart shows there."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, Tuple

import numpy as np
import torch
from torch import nn

from ..dataset.coco_json import CocoDataset
from ..dataset.image_reading import read_image_bgr
from ..engines.base import EngineConfig
from ..errors import ImageError, StoppedError
from ..retinanet.model import RetinaNet
from ..retinanet.precision import autocast
from ..retinanet.resize import resize_image, resized_hw
from . import processes
from .pictures import TrainingPicture

MOST_PICTURES = 50
"""Each costs a forward pass at every evaluation, and a curve needs no more."""

LossSums = Callable[[TrainingPicture], Tuple[Dict[str, float], int]]
"""One picture -> the sums of its losses, and how many of its anchors found an object."""


def retinanet_loss_sums(model: RetinaNet, device: torch.device, autocast_dtype: torch.dtype | None) -> LossSums:
    """Those of the torch engine's network."""

    def loss_sums(picture: TrainingPicture) -> tuple[dict[str, float], int]:
        batch, _ = model.preprocess([torch.from_numpy(picture.image_chw)])
        boxes, classes = torch.from_numpy(picture.boxes_xyxy), torch.from_numpy(picture.classes)
        with autocast(device, autocast_dtype):
            dense = model(batch.to(memory_format=model.memory_format))
            sums, found = model.loss_sums(dense, [boxes], [classes])
        return {name: float(value) for name, value in sums.items()}, int(found)

    return loss_sums


class ValidationLoss:
    """Measures a model as it is: pictures at the size of inference, neither flipped nor otherwise altered."""

    def __init__(
        self, model: nn.Module, cfg: EngineConfig, dataset: CocoDataset, loss_sums: LossSums,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._model = model
        self._cfg = cfg
        self._dataset = dataset
        self._loss_sums = loss_sums
        self._stop_requested = stop_requested
        count = min(len(dataset), MOST_PICTURES)
        self._numbers = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()

    def measure(self) -> dict[str, float]:
        """The losses by name, divided by the positive anchors of all these pictures; called in all processes together.

        {} where no picture can be read.

        Raises:
            StoppedError: a stop was requested.
        """
        training = self._model.training
        self._model.eval()
        try:
            sums, objects = self._sums(self._numbers[processes.rank() :: processes.world_size()])
        finally:
            self._model.train(training)
        parts = processes.gather((sums, objects))
        objects = max(1, sum(found for _, found in parts))
        names = [name for part, _ in parts for name in part]
        return {name: sum(part.get(name, 0.0) for part, _ in parts) / objects for name in dict.fromkeys(names)}

    @torch.no_grad()
    def _sums(self, numbers: list[int]) -> tuple[dict[str, float], int]:
        totals: dict[str, float] = {}
        objects = 0
        for number in numbers:
            if self._stop_requested():
                raise StoppedError("stopped on request during an evaluation; start the task again")
            try:
                picture = self._read(number)
            except ImageError:  # the evaluation has named it
                continue
            sums, found = self._loss_sums(picture)
            objects += found
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals, objects

    def _read(self, number: int) -> TrainingPicture:
        image_bgr = read_image_bgr(Path(self._dataset.image_paths[number]))
        boxes, classes = self._dataset.objects(number)
        height, width = image_bgr.shape[:2]
        hw = resized_hw(height, width, self._cfg["INPUT.MIN_SIZE_TEST"], self._cfg["INPUT.MAX_SIZE_TEST"])
        image = resize_image(image_bgr, hw)
        if self._cfg["INPUT.FORMAT"] == "RGB":
            image = image[:, :, ::-1]
        scaled = boxes * np.array([hw[1] / width, hw[0] / height] * 2, dtype=np.float32)
        return TrainingPicture(np.array(image.transpose(2, 0, 1), order="C"), scaled, classes)
