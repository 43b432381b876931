"""Which of several places decides about a key of the configuration: one order for both engines."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Callable, Mapping

from ..dataset.coco_json import load_coco_json
from ..errors import ConfigError
from ..training import processes
from ..training.schedule import check_schedule, fit_schedule
from .base import AnyConfig, EngineConfig, TrainJob

logger = logging.getLogger(__name__)

CLASS_COUNTS = ("MODEL.RETINANET.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES")
"""One for each kind of head; an engine ignores those of heads that it does not have."""

_DECIDED_BY_THE_TASK = {
    "DATASETS.TRAIN": "the task names the sets",
    "DATASETS.TEST": "the task names the sets",
    "MODEL.DEVICE": "gpu_id in config.yaml chooses the device, '' the CPU",
    "OUTPUT_DIR": "the task names the output folder",
}


def require_free(overrides: Mapping[str, Any]) -> None:
    """Raise ConfigError for keys of args_options that would have no effect."""
    for key in overrides:
        if key in _DECIDED_BY_THE_TASK:
            raise ConfigError(f"args_options: {key} cannot be set here: {_DECIDED_BY_THE_TASK[key]}; remove it")


def resolve_config(job: TrainJob, load_config: Callable[[Path], AnyConfig]) -> AnyConfig:
    """The whole configuration of a run, lowest precedence first: defaults, `config_file`, what the data and the
    pretrained model ask for, the form's keys, `args_options`."""
    require_free(job.overrides)
    cfg = load_config(job.config_file)
    if job.pretrained is not None and job.pretrained.config is not None:
        # the chosen model decides about the network: its weights fit no other
        chosen = load_config(job.pretrained.config)
        cfg = cfg.merged({key: chosen[key] for key in chosen if key.startswith("MODEL.")}, str(job.pretrained.config))
    explicit = cfg.merged(job.overrides, "args_options")
    for found in (cfg, explicit):  # the run's schedule is a share of the config's, whoever decides about its length
        check_schedule(found)
    batch_size = _batch_size(job, explicit)
    form: dict[str, Any] = {
        **dict.fromkeys(CLASS_COUNTS, len(job.class_names)),
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,  # pictures without objects teach what is background
        "SOLVER.IMS_PER_BATCH": batch_size,
        "SOLVER.BASE_LR": _learning_rate(job, cfg, batch_size),
    }
    cfg = fit_schedule(cfg, _max_iter(job, explicit, batch_size))
    if job.settings.repeat_factor:
        form["DATALOADER.SAMPLER_TRAIN"] = "RepeatFactorTrainingSampler"
        form["DATALOADER.REPEAT_THRESHOLD"] = job.settings.repeat_factor
    if job.settings.eval_period:
        form["TEST.EVAL_PERIOD"] = form["SOLVER.CHECKPOINT_PERIOD"] = job.settings.eval_period
    cfg = cfg.merged(form, "config.yaml").merged(job.overrides, "args_options")
    _require_class_counts(cfg, len(job.class_names))
    return cfg


def log_split(cfg: EngineConfig) -> None:
    """Say how a batch is shared and how fast the training learns."""
    count = processes.world_size()
    share = "" if count == 1 else f", {cfg['SOLVER.IMS_PER_BATCH'] // count} in each of {count} processes"
    logger.info("%d steps of %d pictures%s; learning rate %g", cfg["SOLVER.MAX_ITER"], cfg["SOLVER.IMS_PER_BATCH"],
                share, cfg["SOLVER.BASE_LR"])  # fmt: skip


def _batch_size(job: TrainJob, explicit: EngineConfig) -> int:
    if "SOLVER.IMS_PER_BATCH" in job.overrides or not job.settings.batch_size:
        return int(explicit["SOLVER.IMS_PER_BATCH"])
    return job.settings.batch_size


def _learning_rate(job: TrainJob, cfg: EngineConfig, batch_size: int) -> float:
    """As given, or that of the config in proportion to the batch (arXiv 1706.02677, sec. 2.1)."""
    if job.settings.learning_rate:
        return job.settings.learning_rate
    base, images = float(cfg["SOLVER.BASE_LR"]), int(cfg["SOLVER.IMS_PER_BATCH"])
    if "SOLVER.BASE_LR" not in job.overrides:
        logger.info("learning rate %g: %g of the config for batches of %d, here of %d", base * batch_size / images,
                    base, images, batch_size)  # fmt: skip
    return base * batch_size / images


def _max_iter(job: TrainJob, explicit: EngineConfig, batch_size: int) -> int:
    """SOLVER.MAX_ITER of args_options, max_epochs, max_iter or the config: the first that is there.

    max_epochs comes before max_iter because the web form always sends the latter, whether a user chose it or not.
    """
    if "SOLVER.MAX_ITER" in job.overrides:
        return int(explicit["SOLVER.MAX_ITER"])
    if job.settings.max_epochs:
        pictures = len(load_coco_json(job.train_json))
        steps = max(1, math.ceil(job.settings.max_epochs * pictures / batch_size))
        logger.info("max_epochs %g: %d steps of %d through %d pictures", job.settings.max_epochs, steps, batch_size,
                    pictures)  # fmt: skip
        return steps
    return job.settings.max_iter or int(explicit["SOLVER.MAX_ITER"])


def _require_class_counts(cfg: EngineConfig, count: int) -> None:
    for key in CLASS_COUNTS:
        if key in cfg and cfg[key] != count:
            raise ConfigError(
                f"args_options: {key} {cfg[key]} is not the number of class_names ({count}); leave that key out"
            )
