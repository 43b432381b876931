"""Detection with a network that detectron2 built."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Instances

from ...detections import Detections, ExtractDense, Pixels
from ...errors import ConfigError
from ...retinanet.decoding import DenseOutputs, PostprocessConfig, decode_batch
from ..base_detector import BaseDetector, extract_dense


class Detectron2Detector(BaseDetector):
    """A network of detectron2 as a detector; its thresholds are at first those of its configuration."""

    @property
    def score_threshold(self) -> float:
        """See `Detector.score_threshold`."""
        return float(self._thresholded_modules()[-1].test_score_thresh)

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        for module in self._thresholded_modules():
            module.test_score_thresh = threshold

    @property
    def has_dense_outputs(self) -> bool:
        """See `Detector.has_dense_outputs`."""
        return isinstance(self._model, RetinaNet)

    def _thresholded_modules(self) -> list[Any]:
        """A RetinaNet itself, or the box predictors of a network with regions, of which a cascade has several."""
        return [module for module in self._model.modules() if hasattr(module, "test_score_thresh")]

    def _forward_batch(self, batch: list[Pixels], extract: ExtractDense | None) -> list[tuple[Detections, Any]]:
        samples = [
            {"image": self._to_chw(pixels), "height": pixels.shape[0], "width": pixels.shape[1]} for pixels in batch
        ]
        if self.has_dense_outputs:
            return self._forward_retinanet(samples, extract)
        if extract is not None:
            raise ConfigError(
                "config.yaml: mining_algorithm aldd and diversity_distance need the dense outputs of a RetinaNet, which"
                " the network of this model does not have; choose another algorithm, and no diversity_distance"
            )
        return [(_to_detections(output["instances"]), None) for output in self._model(samples)]

    def _forward_retinanet(
        self, samples: list[dict[str, Any]], extract: ExtractDense | None
    ) -> list[tuple[Detections, Any]]:
        """Decode the dense outputs here: detectron2 does the same, but drops the probabilities of the other classes."""
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
        postprocess = PostprocessConfig(
            model.test_score_thresh, model.test_nms_thresh, model.test_topk_candidates, model.max_detections_per_image
        )
        decoded = decode_batch(dense, images.image_sizes, postprocess, self._cfg["MODEL.RETINANET.BBOX_REG_WEIGHTS"])
        strides = [model.backbone.output_shape()[name].stride for name in model.head_in_features]
        return extract_dense(decoded, levels, dense.logits, strides, images.image_sizes, extract)


def _to_detections(instances: Instances) -> Detections:
    """Best score first."""
    return Detections(
        instances.pred_boxes.tensor.float().cpu().numpy(),
        instances.scores.float().cpu().numpy(),
        instances.pred_classes.cpu().numpy(),
    )
