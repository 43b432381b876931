"""Detection with a network that detectron2 built."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Instances

from ...errors import ConfigError
from ...retinanet.decoding import DecodingRules, DenseOutputs, decode_batch
from ...retinanet.dense_view import PictureView
from ..base import Detections, Pixels, ReadDense
from ..picture_detector import PictureDetector, to_detections


class Detectron2Detector(PictureDetector):
    """A network ready to look at pictures; its thresholds are those of its configuration."""

    def _look(self, batch: list[Pixels], read: ReadDense | None) -> list[tuple[Detections, Any]]:
        samples = [
            {"image": self._to_chw(pixels), "height": pixels.shape[0], "width": pixels.shape[1]} for pixels in batch
        ]
        if isinstance(self._model, RetinaNet):
            return self._look_densely(samples, read)
        if read is not None:
            raise ConfigError(
                "config.yaml: mining_algorithm aldd and diversity_distance need the dense outputs of a RetinaNet, which"
                " the network of this model does not have; choose another algorithm, and no diversity_distance"
            )
        return [(_to_detections(output["instances"]), None) for output in self._model(samples)]

    def _look_densely(self, samples: list[dict[str, Any]], read: ReadDense | None) -> list[tuple[Detections, Any]]:
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
        found = [to_detections(boxes) for boxes in decoded]
        if read is None:
            return [(detections, None) for detections in found]
        strides = [model.backbone.output_shape()[name].stride for name in model.head_in_features]
        views = (PictureView(levels, dense.logits, strides, *one) for one in enumerate(images.image_sizes))
        return [(detections, read(view)) for detections, view in zip(found, views)]


def _to_detections(instances: Instances) -> Detections:
    """Best score first."""
    return Detections(
        instances.pred_boxes.tensor.float().cpu().numpy(),
        instances.scores.float().cpu().numpy(),
        instances.pred_classes.cpu().numpy(),
    )
