"""Published weights by network: the box detectors of detectron2's model zoo, trained on COCO, and ImageNet backbones.

Source: detectron2's MODEL_ZOO.md and the configurations that it names. `tests/detectron2_engine/test_zoo_weights.py`
holds every network of this file against those configurations.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

_SHORT = "detectron2://"
_IMAGENET = ("detectron2://ImageNetPretrained/", "catalog://ImageNetPretrained/")

Network = Mapping[str, Any]
"""Values of the keys that decide whether weights fit."""


class ZooDetector(NamedTuple):
    """A detector that was trained on COCO."""

    config: str
    """Its configuration, below the zoo's folder and without ".yaml"."""
    file: str
    network: Network

    @property
    def address(self) -> str:
        """The address of its weights, as MODEL.WEIGHTS takes it."""
        return f"{_SHORT}{self.config}/{self.file}"


_R50: Network = {
    "INPUT.FORMAT": "BGR",
    "MODEL.PIXEL_STD": (1.0, 1.0, 1.0),
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.NORM": "FrozenBN",
    "MODEL.RESNETS.NUM_GROUPS": 1,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 64,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 64,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": (False, False, False, False),
}
_CAFFE2_STD = (57.375, 57.120, 58.395)
_R101: Network = {**_R50, "MODEL.RESNETS.DEPTH": 101}
_X101: Network = {
    **_R101, "MODEL.PIXEL_STD": _CAFFE2_STD, "MODEL.RESNETS.NUM_GROUPS": 32, "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}  # fmt: skip
_X152: Network = {**_X101, "MODEL.PIXEL_STD": (1.0, 1.0, 1.0), "MODEL.RESNETS.DEPTH": 152}
_R50_GN: Network = {**_R50, "MODEL.RESNETS.NORM": "GN", "MODEL.RESNETS.STRIDE_IN_1X1": False}
_R50_TORCHVISION: Network = {
    **_R50, "INPUT.FORMAT": "RGB", "MODEL.PIXEL_STD": (58.395, 57.120, 57.375), "MODEL.RESNETS.STRIDE_IN_1X1": False,
}  # fmt: skip
_DEFORMABLE: Network = {"MODEL.RESNETS.DEFORM_ON_PER_STAGE": (False, True, True, True)}

_RETINANET: Network = {
    "MODEL.META_ARCHITECTURE": "RetinaNet",
    "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "MODEL.FPN.IN_FEATURES": ("res3", "res4", "res5"),
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.RETINANET.NUM_CONVS": 4,
    "MODEL.RETINANET.NORM": "",
}
_C4: Network = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.RPN.IN_FEATURES": ("res4",),
    "MODEL.RPN.CONV_DIMS": (-1,),
    "MODEL.ROI_HEADS.NAME": "Res5ROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ("res4",),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": False,
}
_DC5: Network = {
    **_C4,
    "MODEL.RESNETS.RES5_DILATION": 2,
    "MODEL.RPN.IN_FEATURES": ("res5",),
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ("res5",),
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 0,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 1024,
}
_FPN: Network = {
    **_DC5,
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.FPN.IN_FEATURES": ("res2", "res3", "res4", "res5"),
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.RPN.IN_FEATURES": ("p2", "p3", "p4", "p5", "p6"),
    "MODEL.ROI_HEADS.IN_FEATURES": ("p2", "p3", "p4", "p5"),
    "MODEL.ROI_BOX_HEAD.NORM": "",
}
_ROI_ALIGN: Network = {**_FPN, "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlign"}
_FPN_GN: Network = {
    **_FPN, "MODEL.FPN.NORM": "GN", "MODEL.ROI_BOX_HEAD.NORM": "GN", "MODEL.ROI_BOX_HEAD.NUM_CONV": 4,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 1, "MODEL.ROI_BOX_HEAD.CONV_DIM": 256,
}  # fmt: skip
_FPN_BN: Network = {**_FPN_GN, "MODEL.FPN.NORM": "SyncBN", "MODEL.ROI_BOX_HEAD.NORM": "SyncBN"}
_R50_BN: Network = {**_R50, "MODEL.RESNETS.NORM": "SyncBN"}
_SCRATCH_BN: Network = {**_R50_BN, "MODEL.PIXEL_STD": _CAFFE2_STD, "MODEL.RESNETS.STRIDE_IN_1X1": False}
_CASCADE: Network = {
    **_FPN, "MODEL.ROI_HEADS.NAME": "CascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
}  # fmt: skip
_CASCADE_GN: Network = {
    **_CASCADE, "MODEL.ROI_BOX_HEAD.NORM": "GN", "MODEL.ROI_BOX_HEAD.NUM_CONV": 4, "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
}  # fmt: skip

