"""What a chosen model decides in the configuration of a training, and where every part of it comes from."""

from __future__ import annotations

import logging
from typing import Any, Mapping

from .. import distributed
from ..config.engine_config import AnyConfig, ConfigLoader, EngineConfig
from ..config.model_keys import CLASS_COUNTS, MODEL_KEYS, only
from ..config.train_settings import TrainSettings
from .job import TrainJob

logger = logging.getLogger(__name__)

_NO_DIFFERENCE = (*CLASS_COUNTS, "MODEL.DEVICE", "MODEL.WEIGHTS")
"""Keys that the task decides, and so no reason to warn."""
_MAX_NAMED = 6

# those that become keys of the configuration
_FORM_KEYS = ("batch_size", "learning_rate", "max_epochs", "max_iter", "eval_period", "repeat_factor", "image_size")


def with_model_keys(job: TrainJob, cfg: AnyConfig, load_config: ConfigLoader[AnyConfig]) -> AnyConfig:
    """Return the config with network and images of the chosen model; unchanged where there is none.

    Args:
        cfg: of `config_file`.
    """
    package = job.pretrained
    if package is None:
        return cfg
    if package.config is None:
        if distributed.rank() == 0:
            logger.warning(
                "%s: no config.yaml lies next to it, so its network and the size and channel order of its images are"
                " taken from %s; list the config.yaml of that training in %s as well", package.weights,
                job.config_file, package.source,
            )  # fmt: skip
        return cfg
    # the weights fit no other network and know no other images, and users leave config_file at its default
    of_model = only(load_config(package.config, MODEL_KEYS), MODEL_KEYS)
    if not job.config_file.match(TrainSettings.config_file) and distributed.rank() == 0:
        _warn_of_unused_values(job, cfg, of_model)
    return cfg.merged(of_model, str(package.config))


def _warn_of_unused_values(job: TrainJob, cfg: EngineConfig, of_model: Mapping[str, Any]) -> None:
    """Warn that a config_file that somebody chose decides less than it says."""
    unused = [key for key, value in of_model.items() if key not in _NO_DIFFERENCE and cfg[key] != value]
    if unused:
        more = f" and {len(unused) - _MAX_NAMED} more" if len(unused) > _MAX_NAMED else ""
        logger.warning(
            "%s differs from the chosen model in %s%s: the model's values are used; args_options can set others, and"
            " without a model config_file decides", job.config_file, ", ".join(unused[:_MAX_NAMED]), more,
        )  # fmt: skip


def log_sources(job: TrainJob) -> None:
    """Log in one line where the configuration comes from, lowest precedence first."""
    sources = [f"{job.config_file} (network and schedule)"]
    if job.pretrained is not None and job.pretrained.config is not None:
        sources = [
            f"{job.config_file} (schedule)",
            f"{job.pretrained.config} of the chosen model ({', '.join(MODEL_KEYS)})",
        ]
    form = [f"{name} {value}" for name in _FORM_KEYS if (value := getattr(job.settings, name))]
    sources += [f"config.yaml ({', '.join(form)})"] * bool(form)
    sources += [f"args_options ({', '.join(job.overrides)})"] * bool(job.overrides)
    logger.info("the configuration is that of %s, the later ones winning", "; then ".join(sources))
