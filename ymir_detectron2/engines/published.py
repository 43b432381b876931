"""Published weights of a network, by their addresses: RetinaNets trained on COCO, backbones trained on ImageNet."""

from __future__ import annotations

from typing import Mapping

from .base import EngineConfig

_COCO = "detectron2://COCO-Detection/"
COCO_WEIGHTS: Mapping[int, tuple[str, ...]] = {
    50: (
        _COCO + "retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl",
        _COCO + "retinanet_R_50_FPN_1x/190397773/model_final_bfca0b.pkl",
    ),
    101: (_COCO + "retinanet_R_101_FPN_3x/190397697/model_final_971ab9.pkl",),
}
"""By depth of the ResNet, best first."""

_IMAGENET = "detectron2://ImageNetPretrained/"
IMAGENET_WEIGHTS: Mapping[int, str] = {50: _IMAGENET + "MSRA/R-50.pkl", 101: _IMAGENET + "MSRA/R-101.pkl"}

_AS_PUBLISHED = {
    "MODEL.META_ARCHITECTURE": "RetinaNet",
    "MODEL.RESNETS.NUM_GROUPS": 1,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 64,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    "MODEL.RETINANET.NUM_CONVS": 4,
    "MODEL.RETINANET.NORM": "",
    "INPUT.FORMAT": "BGR",
}


def coco_weights(cfg: EngineConfig) -> tuple[str, ...]:
    """Addresses of a RetinaNet of this very shape that was trained on COCO, best first; () where there is none."""
    fits = all(cfg[key] == value for key, value in _AS_PUBLISHED.items())
    same_norm = str(cfg["MODEL.RESNETS.NORM"]).endswith("BN")  # frozen or not, over all processes or not
    return COCO_WEIGHTS.get(cfg["MODEL.RESNETS.DEPTH"], ()) if fits and same_norm else ()


def imagenet_weights(cfg: EngineConfig) -> str:
    """The address of this backbone's ImageNet weights; '' where there are none."""
    named = str(cfg["MODEL.WEIGHTS"])
    return named if named.startswith(_IMAGENET) else IMAGENET_WEIGHTS.get(cfg["MODEL.RESNETS.DEPTH"], "")


def is_imagenet(address: str) -> bool:
    """Whether MODEL.WEIGHTS names a backbone only."""
    return address.startswith(_IMAGENET)
