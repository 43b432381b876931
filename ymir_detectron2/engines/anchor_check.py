"""Do the anchors of a configuration fit the boxes of a set; on request, anchors that do. The same for both engines."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ..dataset.coco_json import CocoDataset
from ..retinanet.anchor_fit import Lists, fit_anchors, missed_share, resized_wh
from ..training import processes
from .base import AnyConfig, EngineConfig, TrainJob

logger = logging.getLogger(__name__)

SIZES, RATIOS = "MODEL.ANCHOR_GENERATOR.SIZES", "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"


def with_checked_anchors(job: TrainJob, cfg: AnyConfig, train_set: CocoDataset) -> AnyConfig:
    """Say how many boxes no anchor reaches, and with `anchors: auto` fit the anchors to the boxes first.

    Call it in every process: all come to the same anchors.
    """
    if cfg["MODEL.ANCHOR_GENERATOR.NAME"] != "DefaultAnchorGenerator":
        return cfg
    boxes_wh = _training_wh(cfg, train_set)
    sizes, ratios = _lists(cfg[SIZES]), _lists(cfg[RATIOS])
    missed = missed_share(boxes_wh, sizes, ratios)
    if job.settings.anchors and _may_be_fitted(job):
        fit = fit_anchors(boxes_wh, sizes, ratios, seed=job.settings.seed)
        logger.info(
            "anchors: auto: boxes that no anchor reaches at IoU 0.5: %.2f %% before, %.2f %% now; mean IoU %.3f before,"
            " %.3f now; sizes %s, ratios %s", 100 * fit.missed_before, 100 * fit.missed, fit.iou_before, fit.iou,
            fit.sizes, fit.aspect_ratios,
        )  # fmt: skip
        _report(job, {"share_of_boxes_not_reached": fit.missed, "share_before_fitting": fit.missed_before})
        return cfg.merged({SIZES: fit.sizes, RATIOS: fit.aspect_ratios}, "anchors: auto")
    logger.info("anchors: %.2f %% of the boxes of the training set are reached by none at IoU 0.5%s", 100 * missed,
                _hint(job, missed))  # fmt: skip
    _report(job, {"share_of_boxes_not_reached": missed})
    return cfg


def _report(job: TrainJob, shares: dict[str, float]) -> None:
    if processes.rank() == 0:
        job.on_anchors({name: round(share, 4) for name, share in shares.items()})


def _hint(job: TrainJob, missed: float) -> str:
    return "; anchors: auto fits them" if missed > 0.05 and not job.settings.anchors else ""


def _may_be_fitted(job: TrainJob) -> bool:
    """Weights that learned with other anchors would have to learn anew, and what a user writes down holds."""
    obstacle = ""
    if job.pretrained is not None:
        obstacle = "the pretrained model brings its own anchors"
    for key in (SIZES, RATIOS):
        if key in job.overrides:
            obstacle = f"args_options sets {key}"
    if obstacle and processes.rank() == 0:
        logger.warning("anchors: auto has no effect: %s", obstacle)
    return not obstacle


def _training_wh(cfg: EngineConfig, dataset: CocoDataset) -> np.ndarray:
    """(M, 2) widths and heights of all boxes at the middle one of the sizes of training."""
    short_edges = sorted(cfg["INPUT.MIN_SIZE_TRAIN"])
    short_edge = int(short_edges[len(short_edges) // 2])
    if cfg["INPUT.MIN_SIZE_TRAIN_SAMPLING"] == "range":
        short_edge = (short_edges[0] + short_edges[-1]) // 2
    hw_of_boxes = np.repeat(dataset.image_hw, np.diff(dataset.box_starts), axis=0)
    return resized_wh(dataset.boxes_xyxy, hw_of_boxes, short_edge, cfg["INPUT.MAX_SIZE_TRAIN"])


def _lists(values: Any) -> Lists:
    """One list per level, or a single one for all, also where the configuration leaves out the outer one."""
    if values and not isinstance(values[0], (list, tuple)):
        values = [values]
    return [[float(value) for value in level] for level in values]

