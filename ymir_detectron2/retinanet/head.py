"""RetinaNet's head: two subnets, shared by all pyramid levels, one for classes and one for box offsets.

Letters: N images, A anchors per cell, K classes, C channels, H and W cells of a level.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

from torch import Tensor, nn

from ..errors import ConfigError
from .layers import GROUPS, build_head_norm


class RetinaNetHead(nn.Module):
    """NUM_CONVS convolutions per subnet, then one that predicts."""

    def __init__(self, cfg: Mapping[str, Any], num_classes: int, num_anchors: int) -> None:
        super().__init__()
        channels = cfg["MODEL.FPN.OUT_CHANNELS"]
        norm, depth = cfg["MODEL.RETINANET.NORM"], cfg["MODEL.RETINANET.NUM_CONVS"]
        num_levels = len(cfg["MODEL.RETINANET.IN_FEATURES"])
        if norm == "GN" and channels % GROUPS:
            raise ConfigError(
                f"MODEL.FPN.OUT_CHANNELS is {channels}, expected a multiple of {GROUPS} for MODEL.RETINANET.NORM GN"
            )
        cls_layers: list[nn.Module] = []
        box_layers: list[nn.Module] = []
        for _ in range(depth):  # in turns, as in detectron2: one random seed gives both the same initial weights
            for layers in (cls_layers, box_layers):
                layers.append(nn.Conv2d(channels, channels, kernel_size=3, padding=1))
                layer = build_head_norm(norm, channels, num_levels)
                layers.extend([nn.ReLU()] if layer is None else [layer, nn.ReLU()])
        self.cls_subnet = nn.Sequential(*cls_layers)
        self.bbox_subnet = nn.Sequential(*box_layers)
        # the only layer whose shape depends on the number of classes
        self.cls_score = nn.Conv2d(channels, num_anchors * num_classes, kernel_size=3, padding=1)
        self.bbox_pred = nn.Conv2d(channels, num_anchors * 4, kernel_size=3, padding=1)
        self._initialise(cfg["MODEL.RETINANET.PRIOR_PROB"])

    def _initialise(self, prior: float) -> None:
        for part in (self.cls_subnet, self.bbox_subnet, self.cls_score, self.bbox_pred):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.weight, mean=0, std=0.01)
                    nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
        # every anchor begins with probability `prior` for each class: else the loss of the many background anchors
        # swamps the first steps (arXiv 1708.02002, sec. 3.3)
        nn.init.constant_(self.cls_score.bias, -math.log((1 - prior) / prior))  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (N, C, H, W) -> levels of logits (N, A*K, H, W) and of box offsets (N, A*4, H, W)."""
        logits, deltas = [], []
        for feature in features:
            logits.append(self.cls_score(self.cls_subnet(feature)))
            deltas.append(self.bbox_pred(self.bbox_subnet(feature)))
        return logits, deltas


def permute_to_N_HWA_K(tensor: Tensor, K: int) -> Tensor:  # noqa: N802 - named after the layout, as in detectron2
    """Return (N, A*K, H, W) as (N, H*W*A, K): in the order of the anchors, those of a cell next to each other."""
    N, _, H, W = tensor.shape
    return tensor.reshape(N, -1, K, H, W).permute(0, 3, 4, 1, 2).reshape(N, -1, K)  # (N, A, K, H, W) -> (N, HWA, K)
