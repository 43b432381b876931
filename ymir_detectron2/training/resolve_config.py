"""The resolved configuration of a training: config file, data, form and args_options in one order of precedence.

Here the base learning rate, the batch size and the number of steps are decided, for both engines.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Callable, Mapping

from .. import distributed
from ..config.engine_config import AnyConfig, EngineConfig
from ..dataset.coco_json import load_coco_json
from ..errors import ConfigError
from .job import TrainJob
from .lr_schedule import check_schedule, fit_schedule

logger = logging.getLogger(__name__)

CLASS_COUNTS = ("MODEL.RETINANET.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES")
"""One for each kind of head; an engine ignores those of heads that it does not have."""

_DECIDED_BY_THE_TASK = {
    "DATASETS.TRAIN": "the task names the sets",
    "DATASETS.TEST": "the task names the sets",
    "MODEL.DEVICE": "gpu_id in config.yaml chooses the device, '' the CPU",
    "OUTPUT_DIR": "the task names the output folder",
}


def resolve_config(job: TrainJob, load_config: Callable[[Path], AnyConfig]) -> AnyConfig:
    """Return the whole configuration of a run.

    Lowest precedence first: the engine's defaults, `config_file`, the network of the pretrained model, the number of
    classes, the settings of the form, `args_options`.
    """
    require_free(job.overrides)
    cfg = load_config(job.config_file)
    if job.pretrained is not None and job.pretrained.config is not None:
        # the weights fit no other network than their own, and users leave config_file at its default
        pretrained = load_config(job.pretrained.config)
        model = {key: pretrained[key] for key in pretrained if key.startswith("MODEL.")}
        cfg = cfg.merged(model, str(job.pretrained.config))
    explicit = cfg.merged(job.overrides, "args_options")
    # both: the schedule is a share of the config's MAX_ITER even where args_options decides the length of the run
    for checked in (cfg, explicit):
        check_schedule(checked)
    batch_size = job.settings.batch_size
    if "SOLVER.IMS_PER_BATCH" in job.overrides or not batch_size:
        batch_size = int(explicit["SOLVER.IMS_PER_BATCH"])
    form: dict[str, Any] = {
        **dict.fromkeys(CLASS_COUNTS, len(job.class_names)),
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,  # images without objects teach what is background
        "SOLVER.IMS_PER_BATCH": batch_size,
        "SOLVER.BASE_LR": _base_learning_rate(job, cfg, batch_size),
    }
    # before the form, whose periods are in steps of this run already
    cfg = fit_schedule(cfg, _max_iter(job, explicit, batch_size))
    if job.settings.repeat_factor:
        form["DATALOADER.SAMPLER_TRAIN"] = "RepeatFactorTrainingSampler"
        form["DATALOADER.REPEAT_THRESHOLD"] = job.settings.repeat_factor
    if job.settings.eval_period:
        form["TEST.EVAL_PERIOD"] = form["SOLVER.CHECKPOINT_PERIOD"] = job.settings.eval_period
    cfg = cfg.merged(form, "config.yaml").merged(job.overrides, "args_options")
    for key in CLASS_COUNTS:  # args_options may set them, but only to what they are
        if key in cfg and cfg[key] != len(job.class_names):
            raise ConfigError(
                f"args_options: {key} {cfg[key]} is not the number of class_names ({len(job.class_names)});"
                " leave that key out"
            )
    return cfg


def require_free(overrides: Mapping[str, Any]) -> None:
    """Raise ConfigError for keys of args_options that would have no effect."""
    for key in overrides:
        if key in _DECIDED_BY_THE_TASK:
            raise ConfigError(f"args_options: {key} cannot be set here: {_DECIDED_BY_THE_TASK[key]}; remove it")


def _base_learning_rate(job: TrainJob, cfg: EngineConfig, batch_size: int) -> float:
    """Return the setting as given, or the config's rate in proportion to the batch (arXiv 1706.02677, sec. 2.1)."""
    if job.settings.learning_rate:
        return job.settings.learning_rate
    base, images = float(cfg["SOLVER.BASE_LR"]), int(cfg["SOLVER.IMS_PER_BATCH"])
    if "SOLVER.BASE_LR" not in job.overrides:  # which would win all the same
        logger.info("learning rate %g: %g of the config for batches of %d, here of %d", base * batch_size / images,
                    base, images, batch_size)  # fmt: skip
    return base * batch_size / images


def _max_iter(job: TrainJob, explicit: EngineConfig, batch_size: int) -> int:
    """Return the first that is given: SOLVER.MAX_ITER of args_options, max_epochs, max_iter, MAX_ITER of the config."""
    if "SOLVER.MAX_ITER" in job.overrides:
        return int(explicit["SOLVER.MAX_ITER"])
    # before max_iter: the web form always sends that, whether its user chose it or not
    if job.settings.max_epochs:
        num_images = len(load_coco_json(job.train_json))
        steps = max(1, math.ceil(job.settings.max_epochs * num_images / batch_size))
        logger.info("max_epochs %g: %d steps of %d through %d images", job.settings.max_epochs, steps, batch_size,
                    num_images)  # fmt: skip
        return steps
    return job.settings.max_iter or int(explicit["SOLVER.MAX_ITER"])


def log_batch_and_rate(cfg: EngineConfig) -> None:
    """Log how a batch is split over processes, and the base learning rate."""
    count = distributed.world_size()
    share = "" if count == 1 else f", {cfg['SOLVER.IMS_PER_BATCH'] // count} in each of {count} processes"
    logger.info("%d steps of %d images%s; learning rate %g", cfg["SOLVER.MAX_ITER"], cfg["SOLVER.IMS_PER_BATCH"],
                share, cfg["SOLVER.BASE_LR"])  # fmt: skip
