"""The best stage of a training in another form, for programs that know no torch: the key `export`."""

from __future__ import annotations

import importlib.util
import logging
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..contract.training_result import TrainingResult
from ..dataset.coco_json import load_coco_json
from ..engines.base import TrainJob
from ..errors import ConfigError
from ..settings import TrainSettings

if TYPE_CHECKING:
    from ..retinanet.model import RetinaNet

logger = logging.getLogger(__name__)

_ROOM_TO_LEAVE = 1 << 20  # bytes
_PICTURES = 4  # that both forms have to agree on
_STEP = 32  # sides that the pyramid of a RetinaNet divides
_MOST_PIXELS = 9_000_000  # a picture of 4K; about 15 GiB of memory, without which the system kills the task


def require_exporter(settings: TrainSettings) -> None:
    """Say before a training of hours that its end would lack a package, or memory.

    Raises:
        ConfigError: names what.
    """
    if not settings.export:
        return
    if math.prod(settings.export_hw) > _MOST_PIXELS:
        raise ConfigError(
            f"config.yaml: export_size: {settings.export_size} are more than {_MOST_PIXELS} pixels; choose less"
        )
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"config.yaml: export: onnx needs the Python package {name}, which is not installed here; use the image"
                " flavour 'current', or leave the key empty"
            )


def export_best_stage(job: TrainJob, result: TrainingResult) -> None:
    """Pack an ONNX model beside the weights of the best stage, if it finds the same boxes. A failure is one warning."""
    if not job.settings.export:
        return
    best = result.best()
    weights = next(name for name in best.files if name.endswith(".pth"))
    target = job.models_dir / f"{best.name}.onnx"
    if target.name in best.files:  # by an earlier start, which was stopped right behind it
        return
    try:
        finding = _export(job, job.models_dir / weights, target, best.name)
    except Exception as error:  # torch's exporter has no type of its own, and an extra must not cost a model
        finding = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if finding:
        logger.warning("export: %s is not packed: %s", target.name, finding)
        if target.exists():
            target.unlink()
    else:
        result.add_file(best.name, target.name)


def _export(job: TrainJob, weights: Path, target: Path, stage_name: str) -> str:
    """Write and compare; '' or what is wrong."""
    from ..export.onnx_check import compare, edges_of
    from ..export.onnx_model import OnnxRetinaNet, describe, write_onnx
    from ..retinanet.decoding import rules_of

    model = _load(job, weights)
    rules = rules_of(model.cfg)
    input_hw = _input_hw(job, model)
    metadata = {**describe(job.class_names, input_hw, rules, edges_of(model)), "stage": stage_name}
    write_onnx(target, OnnxRetinaNet(model, input_hw, rules), input_hw, job.settings.export_opset, metadata)
    agreement = compare(target, model, rules, input_hw, _some_pictures(job))
    free = shutil.disk_usage(str(job.models_dir)).free
    if free < _ROOM_TO_LEAVE:  # what the platform reads is still written after this
        return f"{job.models_dir} has {free >> 10} KiB left beside it, and {_ROOM_TO_LEAVE >> 10} are needed"
    if not agreement.pictures:
        return "no validation picture can be read, so that nothing could be compared"
    if agreement.unmatched:
        return (
            f"of {agreement.boxes} boxes in {agreement.pictures} validation pictures, {agreement.unmatched} differ"
            " between torch and onnxruntime"
        )
    logger.info(
        "export: %s, input %d x %d: onnxruntime finds the same %d boxes as torch in %d validation pictures",
        target.name, *input_hw, agreement.boxes, agreement.pictures,
    )  # fmt: skip
    return ""


def _load(job: TrainJob, weights: Path) -> RetinaNet:
    """The network of a stage on the CPU; the torch engine's, which reads those of both.

    Raises:
        ConfigError: it is none that this engine builds.
    """
    from ..retinanet.checkpoint import load_weights, read_checkpoint
    from ..retinanet.config import load_config
    from ..retinanet.model import build_retinanet

    cfg = load_config(weights.with_name("config.yaml"))
    model = build_retinanet(cfg, len(job.class_names))
    load_weights(model, read_checkpoint(weights).state_dict, str(weights))
    return model.eval()


def _input_hw(job: TrainJob, model: RetinaNet) -> tuple[int, int]:
    """As the form says, else the shorter and the longer side of inference, rounded up."""
    if job.settings.export_hw:
        height, width = job.settings.export_hw
        return height, width
    longer = model.cfg["INPUT.MAX_SIZE_TEST"]
    shorter = min(model.cfg["INPUT.MIN_SIZE_TEST"] or longer, longer)
    return -(-shorter // _STEP) * _STEP, -(-longer // _STEP) * _STEP


def _some_pictures(job: TrainJob) -> list[Path]:
    """Evenly out of the validation set."""
    paths = load_coco_json(job.val_json).image_paths
    numbers = np.linspace(0, len(paths) - 1, min(_PICTURES, len(paths))).round().astype(int)
    return [Path(paths[number]) for number in numbers.tolist()]
