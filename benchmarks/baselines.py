"""What is compared in inference: this project's two engines, and the baselines that a user would take instead.

Each of them predicts from image files as its own documentation shows it, and runs its network on a batch in memory.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Protocol

import torch
from torch import Tensor

from benchmarks.synthetic_data import SCORE_THRESHOLD, make_realistic, package_in
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.registry import load_engine
from ymir_detectron2.inference.predict import pixel_boxes, predict_images
from ymir_detectron2.retinanet.layers import autocast

NUM_CLASSES = 80  # as COCO, torchvision and the configs of detectron2 have
STEP = 32
"""Networks get images padded to a multiple of this, the stride of res5."""

Boxes = List[List[Any]]
"""Of one image: corners, score and class of each, as JSON would have them."""


@dataclass(frozen=True)
class InferenceCase:
    """One row of a comparison: what predicts, and how."""

    name: str
    """A key of BASELINES."""
    device: str
    batch: int
    precision: str
    min_size: int
    max_size: int
    model: str
    """The folder of a model package."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Keys of config.yaml that are not at their default, for this project's engines."""
    loading: dict[str, bool] = field(default_factory=dict)
    """Optimisations that the torch engine always makes in a task: arguments of its `load_detector`."""

    @property
    def dtype(self) -> torch.dtype | None:
        """For autocast."""
        return torch.bfloat16 if self.precision == "bf16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the baselines' networks compute in `precision`."""
        return autocast(torch.device(self.device), self.dtype)

    def random_batch(self) -> Tensor:
        """Return (N, 3, H, W) float32 noise on the device, of the size that images have after resizing and padding."""
        height, width = (-(-side // STEP) * STEP for side in (self.min_size, self.max_size))
        return torch.randn(self.batch, 3, height, width, generator=torch.Generator().manual_seed(0)).to(self.device)


class Baseline(Protocol):
    """An implementation of RetinaNet inference."""

    def predict(self, paths: list[Path]) -> Iterator[Boxes]:
        """Yield the boxes of each file, in order."""

    def forward(self, batch: Tensor) -> Any:
        """Run only the backbone and heads."""


class Engine:
    """An engine of this project, loaded as a task loads it, with the pipeline of a task."""

    def __init__(self, case: InferenceCase) -> None:
        settings = InferSettings(precision=case.precision, batch_size=case.batch, **case.settings)
        options = DetectorOptions(
            settings=settings, gpu_ids=(0,) if case.device == "cuda" else (), score_threshold=SCORE_THRESHOLD,
            batch_size=case.batch, overrides={}, class_names=(),
        )  # fmt: skip
        self._is_torch = case.name == "torch engine"
        self._case = case
        engine: Any = load_engine("torch" if self._is_torch else "detectron2")
        self.detector = engine.load_detector(package_in(Path(case.model)), options, **case.loading)
        self.detector._model.eval()  # `detect` does so itself; `forward` calls the model directly

    def predict(self, paths: list[Path]) -> Iterator[Boxes]:
        for image in predict_images(self.detector, paths):
            assert image.detections is not None, image.error
            assert image.image_hw is not None
            boxes = pixel_boxes(image.detections, image.image_hw, self.detector.class_names)
            yield [list(box) for box in boxes]

    def forward(self, batch: Tensor) -> Any:
        model = self.detector._model
        if self._is_torch:
            return self.detector._network(batch.to(dtype=model.dtype, memory_format=model.memory_format))
        with self._case.autocast():
            return _run_detectron2(model, batch.to(memory_format=torch.channels_last))


class Torchvision:
    """`retinanet_resnet50_fpn`, with images read and passed as torchvision's documentation shows it."""

    def __init__(self, case: InferenceCase) -> None:
        from torchvision.models.detection import retinanet_resnet50_fpn

        torch.manual_seed(0)
        self._case = case
        self._model = retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=NUM_CLASSES, min_size=case.min_size,
            max_size=case.max_size, score_thresh=SCORE_THRESHOLD, detections_per_img=100,
        ).eval().to(case.device)  # fmt: skip
        self._is_realistic = False

    def predict(self, paths: list[Path]) -> Iterator[Boxes]:
        if not self._is_realistic:  # the first image is needed to scale the weights
            self._make_realistic(paths[0])
        for chunk in _chunks(paths, self._case.batch):
            images = [self._read(path) for path in chunk]
            with self._case.autocast():
                outputs = self._model(images)
            yield from (_rows(output["boxes"], output["scores"], output["labels"]) for output in outputs)

    def forward(self, batch: Tensor) -> Any:
        with self._case.autocast():
            return self._model.head(list(self._model.backbone(batch).values()))

    def _read(self, path: Path) -> Tensor:
        from torchvision.io import ImageReadMode, read_image

        image: Tensor = read_image(str(path), ImageReadMode.RGB).to(self._case.device)  # (3, H, W) uint8
        return image.float() / 255  # torchvision takes [0, 1] and normalises by itself

    def _make_realistic(self, path: Path) -> None:
        head = self._model.head
        images = [self._read(path)]
        make_realistic(
            head.classification_head.cls_logits, head.regression_head.bbox_reg, lambda: self._model(images)
        )
        self._is_realistic = True


class DefaultPredictor:
    """detectron2's `DefaultPredictor`: one image at a time, in float32."""

    def __init__(self, case: InferenceCase) -> None:
        from detectron2.engine import DefaultPredictor as Predictor

        from ymir_detectron2.engines.detectron2_engine.configuration import load_config

        package = package_in(Path(case.model))
        assert package.config is not None
        cfg = load_config(package.config).node().clone()
        cfg.defrost()
        cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = str(package.weights), case.device
        cfg.MODEL.RETINANET.NUM_CLASSES = NUM_CLASSES
        cfg.MODEL.RETINANET.SCORE_THRESH_TEST = SCORE_THRESHOLD
        cfg.DATASETS.TEST = ()  # else DefaultPredictor looks up the metadata of COCO
        self._predictor = Predictor(cfg)

    def predict(self, paths: list[Path]) -> Iterator[Boxes]:
        from detectron2.data.detection_utils import read_image

        for path in paths:
            instances = self._predictor(read_image(str(path), "BGR"))["instances"].to("cpu")
            yield _rows(instances.pred_boxes.tensor, instances.scores, instances.pred_classes)

    def forward(self, batch: Tensor) -> Any:
        return _run_detectron2(self._predictor.model, batch)


class Predecessor(DefaultPredictor):
    """The executor that this one replaces: DefaultPredictor, then each box separately converted to whole pixels."""

    def predict(self, paths: list[Path]) -> Iterator[Boxes]:
        for boxes in super().predict(paths):
            kept = []
            for (x1, y1, x2, y2), score, label in boxes:
                left, top, width, height = int(x1), int(y1), int(x2) - int(x1), int(y2) - int(y1)
                if score > SCORE_THRESHOLD and width > 0 and height > 0:
                    # as its source has it: corners are truncated, then subtracted
                    kept.append([left, top, width, height, score, label])
            yield kept


BASELINES: dict[str, Callable[[InferenceCase], Baseline]] = {
    "torch engine": Engine,
    "detectron2 engine": Engine,
    "torchvision": Torchvision,
    "DefaultPredictor": DefaultPredictor,
    "predecessor": Predecessor,
}


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
