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

from ..config.train_settings import TrainSettings
from ..contract.training_result import TrainingResult
from ..dataset.coco_json import load_coco_json
from ..errors import ConfigError, error_summary
from ..training.job import TrainJob

logger = logging.getLogger(__name__)

_RESERVE_BYTES = 1 << 20  # for what the platform reads, which is written after the export
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
        problem = error_summary(error)[:500]
    if problem:
        logger.warning("export: %s is not packed: %s", target.name, problem)
        if target.exists():
            target.unlink()
    else:
        result.add_file(best.name, target.name)


def _export(job: TrainJob, weights: Path, target: Path, stage_name: str) -> str:
    """Write the model and compare it with torch on validation images; '' or what is wrong."""
    from ..export.onnx_export import OnnxRequest, export_onnx

    images = [Path(path) for path in load_coco_json(job.val_json).image_paths]
    request = OnnxRequest(
        weights, weights.with_name("config.yaml"), job.class_names, stage_name, job.settings.export_hw,
        job.settings.export_opset, images,
    )  # fmt: skip
    problem = export_onnx(request, target)
    free = shutil.disk_usage(str(job.models_dir)).free
    if not problem and free < _RESERVE_BYTES:
        return f"{job.models_dir} has {free >> 10} KiB left next to it, and {_RESERVE_BYTES >> 10} are needed"
    return problem
