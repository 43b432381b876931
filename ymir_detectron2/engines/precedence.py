"""Which of several places decides about a key of the configuration: one order for both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping

from ..errors import ConfigError
from ..training.schedule import check_schedule, fit_schedule
from .base import AnyConfig, EngineConfig, TrainJob

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
    check_schedule(explicit)
    max_iter = explicit["SOLVER.MAX_ITER"] if "SOLVER.MAX_ITER" in job.overrides else job.settings.max_iter
    cfg = fit_schedule(cfg, max_iter)
    form: dict[str, Any] = {
        **dict.fromkeys(CLASS_COUNTS, len(job.class_names)),
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,  # pictures without objects teach what is background
        "SOLVER.IMS_PER_BATCH": job.settings.batch_size,
        "SOLVER.BASE_LR": job.settings.learning_rate,
    }
    if job.settings.eval_period:
        form["TEST.EVAL_PERIOD"] = job.settings.eval_period
    cfg = cfg.merged(form, "config.yaml").merged(job.overrides, "args_options")
    _require_class_counts(cfg, len(job.class_names))
    return cfg


def _require_class_counts(cfg: EngineConfig, count: int) -> None:
    for key in CLASS_COUNTS:
        if key in cfg and cfg[key] != count:
            raise ConfigError(
                f"args_options: {key} {cfg[key]} is not the number of class_names ({count}); leave that key out"
            )
