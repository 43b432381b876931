"""YMIR executor for RetinaNet with detectron2: training, mining and inference of object detectors.

Public for programs that use detectron2, see docs/detectron2.md: `register` and `model_cfg`. Nothing is imported before
one of them is called.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Union

__version__ = "0.1.0"

_Path = Union[str, "os.PathLike[str]"]


def register(task_folder: _Path, prefix: str = "ymir") -> None:
    """Register the sets of a training task in detectron2's catalogs, as `ymir_train` and `ymir_val`.

    Both are converted to COCO JSON first, into the `out/dataset` of the task, as a training does.

    Args:
        task_folder: with `in/env.yaml`, or /in itself with `env.yaml`.
        prefix: of the two names, where several tasks are to be registered.

    Raises:
        ExecutorError: no task folder, a set without usable images, or `out` cannot be written.
        ImportError: detectron2 is not installed.
    """
    from .engines.detectron2_engine import catalogs

    catalogs.register(Path(task_folder), prefix)


def model_cfg(path: _Path) -> Any:
    """Return detectron2's CfgNode of a packed model, wherever it lies, and register its class names.

    MODEL.WEIGHTS becomes an absolute path, MODEL.DEVICE the GPU where there is one, and the `thing_classes` of
    DATASETS.TEST are the classes of the model, in its order.

    Args:
        path: config.yaml of the model, or the folder with it.

    Raises:
        ExecutorError: files are missing, or a set of other classes is registered as DATASETS.TEST.
        ImportError: detectron2 is not installed.
    """
    from .engines.detectron2_engine import catalogs

    return catalogs.model_cfg(Path(path))
