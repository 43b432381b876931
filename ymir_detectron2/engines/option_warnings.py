"""Warnings of values of args_options and config_file that change nothing, in the log of the first process."""

from __future__ import annotations

import logging
from typing import Any, Mapping

import torch

from .. import distributed
from ..config.engine_config import EngineConfig
from ..config.ineffective_keys import ineffective_options, ineffective_values

logger = logging.getLogger(__name__)


def warn_of_training_options(
    cfg: EngineConfig, overrides: Mapping[str, Any], of_file: EngineConfig, device: torch.device
) -> None:
    """Warn of keys that change nothing in a training.

    Args:
        cfg: the resolved configuration.
        overrides: the keys of args_options.
        of_file: the configuration of config_file.
    """
    _warn(ineffective_options(cfg, overrides, training=True, on_gpu=device.type == "cuda"))
    effective = {key: value for key, value in of_file.items() if key not in overrides}
    _warn(ineffective_values(cfg, effective, cfg.DEFAULTS))


def warn_of_detector_options(cfg: EngineConfig, overrides: Mapping[str, Any], device: torch.device) -> None:
    """Warn of keys of args_options that change nothing in mining and inference."""
    _warn(ineffective_options(cfg, overrides, training=False, on_gpu=device.type == "cuda"))


def _warn(sentences: list[str]) -> None:
    if distributed.rank() == 0:
        for sentence in sentences:
            logger.warning(sentence)
