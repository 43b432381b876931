"""Detection with a network that detectron2 built: pictures of any size in, boxes in their own pixels out."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Instances
from torch import nn

from ...retinanet.decoding import DecodingRules, DenseOutputs, decode_batch
from ...retinanet.precision import autocast
from ...retinanet.resize import resize_image, resized_hw
from ..base import Detections
from ..batching import batch_size_for, detect_by_shape
from ..torch_detector import to_detections

Sample = Mapping[str, Any]


class Detectron2Detector:
    """A network ready to look at pictures; its thresholds are those of its configuration."""

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
        self._batch_size = batch_size_for(batch_size, device)

    def detect(self, images_bgr: Sequence[np.ndarray]) -> list[Detections]:
        """See `Detector.detect`."""
        return detect_by_shape(images_bgr, self._batch_size, self._padded_steps, self._detect_batch)

    def _padded_steps(self, image: np.ndarray) -> tuple[int, ...]:
        step = max(self._model.backbone.size_divisibility, 1)
        return tuple(-(-side // step) for side in self._resized_hw(image))

    def _resized_hw(self, image: np.ndarray) -> tuple[int, int]:
        height, width = image.shape[:2]
        return resized_hw(height, width, self._cfg["INPUT.MIN_SIZE_TEST"], self._cfg["INPUT.MAX_SIZE_TEST"])

    def _detect_batch(self, images_bgr: list[np.ndarray]) -> list[Detections]:
        training = self._model.training
        self._model.eval()
        samples = [self._sample(image) for image in images_bgr]
        with torch.no_grad(), autocast(self._device, self._autocast_dtype):
            found = self._with_probabilities(samples) if isinstance(self._model, RetinaNet) else self._plain(samples)
        self._model.train(training)
        return found

    def _sample(self, image_bgr: np.ndarray) -> Sample:
        resized = resize_image(image_bgr, self._resized_hw(image_bgr))
        ordered = resized if self._cfg["INPUT.FORMAT"] == "BGR" else resized[:, :, ::-1]
        tensor = torch.from_numpy(np.ascontiguousarray(ordered.transpose(2, 0, 1)))
        height, width = image_bgr.shape[:2]
        return {"image": tensor.to(self._device, non_blocking=True), "height": height, "width": width}

    def _with_probabilities(self, samples: list[Sample]) -> list[Detections]:
        """Decode the dense outputs ourselves: detectron2 does the same, but forgets what an anchor says about the
        classes that it did not choose."""
        model = self._model
        images = model.preprocess_image(samples)
        features = model.backbone(images.tensor.to(memory_format=torch.channels_last))
        levels = [features[name] for name in model.head_in_features]
        logits, deltas = model.head(levels)
        dense = DenseOutputs(
            [permute_to_N_HWA_K(level, model.num_classes) for level in logits],
            [permute_to_N_HWA_K(level, 4) for level in deltas],
            [boxes.tensor for boxes in model.anchor_generator(levels)],
        )
        rules = DecodingRules(
            model.test_score_thresh, model.test_nms_thresh, model.test_topk_candidates, model.max_detections_per_image
        )
        decoded = decode_batch(dense, images.image_sizes, rules, self._cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"])
        return [
            to_detections(boxes, hw, (sample["height"], sample["width"]))
            for boxes, hw, sample in zip(decoded, images.image_sizes, samples)
        ]

    def _plain(self, samples: list[Sample]) -> list[Detections]:
        return [_to_detections(output["instances"]) for output in self._model(samples)]


def _to_detections(instances: Instances) -> Detections:
    """Boxes are in pixels of the original picture already, best score first."""
    return Detections(
        instances.pred_boxes.tensor.float().cpu().numpy(),
        instances.scores.float().cpu().numpy(),
        instances.pred_classes.cpu().numpy(),
    )
