"""Export of the best stage as an ONNX model, for programs without torch: `export`, `export_size`, `export_opset`.

An export is packed only if onnxruntime and torch agree on some validation images; its failure costs one warning and
never the training.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.settings import TrainSettings
from ..contract.training_result import TrainingResult
from ..dataset.coco_json import load_coco_json
from ..errors import ConfigError
from ..training.job import TrainJob

if TYPE_CHECKING:  # torch, which a task imports only after it has checked its files
    from ..retinanet.model import RetinaNet

logger = logging.getLogger(__name__)

_RESERVE_BYTES = 1 << 20  # for what the platform reads, which is written after the export
_COMPARED_IMAGES = 4
_DIVISOR = 32  # the pyramid divides such sides: of the default size the graph need not pad anything
_MAX_PIXELS = 9_000_000  # an image of 4K; about 15 GiB of memory, without which the system kills the task


def require_exporter(settings: TrainSettings) -> None:
    """Check before a training of hours that its export would not fail for lack of a package or of memory.

    Raises:
        ConfigError: names what.
    """
    if not settings.export:
        return
    if math.prod(settings.export_hw) > _MAX_PIXELS:
        raise ConfigError(
            f"config.yaml: export_size: {settings.export_size} are more than {_MAX_PIXELS} pixels; choose less"
        )
    for name in ("onnx", "onnxruntime"):
        # find_spec, not import: nothing is loaded that the training does not need
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"config.yaml: export: onnx needs the Python package {name}, which is not installed here; use the image"
                " flavour 'current', or leave the key empty"
            )


def export_best_stage(job: TrainJob, result: TrainingResult) -> None:
    """Pack an ONNX model next to the weights of the best stage, if it predicts the same boxes; else warn once."""
    if not job.settings.export:
        return
    best = result.best()
    weights = next(name for name in best.files if name.endswith(".pth"))
    target = job.models_dir / f"{best.name}.onnx"
    if target.name in best.files:  # by an earlier run, which was stopped right after the export
        return
    try:
        problem = _export(job, job.models_dir / weights, target, best.name)
    except Exception as error:  # torch's exporter raises whatever it likes, and an extra must not cost a model
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if problem:
        logger.warning("export: %s is not packed: %s", target.name, problem)
        if target.exists():
            target.unlink()
    else:
        result.add_file(best.name, target.name)


def _export(job: TrainJob, weights: Path, target: Path, stage_name: str) -> str:
    """Write the model and compare it with torch; '' or what is wrong."""
    from ..export.onnx_check import compare, edges_of
    from ..export.onnx_model import OnnxRetinaNet, describe, write_onnx
    from ..retinanet.decoding import PostprocessConfig

    model = _load(weights, len(job.class_names))
    postprocess = PostprocessConfig.from_config(model.cfg)
    input_hw = _input_hw(job, model)
    metadata = {**describe(job.class_names, input_hw, postprocess, edges_of(model)), "stage": stage_name}
    write_onnx(target, OnnxRetinaNet(model, input_hw, postprocess), input_hw, job.settings.export_opset, metadata)
    # evenly over the validation set
    paths = load_coco_json(job.val_json).image_paths
    numbers = np.linspace(0, len(paths) - 1, min(_COMPARED_IMAGES, len(paths))).round().astype(int)
    agreement = compare(target, model, postprocess, input_hw, [Path(paths[number]) for number in numbers.tolist()])
    free = shutil.disk_usage(str(job.models_dir)).free
    if free < _RESERVE_BYTES:
        return f"{job.models_dir} has {free >> 10} KiB left next to it, and {_RESERVE_BYTES >> 10} are needed"
    if not agreement.images:
        return "no validation image can be read, so that nothing could be compared"
    if agreement.unmatched:
        return (
            f"of {agreement.boxes} boxes in {agreement.images} validation images, {agreement.unmatched} differ"
            " between torch and onnxruntime"
        )
    logger.info(
        "export: %s, input %d x %d: onnxruntime finds the same %d boxes as torch in %d validation images",
        target.name, *input_hw, agreement.boxes, agreement.images,
    )  # fmt: skip
    return ""


def _load(weights: Path, num_classes: int) -> RetinaNet:
    """Build the torch engine's network on the CPU, which reads the checkpoints of both engines.

    Raises:
        ConfigError: a network of detectron2 that this engine does not build.
    """
    from ..config.retinanet_config import load_config
    from ..retinanet.checkpoint import load_weights, read_checkpoint
    from ..retinanet.model import build_retinanet

    cfg = load_config(weights.with_name("config.yaml"))
    model = build_retinanet(cfg, num_classes)
    load_weights(model, read_checkpoint(weights).state_dict, str(weights))
    return model.eval()


def _input_hw(job: TrainJob, model: RetinaNet) -> tuple[int, int]:
    """Height and width of `export_size`, else the shorter and the longer side of inference, rounded up to _DIVISOR."""
    if job.settings.export_hw:
        height, width = job.settings.export_hw
        return height, width
    longer = model.cfg["INPUT.MAX_SIZE_TEST"]
    shorter = min(model.cfg["INPUT.MIN_SIZE_TEST"] or longer, longer)  # 0: images keep their size
    return -(-shorter // _DIVISOR) * _DIVISOR, -(-longer // _DIVISOR) * _DIVISOR
