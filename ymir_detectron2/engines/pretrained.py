"""Pretrained models: a task's model package, and published weights (COCO, ImageNet) that a training is fine-tuned from.

Both engines use it. A package brings weights, the configuration of its network and the class names it was trained for.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Mapping

from torch import Tensor

from ..config.engine_config import EngineConfig
from ..config.model_zoo import ZOO_DETECTORS, coco_weights, imagenet_weights, is_imagenet
from ..contract.model_package import ModelPackage
from ..contract.task import class_key
from ..errors import ConfigError, ModelError, NetworkError
from ..retinanet.checkpoint import LoadReport, read_checkpoint
from ..retinanet.weights import find_weights, resolve_weights
from ..training.job import TrainJob
from ..untrusted_files import is_file

logger = logging.getLogger(__name__)

_NOT_PUBLISHED = (
    "config.yaml: pretrained: there are no published {} weights for this network; leave the key empty, or write the"
    " path of a file into args_options as MODEL.WEIGHTS"
)


def config_of(package: ModelPackage) -> Path:
    """Return the configuration next to the weights.

    Raises:
        ModelError: there is none, so that the network is unknown.
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
    """Return the class names that the weights were trained for, in their order, checked against those of the task.

    Args:
        package: the model.
        metadata: of its checkpoint.
        of_task: class_names of the task's config.yaml; () when it does not name them.

    Raises:
        ConfigError: the names are nowhere.
        ModelError: the task is about other classes.
    """
    # the checkpoint was written with the weights, ymir-info.yaml by the platform; the task's list comes last, although
    # its order is that of the training as well (contract, 1.3)
    stored = metadata.get("class_names") or package.class_names or of_task
    names = tuple(str(name) for name in stored) if isinstance(stored, (list, tuple)) else ()
    if not names:
        raise ConfigError(
            "config.yaml: class_names is missing, and the model does not know them; list them (--classes)"
        )
    if of_task and sorted(map(class_key, names)) != sorted(map(class_key, of_task)):  # another order is fine
        raise ModelError(
            f"{package.weights}: was trained for {', '.join(names)}, but the task is about {', '.join(of_task)};"
            " choose the model of these classes"
        )
    return names


def require_complete(report: LoadReport, package: ModelPackage, num_classes: int) -> None:
    """Raise ModelError when a tensor of the model was not in the file: its random values would give random boxes."""
    if report.missing or report.misshapen:
        raise ModelError(
            f"{package.weights}: does not fit {package.config} with {num_classes} classes:"
            f" {len(report.missing)} tensors missing, {len(report.misshapen)} of another shape;"
            f" use the files of one stage together\n{report.table()}"
        )


def initial_weights(
    cfg: EngineConfig, job: TrainJob, class_layers: tuple[str, ...]
) -> tuple[dict[str, Tensor], Path] | None:
    """Return the weights to fine-tune, and their file; None for random weights, on purpose only.

    The chosen model of the task comes first, then MODEL.WEIGHTS of args_options, then the key `pretrained`. Without any
    of these: the COCO weights of the same network, if the configuration names ImageNet weights and the COCO weights can
    be had, else MODEL.WEIGHTS of the configuration.

    Args:
        class_layers: prefixes of the layers that decide about classes; they are left out, and so keep their random
            values, when the file was trained for other classes.
    """
    path = _chosen_path(cfg, job)
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    other_classes = ""
    # by its name, which is unique: the file may have been copied to anywhere
    if job.pretrained is None and path.name in [detector.file.rsplit("/", 1)[-1] for detector in ZOO_DETECTORS]:
        other_classes = "the classes of COCO"
    names = checkpoint.metadata.get("class_names") or (job.pretrained.class_names if job.pretrained else None)
    # in another order the class layer would fit by its shape, and mix up the classes
    if names and [class_key(str(name)) for name in names] != [class_key(name) for name in job.class_names]:
        other_classes = ", ".join(map(str, names))
    if not other_classes:
        return checkpoint.state_dict, path
    logger.info("%s was trained for %s: the class layer starts from random values", path, other_classes)
    kept = {name: value for name, value in checkpoint.state_dict.items() if not name.startswith(class_layers)}
    return kept, path


def _chosen_path(cfg: EngineConfig, job: TrainJob) -> Path | None:
    if job.pretrained is not None:
        return job.pretrained.weights
    requested, address = job.settings.pretrained, _weights_address(cfg, job)
    if "MODEL.WEIGHTS" in job.overrides or not (requested or address):  # an empty value is an explicit none
        requested = "" if address else "none"
    elif requested == "coco" or (not requested and is_imagenet(address)):
        return _coco_path(cfg, job, is_required=bool(requested)) or resolve_weights(address, job.weights_folders)
    elif requested == "imagenet":
        address = imagenet_weights(cfg)
        if not address:
            raise ConfigError(_NOT_PUBLISHED.format("imagenet"))
    if requested != "none":
        return resolve_weights(address, job.weights_folders)
    reason = "of pretrained: none" if address else "MODEL.WEIGHTS is empty"
    logger.info("training from random weights, because %s", reason)
    if cfg["MODEL.BACKBONE.FREEZE_AT"] > 0 or cfg["MODEL.RESNETS.NORM"] == "FrozenBN":
        logger.warning(
            "random weights that MODEL.BACKBONE.FREEZE_AT %s and MODEL.RESNETS.NORM %s keep from learning; add"
            " 'MODEL.BACKBONE.FREEZE_AT 0 MODEL.RESNETS.NORM GN' to args_options",
            cfg["MODEL.BACKBONE.FREEZE_AT"], cfg["MODEL.RESNETS.NORM"],
        )  # fmt: skip
    return None


def _weights_address(cfg: EngineConfig, job: TrainJob) -> str:
    """Return MODEL.WEIGHTS, which a packed config.yaml gives as the name of a file next to it."""
    address = str(cfg["MODEL.WEIGHTS"])
    near = job.config_file.parent / address
    is_near = "MODEL.WEIGHTS" not in job.overrides and bool(address) and "://" not in address and is_file(near)
    return str(near) if is_near else address


def _coco_path(cfg: EngineConfig, job: TrainJob, *, is_required: bool) -> Path | None:
    """The COCO weights of this network: a file of the folders, else a download; None where neither is to be had."""
    addresses = coco_weights(cfg)
    if is_required and not addresses:
        raise ConfigError(_NOT_PUBLISHED.format("coco"))
    # a file that is there comes before a better one that is not: most machines of the platform have no way out
    for address in addresses:
        path = find_weights(address, job.weights_folders)
        if path is not None:
            return path
    try:
        return resolve_weights(addresses[0], job.weights_folders) if addresses else None
    except NetworkError as error:
        if is_required:
            raise
        logger.warning("starting from the weights of ImageNet, not of COCO, which would be better: %s", error)
        return None
