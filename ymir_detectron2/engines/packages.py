"""Model packages and checkpoints as both engines take them: whose classes, whether all of it fits, where to start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Mapping

from torch import Tensor

from ..contract.model_package import ModelPackage
from ..contract.task import class_key
from ..errors import ConfigError, ModelError, NetworkError
from ..retinanet.checkpoint import LoadReport, read_checkpoint
from ..retinanet.weights import find_weights, resolve_weights
from .base import EngineConfig, TrainJob
from .published import coco_weights, imagenet_weights, is_imagenet

_EMPTY = "MODEL.WEIGHTS is empty"

logger = logging.getLogger(__name__)


def config_of(package: ModelPackage) -> Path:
    """The configuration beside the weights.

    Raises:
        ModelError: there is none, so that nobody knows the network.
    """
    if package.config is None:
        raise ModelError(
            f"{package.weights}: no config.yaml lies beside it, so its network is unknown;"
            f" list the config.yaml of that training in {package.source} as well"
        )
    return package.config


def class_names_of(
    package: ModelPackage, metadata: Mapping[str, object], of_task: tuple[str, ...]
) -> tuple[str, ...]:
    """The names that the weights were trained for, checked against those of the task.

    The checkpoint knows best, then ymir-info.yaml; config.yaml's order is that of the training as well (contract, 1.3).
    """
    stored = metadata.get("class_names") or package.class_names or of_task
    names = tuple(str(name) for name in stored) if isinstance(stored, (list, tuple)) else ()
    if not names:
        raise ConfigError("config.yaml: class_names is missing, and the model does not know them; list them")
    if of_task and sorted(map(class_key, names)) != sorted(map(class_key, of_task)):
        raise ModelError(
            f"{package.weights}: was trained for {', '.join(names)}, but the task is about {', '.join(of_task)};"
            " choose the model of these classes"
        )
    return names


def require_complete(report: LoadReport, package: ModelPackage, num_classes: int) -> None:
    """Raise ModelError when a tensor of the model was not in the file."""
    if report.missing or report.misshapen:
        raise ModelError(
            f"{package.weights}: does not fit {package.config} with {num_classes} classes:"
            f" {len(report.missing)} tensors missing, {len(report.misshapen)} of another shape;"
            f" use the files of one stage together\n{report.table()}"
        )


def initial_weights(
    cfg: EngineConfig, job: TrainJob, class_layers: tuple[str, ...]
) -> tuple[dict[str, Tensor], Path] | None:
    """What a training starts from; None for random weights, on purpose only.

    The chosen model of the task comes first, then MODEL.WEIGHTS of args_options, then the key `pretrained`. Without any
    of these: the COCO weights of the same network where the configuration would start from its backbone's and they can
    be had, else what its MODEL.WEIGHTS says.

    Args:
        class_layers: how the names of the layers begin that decide about classes; they are left out, so that they
            start anew, when the file was trained for other classes.
    """
    path = _chosen_path(cfg, job)
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    state_dict = checkpoint.state_dict
    if job.pretrained is None and path.name in _coco_names(cfg):
        logger.info("%s was trained for the classes of COCO: the class layer starts anew", path)
        state_dict = {name: value for name, value in state_dict.items() if not name.startswith(class_layers)}
    names = checkpoint.metadata.get("class_names") or (job.pretrained.class_names if job.pretrained else None)
    if names and [class_key(str(name)) for name in names] != [class_key(name) for name in job.class_names]:
        logger.info("%s was trained for %s: the class layer starts anew", path, ", ".join(map(str, names)))
        state_dict = {name: value for name, value in state_dict.items() if not name.startswith(class_layers)}
    return state_dict, path


def _chosen_path(cfg: EngineConfig, job: TrainJob) -> Path | None:
    if job.pretrained is not None:
        return job.pretrained.weights
    wanted, address = job.settings.pretrained, str(cfg["MODEL.WEIGHTS"])
    if "MODEL.WEIGHTS" in job.overrides or not (wanted or address):
        wanted = "" if address else "none"
    elif wanted == "coco" or (not wanted and is_imagenet(address)):
        return _coco_path(cfg, job, demanded=bool(wanted)) or resolve_weights(address, job.weights_folders)
    elif wanted == "imagenet":
        address = _required(imagenet_weights(cfg), wanted)
    if wanted == "none":
        frozen = cfg["MODEL.BACKBONE.FREEZE_AT"] > 0 or cfg["MODEL.RESNETS.NORM"] == "FrozenBN"
        logger.info("training from random weights, because %s", "of pretrained: none" if address else _EMPTY)
        if frozen:
            logger.warning(
                "random weights that MODEL.BACKBONE.FREEZE_AT %s and MODEL.RESNETS.NORM %s keep from learning; add"
                " 'MODEL.BACKBONE.FREEZE_AT 0 MODEL.RESNETS.NORM GN' to args_options",
                cfg["MODEL.BACKBONE.FREEZE_AT"], cfg["MODEL.RESNETS.NORM"],
            )  # fmt: skip
        return None
    return resolve_weights(address, job.weights_folders)


def _coco_path(cfg: EngineConfig, job: TrainJob, *, demanded: bool) -> Path | None:
    """The COCO weights of this network: what a folder has, else a download; None where neither is to be had."""
    addresses = coco_weights(cfg)
    if demanded:
        _required("".join(addresses), "coco")
    for address in addresses:
        path = find_weights(address, job.weights_folders)
        if path is not None:
            return path
    try:
        return resolve_weights(addresses[0], job.weights_folders) if addresses else None
    except NetworkError as error:
        if demanded:
            raise
        logger.warning("starting from the weights of ImageNet, not of COCO, which would be better: %s", error)
        return None


def _coco_names(cfg: EngineConfig) -> set[str]:
    return {address.rsplit("/", 1)[-1] for address in coco_weights(cfg)}


def _required(address: str, wanted: str) -> str:
    """The address, or an error."""
    if not address:
        raise ConfigError(
            f"config.yaml: pretrained: there are no published {wanted} weights for this network; leave the key empty,"
            " or write the path of a file into args_options as MODEL.WEIGHTS"
        )
    return address
