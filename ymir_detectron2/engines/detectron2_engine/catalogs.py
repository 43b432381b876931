"""Sets and class names of a task in detectron2's catalogs, and a packed model as a configuration of detectron2.

For the engine, and for other programs that use detectron2: `register` and `model_cfg` are public in ymir_detectron2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from ...config.packed_config import TRAIN_SET, VAL_SET
from ...contract.task import load_task
from ...dataset.conversion import convert_task
from ...errors import ConfigError, ModelError
from ...retinanet.checkpoint import read_checkpoint
from .configuration import load_config


def register_sets(
    files: Sequence[Path], class_names: Sequence[str], names: Sequence[str] = (TRAIN_SET, VAL_SET)
) -> None:
    """Register the COCO files of both sets of a task under these names, in place of others that had them."""
    for name, path in zip(names, files):
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
        _forget_metadata(name)
        register_coco_instances(name, {"thing_classes": list(class_names)}, str(path), "")


def register(task_folder: Path, prefix: str) -> None:
    """See `ymir_detectron2.register`."""
    env_files = [task_folder, task_folder / "env.yaml", task_folder / "in" / "env.yaml"]
    env_file = next((path for path in env_files if path.is_file()), None)
    if env_file is None:
        raise ConfigError(f"{task_folder}: no task folder: it has neither in/env.yaml nor env.yaml; give one that has")
    task = load_task(env_file)
    if not task.class_names:
        raise ConfigError(f"{env_file.parent / 'config.yaml'}: class_names is missing or empty; list the classes")
    register_sets(convert_task(task, reports=False), task.class_names, (f"{prefix}_train", f"{prefix}_val"))


def model_cfg(path: Path) -> CfgNode:
    """See `ymir_detectron2.model_cfg`."""
    config_file = path / "config.yaml" if path.is_dir() else path
    if not config_file.is_file():
        raise ModelError(f"{config_file}: no such file; give the folder of a packed model or its config.yaml")
    cfg = load_config(config_file).node()
    cfg.defrost()
    weights = config_file.parent / cfg.MODEL.WEIGHTS
    names = read_checkpoint(weights).metadata.get("class_names")
    if not names:
        raise ModelError(f"{weights}: holds no class_names, so it is no model of this project; open it with detectron2")
    cfg.MODEL.WEIGHTS = str(weights.resolve())
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    for name in cfg.DATASETS.TEST:
        _set_class_names(name, list(map(str, names)))
    return cfg


def _set_class_names(name: str, class_names: list[str]) -> None:
    known = MetadataCatalog.get(name).get("thing_classes", class_names)
    if name not in DatasetCatalog.list():
        _forget_metadata(name)  # of another model
    elif known != class_names:
        raise ModelError(
            f"the model is about {', '.join(class_names)}, in this order, but the set {name} about {', '.join(known)};"
            " register the set of a task with these class names"
        )
    MetadataCatalog.get(name).thing_classes = class_names


def _forget_metadata(name: str) -> None:
    if name in MetadataCatalog.list():  # metadata cannot be changed, only removed
        MetadataCatalog.remove(name)
