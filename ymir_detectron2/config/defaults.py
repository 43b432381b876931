"""detectron2's configuration keys as flat data: those that its RetinaNet reads, and those that have no effect on it.

Source: detectron2/config/defaults.py. `tests/golden/test_retinanet_live.py` compares every value with it.
"""

from __future__ import annotations

from typing import Any

from .model_keys import is_within

DEFAULTS: dict[str, Any] = {
    "VERSION": 2,
    "SEED": -1,  # negative: random; the task always has one
    "CUDNN_BENCHMARK": False,
    "FLOAT32_PRECISION": "",
    # Images: pixel values are 0..255 in the channel order of INPUT.FORMAT, edges are pixels.
    "INPUT.FORMAT": "BGR",
    "INPUT.MIN_SIZE_TRAIN": (800,),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
    "INPUT.MAX_SIZE_TRAIN": 1333,
    "INPUT.MIN_SIZE_TEST": 800,
    "INPUT.MAX_SIZE_TEST": 1333,
    "INPUT.RANDOM_FLIP": "horizontal",
    "INPUT.CROP.ENABLED": False,
    "INPUT.CROP.TYPE": "relative_range",
    "INPUT.CROP.SIZE": (0.9, 0.9),
    "MODEL.PIXEL_MEAN": (103.530, 116.280, 123.675),
    "MODEL.PIXEL_STD": (1.0, 1.0, 1.0),  # the Caffe models that detectron2 starts from are trained on unscaled pixels
    # Network.
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.WEIGHTS": "",
    "MODEL.MASK_ON": False,
    "MODEL.KEYPOINT_ON": False,
    "MODEL.LOAD_PROPOSALS": False,
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.OUT_FEATURES": ("res4",),
    "MODEL.RESNETS.NUM_GROUPS": 1,
    "MODEL.RESNETS.NORM": "FrozenBN",
    "MODEL.RESNETS.WIDTH_PER_GROUP": 64,
    "MODEL.RESNETS.STRIDE_IN_1X1": True,  # as in the original (MSRA) ResNet; torchvision's has the stride in the 3x3
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 64,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": (False, False, False, False),
    "MODEL.RESNETS.DEFORM_MODULATED": False,
    "MODEL.RESNETS.DEFORM_NUM_GROUPS": 1,
    "MODEL.FPN.IN_FEATURES": (),
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.ANCHOR_GENERATOR.NAME": "DefaultAnchorGenerator",
    "MODEL.ANCHOR_GENERATOR.SIZES": ((32, 64, 128, 256, 512),),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": ((0.5, 1.0, 2.0),),
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.0,
    "MODEL.RETINANET.NUM_CLASSES": 80,
    "MODEL.RETINANET.IN_FEATURES": ("p3", "p4", "p5", "p6", "p7"),
    "MODEL.RETINANET.NUM_CONVS": 4,
    "MODEL.RETINANET.IOU_THRESHOLDS": (0.4, 0.5),
    "MODEL.RETINANET.IOU_LABELS": (0, -1, 1),  # IoU below 0.4: background, in between: ignored, from 0.5 on: object
    "MODEL.RETINANET.PRIOR_PROB": 0.01,
    "MODEL.RETINANET.SCORE_THRESH_TEST": 0.05,
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST": 1000,
    "MODEL.RETINANET.NMS_THRESH_TEST": 0.5,
    "MODEL.RETINANET.BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
    "MODEL.RETINANET.FOCAL_LOSS_GAMMA": 2.0,
    "MODEL.RETINANET.FOCAL_LOSS_ALPHA": 0.25,
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.1,
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "smooth_l1",
    "MODEL.RETINANET.NORM": "",
    # Data.
    "DATALOADER.NUM_WORKERS": 4,
    "DATALOADER.ASPECT_RATIO_GROUPING": True,
    "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
    "DATALOADER.REPEAT_THRESHOLD": 0.0,
    "DATALOADER.REPEAT_SQRT": True,
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": True,
    # Optimizer and learning rate schedule; STEPS, MAX_ITER and the like count steps.
    "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "SOLVER.MAX_ITER": 40000,
    "SOLVER.BASE_LR": 0.001,
    "SOLVER.BASE_LR_END": 0.0,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.NESTEROV": False,
    "SOLVER.WEIGHT_DECAY": 0.0001,
    "SOLVER.WEIGHT_DECAY_NORM": 0.0,
    "SOLVER.WEIGHT_DECAY_BIAS": None,
    "SOLVER.BIAS_LR_FACTOR": 1.0,
    "SOLVER.GAMMA": 0.1,
    "SOLVER.STEPS": (30000,),
    "SOLVER.NUM_DECAYS": 3,
    "SOLVER.WARMUP_FACTOR": 0.001,
    "SOLVER.WARMUP_ITERS": 1000,
    "SOLVER.WARMUP_METHOD": "linear",
    "SOLVER.RESCALE_INTERVAL": False,
    "SOLVER.CHECKPOINT_PERIOD": 5000,
    "SOLVER.IMS_PER_BATCH": 16,
    "SOLVER.REFERENCE_WORLD_SIZE": 0,  # 0: batch size and learning rate are not scaled with the number of GPUs
    "SOLVER.CLIP_GRADIENTS.ENABLED": False,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "value",
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 1.0,
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": 2.0,
    "SOLVER.AMP.ENABLED": False,
    # Evaluation.
    "TEST.EVAL_PERIOD": 0,
    "TEST.DETECTIONS_PER_IMAGE": 100,
    "TEST.AUG.ENABLED": False,
    "TEST.AUG.MIN_SIZES": (400, 500, 600, 700, 800, 900, 1000, 1100, 1200),
    "TEST.AUG.MAX_SIZE": 4000,
    "TEST.AUG.FLIP": True,
    "TEST.PRECISE_BN.ENABLED": False,
    "TEST.PRECISE_BN.NUM_ITER": 200,
}
"""Every key that detectron2 reads for a RetinaNet, with detectron2's default."""

ADDED_AFTER_0_6 = {
    key: DEFAULTS[key]
    for key in (
        "DATALOADER.REPEAT_SQRT", "FLOAT32_PRECISION", "SOLVER.BASE_LR_END", "SOLVER.NUM_DECAYS",
        "SOLVER.RESCALE_INTERVAL",
    )
}  # fmt: skip
"""Keys that detectron2 0.6 rejects as unknown, with their defaults."""

NEVER_READ = (
    "DATASETS",
    "GLOBAL",
    "INPUT.MASK_FORMAT",
    "MODEL.ANCHOR_GENERATOR.ANGLES",
    "MODEL.DEVICE",
    "MODEL.PANOPTIC_FPN",
    "MODEL.PROPOSAL_GENERATOR",
    "MODEL.ROI_BOX_CASCADE_HEAD",
    "MODEL.ROI_BOX_HEAD",
    "MODEL.ROI_HEADS",
    "MODEL.ROI_KEYPOINT_HEAD",
    "MODEL.ROI_MASK_HEAD",
    "MODEL.RPN",
    "MODEL.SEM_SEG_HEAD",
    "OUTPUT_DIR",
    "TEST.EXPECTED_RESULTS",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "VIS_PERIOD",
)
"""Keys and sections in every config.yaml that detectron2 saves, and without effect on this model."""


def is_never_read(key: str) -> bool:
    """Return whether `key`, or a section that it is in, has no effect on a RetinaNet."""
    return is_within(key, NEVER_READ)
