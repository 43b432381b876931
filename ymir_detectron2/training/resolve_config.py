"""The resolved configuration of a training: config file, data, form and args_options in one order of precedence.

Here the base learning rate, the batch size and the number of steps are decided, for both engines.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Callable, Mapping

from .. import distributed
from ..config.accepted_values import check_schedule, check_values
from ..config.engine_config import AnyConfig, ConfigLoader, EngineConfig
from ..config.image_sizes import scaled_sizes, with_image_size
from ..config.model_keys import CLASS_COUNTS
from ..dataset.coco_json import load_coco_json
from ..errors import ConfigError
from .config_sources import log_sources, with_model_keys
from .job import TrainJob
from .lr_schedule import fit_schedule

logger = logging.getLogger(__name__)

_PLATEAU_EPOCHS, _FEWEST_PLATEAU_STEPS = 10, 500
"""Between two evaluations of a training with `patience`: long enough to learn something, also from very few images."""
_DECIDED_BY_THE_TASK = {
    "DATASETS.TRAIN": "the task names the sets",
    "DATASETS.TEST": "the task names the sets",
    "MODEL.DEVICE": "gpu_id in config.yaml chooses the device, '' the CPU",
    "OUTPUT_DIR": "the task names the output folder",
}


def resolve_config(
    job: TrainJob, load_config: ConfigLoader[AnyConfig], draws_per_pass: Callable[[AnyConfig], int] | None = None
) -> AnyConfig:
    """Return the whole configuration of a run, and log where it comes from.

    Lowest precedence first: the engine's defaults, `config_file`, network and images of the chosen model (`MODEL_KEYS`
    of `config/model_keys.py`), the number of classes, the settings of the form, `args_options`.

    Args:
        draws_per_pass: returns how many images and tiles are an epoch, from a configuration with the final sizes of
            images; called once. None: as many as the training set has images.
    """
    require_free(job.overrides)
    log_sources(job)
    cfg = with_model_keys(job, load_config(job.config_file), load_config)
    explicit = cfg.merged(job.overrides, "args_options")
    # the first as well: the schedule is a share of the config's MAX_ITER even where args_options decides the length
    check_schedule(cfg)
    check_values(explicit, training=True)
    batch_size = job.settings.batch_size
    if "SOLVER.IMS_PER_BATCH" in job.overrides or not batch_size:
        batch_size = int(explicit["SOLVER.IMS_PER_BATCH"])
    base_lr = _base_learning_rate(job, cfg, explicit, batch_size)
    form: dict[str, Any] = {
        **dict.fromkeys(CLASS_COUNTS, len(job.class_names)),
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,  # images without objects teach what is background
        "SOLVER.IMS_PER_BATCH": batch_size,
        "SOLVER.BASE_LR": base_lr,
        "SOLVER.BASE_LR_END": cfg["SOLVER.BASE_LR_END"] * base_lr / cfg["SOLVER.BASE_LR"],  # the same share as before
    }
    draws = None
    if draws_per_pass is not None:
        draws = draws_per_pass(with_image_size(cfg, job.settings.image_size).merged(job.overrides, "args_options"))
    # before the form, whose periods are in steps of this run already
    longest_period = _plateau_period(job, batch_size, draws) if job.settings.patience else 0
    cfg = fit_schedule(cfg, _max_iter(job, explicit, batch_size, draws), longest_period)
    if job.settings.repeat_factor:
        form["DATALOADER.SAMPLER_TRAIN"] = "RepeatFactorTrainingSampler"
        form["DATALOADER.REPEAT_THRESHOLD"] = job.settings.repeat_factor
    if job.settings.image_size:
        form.update(scaled_sizes(cfg, job.settings.image_size))
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


def _base_learning_rate(job: TrainJob, cfg: EngineConfig, explicit: EngineConfig, batch_size: int) -> float:
    """Return the rate as given, or the config's in proportion to the batch (arXiv 1706.02677, sec. 2.1)."""
    if "SOLVER.BASE_LR" in job.overrides:
        return float(explicit["SOLVER.BASE_LR"])
    if job.settings.learning_rate:
        return job.settings.learning_rate
    base, images = float(cfg["SOLVER.BASE_LR"]), int(cfg["SOLVER.IMS_PER_BATCH"])
    logger.info("learning rate %g: %g of the config for batches of %d, here of %d", base * batch_size / images, base,
                images, batch_size)  # fmt: skip
    return base * batch_size / images


def _max_iter(job: TrainJob, explicit: EngineConfig, batch_size: int, draws: int | None) -> int:
    """Return the first that is given: SOLVER.MAX_ITER of args_options, max_epochs, max_iter, MAX_ITER of the config.

    Args:
        draws: images and tiles of an epoch; None: as many as there are images.
    """
    if "SOLVER.MAX_ITER" in job.overrides:
        return int(explicit["SOLVER.MAX_ITER"])
    # before max_iter: the web form always sends that, whether its user chose it or not
    if job.settings.max_epochs:
        num_images = len(load_coco_json(job.train_json)) if draws is None else draws
        steps = max(1, math.ceil(job.settings.max_epochs * num_images / batch_size))
        logger.info("max_epochs %g: %d steps of %d through %d images", job.settings.max_epochs, steps, batch_size,
                    num_images)  # fmt: skip
        return steps
    return job.settings.max_iter or int(explicit["SOLVER.MAX_ITER"])


def _plateau_period(job: TrainJob, batch_size: int, draws: int | None) -> int:
    """Return the steps between two evaluations by which a plateau can be found, however long the training may be."""
    # as many of the validation set's: it may be the larger one, and evaluations would take most of the time
    epoch = max(len(load_coco_json(job.train_json)) if draws is None else draws, len(load_coco_json(job.val_json)))
    return max(_FEWEST_PLATEAU_STEPS, math.ceil(_PLATEAU_EPOCHS * epoch / batch_size))


def log_batch_and_rate(cfg: EngineConfig) -> None:
    """Log how a batch is split over processes, and the base learning rate."""
    count = distributed.world_size()
    share = "" if count == 1 else f", {cfg['SOLVER.IMS_PER_BATCH'] // count} in each of {count} processes"
    logger.info("%d steps of %d images%s; learning rate %g", cfg["SOLVER.MAX_ITER"], cfg["SOLVER.IMS_PER_BATCH"],
                share, cfg["SOLVER.BASE_LR"])  # fmt: skip
