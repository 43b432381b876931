"""A published detector as a model package that YMIR 2.0.0 and later import on the page "Models".

    coco-R-50-3x.tar     ymir-info.yaml           executor_config.class_names, stages, best_stage_name
                         model_final_5bd44e.pkl   the published file, unchanged
                         config.yaml              its network
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import yaml

from ..atomic_file import atomic_write
from ..config.packed_config import packed_yaml
from ..errors import ConfigError
from .packed_model import PackedStage, package_info
from .published_weights import COCO_CLASSES, PublishedWeights
from .releases import find_release

_NEWEST = "2.5.0"  # its package version, 2.0.0, is that of all releases that import models


def write_import_package(weights: PublishedWeights, file: Path, folder: Path) -> Path:
    """Write `<name>.tar` into a folder; the same file gives the same bytes.

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
    timestamp = int(file.stat().st_mtime)
    stage = PackedStage(
        # the names of the zoo's configs: retinanet_R_50_FPN_3x
        Path(weights.config).stem, ((file.name, file), ("config.yaml", file)), weights.box_ap, timestamp,
        {"class_names": list(COCO_CLASSES)}, file.parent,
    )  # fmt: skip
    texts = {
        "ymir-info.yaml": yaml.safe_dump(package_info(stage, find_release(_NEWEST), COCO_CLASSES), sort_keys=False),
        "config.yaml": packed_yaml(weights.read_config(), file.name),
    }
    target = folder / f"{weights.name}.tar"
    # not compressed: weights are as random as numbers get, and the platform packs them once more
    with atomic_write(target, "wb") as output, tarfile.open(fileobj=output, mode="w") as archive:
        for name, text in texts.items():
            content = text.encode()
            archive.addfile(_member(name, len(content), timestamp), io.BytesIO(content))
        with file.open("rb") as source:
            archive.addfile(_member(file.name, file.stat().st_size, timestamp), source)
    return target


def _member(name: str, size: int, timestamp: int) -> tarfile.TarInfo:
    """A file that belongs to root and that everybody may read, whoever packs it."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, timestamp, 0o644
    return member
