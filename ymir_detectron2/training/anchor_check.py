"""Check how well the anchors of a configuration fit the boxes of the training set; with `anchors: auto`, fit them."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .. import distributed
from ..config.engine_config import AnyConfig, EngineConfig
from ..dataset.coco_json import IGNORED, CocoDataset
from ..retinanet.anchor_fit import Lists, fit_anchors, missed_share, resized_wh
from .job import TrainJob

logger = logging.getLogger(__name__)

SIZES, RATIOS = "MODEL.ANCHOR_GENERATOR.SIZES", "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"
_MANY_MISSED = 0.05  # share of boxes from which on a warning recommends to fit the anchors
SMALL_PX = 8
"""The stride of the finest level of features: a box with a smaller side has less than one cell of it."""
_MANY_SMALL = 0.05


def with_checked_anchors(job: TrainJob, cfg: AnyConfig, train_set: CocoDataset) -> AnyConfig:
    """Log the share of boxes that have no anchor with IoU >= 0.5; with `anchors: auto`, fit the anchors first.

    Warn of many such boxes, and of many that are very small at the size of the network.

    Called in every process: all compute the same anchors.
    """
    if cfg["MODEL.ANCHOR_GENERATOR.NAME"] != "DefaultAnchorGenerator":  # e.g. rotated ones, which only detectron2 has
        return cfg
    boxes_wh = _training_wh(cfg, train_set)
    _warn_of_small_boxes(job, boxes_wh)
    sizes, ratios = per_level(cfg[SIZES]), per_level(cfg[RATIOS])
    if job.settings.anchors and _may_fit(job):
        fit = fit_anchors(boxes_wh, sizes, ratios, seed=job.settings.seed)
        logger.info(
            "anchors: auto: %.2f %% of training boxes have no anchor with IoU >= 0.5, %.2f %% before; mean IoU %.3f,"
            " %.3f before; sizes %s, aspect ratios %s", 100 * fit.missed, 100 * fit.missed_before, fit.iou,
            fit.iou_before, fit.sizes, fit.aspect_ratios,
        )  # fmt: skip
        _report(job, {"share_of_boxes_not_reached": fit.missed, "share_before_fitting": fit.missed_before})
        _warn_of_missed_boxes(job, fit.missed, "check their corners")
        return cfg.merged({SIZES: fit.sizes, RATIOS: fit.aspect_ratios}, "anchors: auto")
    missed = missed_share(boxes_wh, sizes, ratios)
    logger.info("%.2f %% of training boxes have no anchor with IoU >= 0.5", 100 * missed)
    _report(job, {"share_of_boxes_not_reached": missed})
    remedy = "check their corners" if job.settings.anchors else "set anchors: auto, which fits them"
    _warn_of_missed_boxes(job, missed, remedy)
    return cfg


def _warn_of_missed_boxes(job: TrainJob, missed: float, remedy: str) -> None:
    if missed > _MANY_MISSED and distributed.rank() == 0:
        job.on_warning(f"{missed:.0%} of the training boxes fit no anchor and are learned badly; {remedy}")


def _warn_of_small_boxes(job: TrainJob, boxes_wh: np.ndarray) -> None:
    small = float((boxes_wh.min(axis=1) < SMALL_PX).mean()) if len(boxes_wh) else 0.0
    if small > _MANY_SMALL and distributed.rank() == 0:
        has_tiles = job.settings.tile_size not in (0, "none")
        remedy = "choose smaller tiles (tile_size)" if has_tiles else "set tile_size: auto"
        job.on_warning(
            f"{small:.0%} of the training boxes have a side below {SMALL_PX} px at the size of the network, where"
            f" little of them is left; raise image_size, or {remedy}"
        )


def _report(job: TrainJob, shares: dict[str, float]) -> None:
    if distributed.rank() == 0:
        job.on_anchors({name: round(share, 4) for name, share in shares.items()})


def _may_fit(job: TrainJob) -> bool:
    # pretrained weights would have to learn other anchors again, and args_options wins over every setting
    obstacle = "the pretrained model brings its own anchors" if job.pretrained is not None else ""
    for key in (SIZES, RATIOS):
        if key in job.overrides:
            obstacle = f"args_options sets {key}"
    if obstacle and distributed.rank() == 0:
        logger.warning("anchors: auto has no effect: %s", obstacle)
    return not obstacle


def typical_short_edge(cfg: EngineConfig) -> int:
    """Return the middle one of the training sizes, in pixels; 0: images keep their size."""
    short_edges = sorted(cfg["INPUT.MIN_SIZE_TRAIN"])
    if cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"] == "range":
        return int(short_edges[0] + short_edges[-1]) // 2
    return int(short_edges[len(short_edges) // 2])


def _training_wh(cfg: EngineConfig, dataset: CocoDataset) -> np.ndarray:
    """Return (M, 2) widths and heights of the M objects of a set at the typical one of the training sizes."""
    hw_of_boxes = np.repeat(dataset.image_hw, np.diff(dataset.box_starts), axis=0)  # (N, 2) -> (M, 2)
    is_object = dataset.classes != IGNORED
    return resized_wh(
        dataset.boxes_xyxy[is_object], hw_of_boxes[is_object], typical_short_edge(cfg), cfg["INPUT.MAX_SIZE_TRAIN"]
    )


def per_level(values: Any) -> Lists:
    """Return sizes or ratios as one list per level, or a single one for all; detectron2 takes it without outer list."""
    if values and not isinstance(values[0], (list, tuple)):
        values = [values]
    return [[float(value) for value in level] for level in values]
