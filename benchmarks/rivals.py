"""Who looks at pictures in the comparison: this project's two engines, and what a user would take instead.

Each of them goes from picture files to boxes as its own documentation shows it, and lets its network be run alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Protocol

import torch
from torch import Tensor

from benchmarks.stand_ins import SCORE_THRESHOLD, make_realistic, package_in
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.choice import load_engine
from ymir_detectron2.inference.pixel_boxes import pixel_boxes
from ymir_detectron2.inference.stream import look_at
from ymir_detectron2.retinanet.precision import autocast
from ymir_detectron2.settings import InferSettings

NUM_CLASSES = 80
STEP = 32
"""Networks get pictures padded to a multiple of this."""

Boxes = List[List[Any]]
"""Of one picture: corners, score and class of each, as JSON would have them."""


@dataclass(frozen=True)
class Look:
    """Who looks, and how."""

    who: str
    """A key of RIVALS."""
    device: str
    batch: int
    precision: str
    min_size: int
    max_size: int
    model: str
    """The folder of a model package."""
    switches: dict[str, str] = field(default_factory=dict)
    """Settings of this project's engines that are not at their default."""

    @property
    def dtype(self) -> torch.dtype | None:
        """For autocast."""
        return torch.bfloat16 if self.precision == "bf16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the others' networks compute in `precision`."""
        return autocast(torch.device(self.device), self.dtype)

    def blank_batch(self) -> Tensor:
        """(N, 3, H, W) float32 on the device, as large as the pictures are when a network sees them."""
        height, width = (-(-side // STEP) * STEP for side in (self.min_size, self.max_size))
        return torch.randn(self.batch, 3, height, width, generator=torch.Generator().manual_seed(0)).to(self.device)


class Rival(Protocol):
    """Somebody who finds boxes in pictures."""

    def boxes(self, paths: list[Path]) -> Iterator[Boxes]:
        """From files to boxes, in order."""

    def network(self, batch: Tensor) -> Any:
        """The backbone and heads alone."""


class Engine:
    """An engine of this project behind its usual door, pictures through the usual stream."""

    def __init__(self, look: Look) -> None:
        settings = InferSettings(precision=look.precision, batch_size=look.batch, **look.switches)  # type: ignore[arg-type]
        options = DetectorOptions(
            settings=settings, gpu_ids=(0,) if look.device == "cuda" else (), score_threshold=SCORE_THRESHOLD,
            batch_size=look.batch, overrides={}, class_names=(),
        )  # fmt: skip
        self._is_torch = look.who == "torch engine"
        self._look = look
        engine: Any = load_engine("torch" if self._is_torch else "detectron2")
        self.detector = engine.load_detector(package_in(Path(look.model)), options)
        self.detector._model.eval()  # the detector itself sees to it whenever it looks, `network` goes past it

    def boxes(self, paths: list[Path]) -> Iterator[Boxes]:
        for picture in look_at(self.detector, paths):
            assert picture.detections is not None, picture.error
            assert picture.image_hw is not None
            boxes = pixel_boxes(picture.detections, picture.image_hw, self.detector.class_names)
            yield [list(box) for box in boxes]

    def network(self, batch: Tensor) -> Any:
        model = self.detector._model
        if self._is_torch:
            return self.detector._network(batch.to(dtype=model.dtype, memory_format=model.memory_format))
        with self._look.autocast():
            return _run_detectron2(model, batch.to(memory_format=torch.channels_last))


class Torchvision:
    """`retinanet_resnet50_fpn`, read and called as torchvision's documentation shows it."""

    def __init__(self, look: Look) -> None:
        from torchvision.models.detection import retinanet_resnet50_fpn

        torch.manual_seed(0)
        self._look = look
        self._model = retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=NUM_CLASSES, min_size=look.min_size,
            max_size=look.max_size, score_thresh=SCORE_THRESHOLD, detections_per_img=100,
        ).eval().to(look.device)  # fmt: skip
        self._is_realistic = False

    def boxes(self, paths: list[Path]) -> Iterator[Boxes]:
        if not self._is_realistic:
            self._make_realistic(paths[0])
        for chunk in _chunks(paths, self._look.batch):
            images = [self._read(path) for path in chunk]
            with self._look.autocast():
                found = self._model(images)
            yield from (_rows(one["boxes"], one["scores"], one["labels"]) for one in found)

    def network(self, batch: Tensor) -> Any:
        with self._look.autocast():
            return self._model.head(list(self._model.backbone(batch).values()))

    def _read(self, path: Path) -> Tensor:
        from torchvision.io import ImageReadMode, read_image

        image: Tensor = read_image(str(path), ImageReadMode.RGB).to(self._look.device)
        return image.float() / 255

    def _make_realistic(self, path: Path) -> None:
        head = self._model.head
        images = [self._read(path)]
        make_realistic(
            head.classification_head.cls_logits, head.regression_head.bbox_reg, lambda: self._model(images)
        )
        self._is_realistic = True


class DefaultPredictor:
    """detectron2's own, one picture at a time in float32."""

    def __init__(self, look: Look) -> None:
        from detectron2.engine import DefaultPredictor as Predictor

        from ymir_detectron2.engines.detectron2_engine.configuration import load_config

        package = package_in(Path(look.model))
        assert package.config is not None
        cfg = load_config(package.config).node().clone()
        cfg.defrost()
        cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = str(package.weights), look.device
        cfg.MODEL.RETINANET.NUM_CLASSES = NUM_CLASSES
        cfg.MODEL.RETINANET.SCORE_THRESH_TEST = SCORE_THRESHOLD
        cfg.DATASETS.TEST = ()
        self._predictor = Predictor(cfg)

    def boxes(self, paths: list[Path]) -> Iterator[Boxes]:
        from detectron2.data.detection_utils import read_image

        for path in paths:
            found = self._predictor(read_image(str(path), "BGR"))["instances"].to("cpu")
            yield _rows(found.pred_boxes.tensor, found.scores, found.pred_classes)

    def network(self, batch: Tensor) -> Any:
        return _run_detectron2(self._predictor.model, batch)


class Predecessor(DefaultPredictor):
    """The executor that this one replaces: DefaultPredictor, then each box by itself into whole pixels."""

    def boxes(self, paths: list[Path]) -> Iterator[Boxes]:
        for boxes in super().boxes(paths):
            kept = []
            for (x1, y1, x2, y2), score, label in boxes:
                left, top, width, height = int(x1), int(y1), int(x2) - int(x1), int(y2) - int(y1)
                if score > SCORE_THRESHOLD and width > 0 and height > 0:
                    kept.append([left, top, width, height, score, label])
            yield kept


RIVALS: dict[str, Callable[[Look], Rival]] = {
    "torch engine": Engine,
    "detectron2 engine": Engine,
    "torchvision": Torchvision,
    "DefaultPredictor": DefaultPredictor,
    "predecessor": Predecessor,
}
OF_DETECTRON2 = ("detectron2 engine", "DefaultPredictor", "predecessor")


def _run_detectron2(model: Any, batch: Tensor) -> Any:
    features = model.backbone(batch)
    return model.head([features[name] for name in model.head_in_features])


def _rows(boxes_xyxy: Tensor, scores: Tensor, classes: Tensor) -> Boxes:
    return [list(row) for row in zip(boxes_xyxy.tolist(), scores.tolist(), classes.tolist())]


def _chunks(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    remaining = iter(paths)
    while True:
        chunk = list(islice(remaining, size))
        if not chunk:
            return
        yield chunk
