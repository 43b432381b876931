"""Models as packages that YMIR 2.0.0 and later import on the page "Models": published detectors, and trained ones.

    coco-R-50-3x.tar    ymir-info.yaml                                executor_config.class_names, stages
                        retinanet_R_50_FPN_3x/model_final_5bd44e.pkl  the published file, unchanged
                        retinanet_R_50_FPN_3x/config.yaml             its network

A site without network starts from such a file: mining, inference and training take an
imported model as one that was trained there.
"""

from __future__ import annotations

import io
import logging
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Sequence

import yaml

from ..atomic_file import atomic_write
from ..config.packed_config import packed_yaml
from ..contract.import_limit import IMPORT_LIMIT_BYTES, tar_bytes
from ..contract.model_package import WEIGHT_SUFFIXES
from ..errors import ConfigError
from ..retinanet.checkpoint import read_checkpoint
from .packed_model import INFO_FILE, PackedStage, package_info
from .published_weights import COCO_CLASSES, PublishedWeights
from .releases import find_release

logger = logging.getLogger(__name__)

_NEWEST = "2.5.0"  # its package version, 2.0.0, is that of all releases that import models


def write_import_package(weights: PublishedWeights, file: Path, folder: Path) -> Path:
    """Write a published detector as `<name>.tar` into a folder; the same file gives the same bytes.

    Raises:
        ConfigError: these are not the weights of a RetinaNet: a backbone detects nothing, and other detectors need
            detectron2 for their configuration.
        StorageError: the folder cannot be written, or its disk is full.
    """
    if weights.box_ap is None:
        raise ConfigError(
            f"{weights.name}: is not a RetinaNet with classes, and only these are packed as models of YMIR;"
            " put the file into /weights or the folder of YMIR_WEIGHTS_DIR"
        )
    with tempfile.TemporaryDirectory() as made:
        config = Path(made) / "config.yaml"
        config.write_text(packed_yaml(weights.read_config(), file.name), encoding="utf-8")
        stage = PackedStage(
            # the names of the zoo's configs: retinanet_R_50_FPN_3x
            Path(weights.config).stem, ((file.name, file), (config.name, config)), weights.box_ap,
            int(file.stat().st_mtime), {"class_names": list(COCO_CLASSES)}, file.parent,
        )  # fmt: skip
        return write_model_package([stage], folder / f"{weights.name}.tar")


def write_model_package(stages: Sequence[PackedStage], target: Path, class_names: Sequence[str] = ()) -> Path:
    """Write stages of one training as a tar, as many as YMIR imports in one file; the log says which are left out.

    Args:
        stages: the best one first; the last ones are left out first.
        target: the file to write.
        class_names: of a model that does not know its own.

    Raises:
        ConfigError: the first stage alone is too large, or its classes are not known.
        StorageError: the file cannot be written, or the disk is full.
    """
    kept = [_with_classes(stage, class_names) for stage in _stages_that_fit(stages, target)]
    info = package_info(kept, find_release(_NEWEST), class_names)
    content = yaml.safe_dump(info, sort_keys=False, allow_unicode=True).encode("utf-8")
    # not compressed: weights are as random as numbers get, and the platform packs them once more
    with atomic_write(target, "wb") as output, tarfile.open(fileobj=output, mode="w") as archive:
        archive.addfile(_member(INFO_FILE, len(content), kept[0].timestamp), io.BytesIO(content))
        for stage in kept:
            for name, file in stage.files:
                with file.open("rb") as source:
                    member = _member(f"{stage.name}/{name}", file.stat().st_size, stage.timestamp)
                    archive.addfile(member, source)
    return target


def _stages_that_fit(stages: Sequence[PackedStage], target: Path) -> Sequence[PackedStage]:
    """Return as many of the first stages as YMIR imports in one file.

    Raises:
        ConfigError: not even the first one.
    """
    sizes: list[int] = []
    for count, stage in enumerate(stages):
        sizes += [file.stat().st_size for _, file in stage.files]
        if tar_bytes(sizes) < IMPORT_LIMIT_BYTES:
            continue
        if not count:
            raise ConfigError(
                f"{target}: the files of {stage.name} have {sum(sizes) // 1_000_000} MB, and YMIR imports a file of"
                " less than 1,024 MB; take a smaller network, or the weights without their ONNX export"
            )
        left_out = ", ".join(stage.name for stage in stages[count:])
        logger.info("%s: without %s, since YMIR imports a file of less than 1,024 MB", target, left_out)
        return stages[:count]
    return stages


def _with_classes(stage: PackedStage, class_names: Sequence[str]) -> PackedStage:
    """Complete what only a training's list has: class names and a date.

    Raises:
        ConfigError: nobody knows the class names, without which YMIR has no use for a model.
    """
    weights = [file for name, file in stage.files if Path(name).suffix in WEIGHT_SUFFIXES]
    if not weights:
        raise ConfigError(f"{stage.folder}: stage {stage.name} has no .pth or .pkl file; give a complete model")
    names = stage.class_names or list(class_names) or read_checkpoint(weights[0]).metadata.get("class_names") or []
    if not names:
        raise ConfigError(f"{weights[0]}: tells no class names; give --classes a,b,c in the order of the training")
    timestamp = stage.timestamp or int(weights[0].stat().st_mtime)
    config = {**stage.executor_config, "class_names": list(names)}
    return replace(stage, timestamp=timestamp, executor_config=config)


def _member(name: str, size: int, timestamp: int) -> tarfile.TarInfo:
    """A file that belongs to root and that everybody may read, whoever packs it."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, timestamp, 0o644
    return member
