"""YMIR executor for RetinaNet with detectron2: training, mining and inference of object detectors.

Public for other programs: `load_model`, see docs/use.md; for those that use detectron2 `register` and `model_cfg`, see
docs/detectron2.md. Nothing is imported before one of them is called.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence, Union

if TYPE_CHECKING:
    from .api.loaded_model import Model

__version__ = "0.1.0"

_Path = Union[str, "os.PathLike[str]"]


def load_model(
    model: _Path | Sequence[_Path], *, device: str = "auto", engine: str = "auto", precision: str = "auto",
    image_size: int = 0, tile_size: int | str = 0, batch_size: int = 0,
) -> Model:  # fmt: skip
    """Load a trained model, to detect objects by its `predict`. Takes some seconds.

    Args:
        model: a run (its folder, `out` or `out/models`), a folder with one stage, a package of YMIR (a tar, or its
            unpacked folder), a weight file with its config.yaml next to it, or a list of the files of one stage. Of
            several stages the best one is loaded.
        device: `auto` is a GPU if there is one, else the CPU; `cpu`, `cuda`, `cuda:1`.
        engine: `auto` is detectron2 where it is installed, else torch; `torch`, `detectron2`.
        precision: `auto` is bf16 on a GPU that has it, else fp32; `fp32`, `bf16`, `fp16`.
        image_size: short edge in pixels at which the network gets images; 0: as in the training.
        tile_size: side in pixels of the tiles that larger images are cut into, for small objects; 0: as in the
            training; "none": no tiles.
        batch_size: images per forward pass; 0 chooses by the device.

    Raises:
        ExecutorError: one sentence says what is wrong with the model, an option or the device.
    """
    from .api import loaded_model

    return loaded_model.load_model(
        model, device, engine=engine, precision=precision, image_size=image_size, tile_size=tile_size,
        batch_size=batch_size,
    )  # fmt: skip


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