_DETECTION = "COCO-Detection/"
ZOO_DETECTORS = tuple(
    ZooDetector(config, file, {**backbone, **head})
    for config, file, backbone, head in (
        (_DETECTION + "retinanet_R_50_FPN_3x", "190397829/model_final_5bd44e.pkl", _R50, _RETINANET),
        (_DETECTION + "retinanet_R_50_FPN_1x", "190397773/model_final_bfca0b.pkl", _R50, _RETINANET),
        (_DETECTION + "retinanet_R_101_FPN_3x", "190397697/model_final_971ab9.pkl", _R101, _RETINANET),
        (_DETECTION + "faster_rcnn_R_50_C4_3x", "137849393/model_final_f97cb7.pkl", _R50, _C4),
        (_DETECTION + "faster_rcnn_R_50_C4_1x", "137257644/model_final_721ade.pkl", _R50, _C4),
        (_DETECTION + "faster_rcnn_R_50_DC5_3x", "137849425/model_final_68d202.pkl", _R50, _DC5),
        (_DETECTION + "faster_rcnn_R_50_DC5_1x", "137847829/model_final_51d356.pkl", _R50, _DC5),
        (_DETECTION + "faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl", _R50, _FPN),
        (_DETECTION + "faster_rcnn_R_50_FPN_1x", "137257794/model_final_b275ba.pkl", _R50, _FPN),
        (_DETECTION + "faster_rcnn_R_101_C4_3x", "138204752/model_final_298dad.pkl", _R101, _C4),
        (_DETECTION + "faster_rcnn_R_101_DC5_3x", "138204841/model_final_3e0943.pkl", _R101, _DC5),
        (_DETECTION + "faster_rcnn_R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl", _R101, _FPN),
        (_DETECTION + "faster_rcnn_X_101_32x8d_FPN_3x", "139173657/model_final_68b088.pkl", _X101, _FPN),
        # the following have masks too, which are left out when their weights are loaded
        ("Misc/cascade_mask_rcnn_R_50_FPN_3x", "144998488/model_final_480dd8.pkl", _R50, _CASCADE),
        ("Misc/cascade_mask_rcnn_R_50_FPN_1x", "138602847/model_final_e9d89b.pkl", _R50, _CASCADE),
        (
            "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv", "18131413/model_0039999_e76410.pkl",
            {**_X152, **_DEFORMABLE}, _CASCADE_GN,
        ),
        ("Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5", "144998336/model_final_821d0b.pkl", {**_R50, **_DEFORMABLE}, _FPN),
        ("Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5", "138602867/model_final_65c703.pkl", {**_R50, **_DEFORMABLE}, _FPN),
        ("Misc/mask_rcnn_R_50_FPN_3x_gn", "138602888/model_final_dc5d9e.pkl", _R50_GN, _FPN_GN),
        ("Misc/scratch_mask_rcnn_R_50_FPN_3x_gn", "138602908/model_final_01ca85.pkl", _R50_GN, _FPN_GN),
        (
            "Misc/scratch_mask_rcnn_R_50_FPN_9x_gn", "183808979/model_final_da7b4c.pkl",
            {**_R50_GN, "MODEL.PIXEL_STD": _CAFFE2_STD}, _FPN_GN,
        ),
        ("Misc/mask_rcnn_R_50_FPN_3x_syncbn", "169527823/model_final_3b3c51.pkl", _R50_BN, _FPN_BN),
        ("Misc/scratch_mask_rcnn_R_50_FPN_9x_syncbn", "184226666/model_final_5ce33e.pkl", _SCRATCH_BN, _FPN_BN),
        ("Detectron1-Comparisons/faster_rcnn_R_50_FPN_noaug_1x", "137781054/model_final_7ab50c.pkl", _R50, _ROI_ALIGN),
    )
)  # fmt: skip
"""Best first, for each network."""

IMAGENET_BACKBONES: tuple[tuple[str, Network], ...] = (
    ("detectron2://ImageNetPretrained/MSRA/R-50.pkl", _R50),
    ("detectron2://ImageNetPretrained/MSRA/R-101.pkl", _R101),
    ("detectron2://ImageNetPretrained/FAIR/X-101-32x8d.pkl", _X101),
    ("detectron2://ImageNetPretrained/torchvision/R-50.pkl", _R50_TORCHVISION),
    ("catalog://ImageNetPretrained/FAIR/R-50-GN", _R50_GN),
    ("catalog://ImageNetPretrained/FAIR/R-101-GN", {**_R50_GN, "MODEL.RESNETS.DEPTH": 101}),
    ("catalog://ImageNetPretrained/FAIR/X-152-32x8d-IN5k", _X152),
)
"""Addresses of ImageNet weights, and their networks."""

_CAFFE2_STORE = "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/"
CATALOG: Mapping[str, str] = {
    "catalog://ImageNetPretrained/FAIR/R-50-GN": _CAFFE2_STORE + "47261647/R-50-GN.pkl",
    "catalog://ImageNetPretrained/FAIR/R-101-GN": _CAFFE2_STORE + "47592356/R-101-GN.pkl",
    "catalog://ImageNetPretrained/FAIR/X-152-32x8d-IN5k": _CAFFE2_STORE + "25093814/X-152-32x8d-IN5k.pkl",
}
"""The older kind of address, for what detectron2 still takes from its predecessor."""


def coco_weights(cfg: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of COCO weights for exactly this network, best first; () where there are none."""
    return tuple(detector.address for detector in ZOO_DETECTORS if _is_network(cfg, detector.network))


def imagenet_weights(cfg: Mapping[str, Any]) -> str:
    """Return the address of this backbone's ImageNet weights; '' where there are none."""
    named = str(cfg["MODEL.WEIGHTS"])
    if is_imagenet(named):
        return named
    # deformable or not: the offsets of deformable convolutions start from zero, all else is the same
    plain = {**cfg, "MODEL.RESNETS.DEFORM_ON_PER_STAGE": (False, False, False, False)}
    return next((address for address, backbone in IMAGENET_BACKBONES if _is_network(plain, backbone)), "")


def is_imagenet(address: str) -> bool:
    """Return whether MODEL.WEIGHTS names ImageNet weights, which are those of a backbone only."""
    return address.startswith(_IMAGENET)


def _is_network(cfg: Mapping[str, Any], network: Network) -> bool:
    return all(key in cfg and _kind(key, cfg[key]) == _kind(key, value) for key, value in network.items())


def _kind(key: str, value: Any) -> Any:
    # the tensors are the same, whether statistics are frozen and over how many processes they are computed
    return "BN" if key.endswith(".NORM") and str(value).endswith("BN") else value
