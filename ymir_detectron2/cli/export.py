"""`export MODEL --to FORMAT`: a model as one ONNX file, or as a package that YMIR imports."""

from __future__ import annotations

import argparse
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Sequence

from ..errors import ConfigError, ModelError, StorageError, printable

if TYPE_CHECKING:
    from ..tools.packed_model import PackedStage

EXAMPLES = """examples:
  ymir-detectron2 export runs/train --to onnx
  ymir-detectron2 export runs/train --to ymir --out bolts.tar
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a run, its out/models, weights, or a model tar of YMIR"
    )
    parser.add_argument("--to", required=True, choices=("onnx", "ymir"), help="format")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(<stage>.onnx or <stage>.tar in the current folder)")
    onnx = parser.add_argument_group("for onnx")
    onnx.add_argument("--size", default="", metavar="HxW", help="of its input: 800x1344; default: as in inference")
    onnx.add_argument("--opset", type=int, default=0, metavar="N", help="11 to 20; default: the one that is tested")
    onnx.add_argument(
        "--images", type=Path, metavar="IMAGES",
        help="on which the file is compared with torch; default: the validation images of a run",
    )  # fmt: skip
    parser.add_argument(
        "--all-stages", action="store_true",
        help="for ymir: as many stages of a run as YMIR imports, the best and the latest ones; default: the best one",
    )  # fmt: skip
    parser.add_argument("--classes", metavar="a,b,c", help="of a model that does not know its own")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file, and print its path.

    Raises:
        ExecutorError: there is no model, or it cannot be exported.
    """
    from ..tools.model_argument import open_model

    with _told_what_is_compared(), open_model(options.model) as stage:
        target = options.out or Path(f"{stage.name}.{'tar' if options.to == 'ymir' else 'onnx'}")
        write = _write_onnx if options.to == "onnx" else _write_package
        written = write(options, stage, target)
    print(printable(str(written)))
    return 0


@contextlib.contextmanager
def _told_what_is_compared() -> Iterator[None]:
    """Print messages of level INFO within the block."""
    package_logger = logging.getLogger("ymir_detectron2")
    level = package_logger.level
    package_logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        package_logger.setLevel(level)


def _write_onnx(options: argparse.Namespace, stage: PackedStage, target: Path) -> Path:
    from ..config.read_settings import read_settings
    from ..config.train_settings import TrainSettings
    from ..contract.model_package import CONFIG_SUFFIXES, WEIGHT_SUFFIXES
    from ..export.onnx_export import OnnxRequest, export_onnx
    from ..tasks.export import require_exporter
    from ..tools.task_source import listed_classes

    form = {"export": "onnx", "export_size": options.size, "export_opset": options.opset}
    settings = read_settings(TrainSettings, form)
    require_exporter(settings)
    request = OnnxRequest(
        _only(stage, WEIGHT_SUFFIXES), _only(stage, CONFIG_SUFFIXES), listed_classes(options) or stage.class_names,
        stage.name, settings.export_hw, settings.export_opset, _compared_images(options, stage),
    )  # fmt: skip
    if not request.images:
        logging.getLogger(__name__).warning("no images: the file is not compared with torch; give --images for that")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        problem = export_onnx(request, target)
    except OSError as error:
        raise StorageError.from_os_error(target, error) from error
    if problem:
        target.unlink()
        raise ModelError(f"{options.model}: cannot be exported: {problem}")
    return target


def _only(stage: PackedStage, suffixes: Sequence[str]) -> Path:
    for name, file in stage.files:
        if Path(name).suffix in suffixes:
            return file
    raise ModelError(f"{stage.folder}: stage {stage.name} has no {' or '.join(suffixes)} file; give a complete model")


def _compared_images(options: argparse.Namespace, stage: PackedStage) -> Sequence[Path]:
    """Return the images that the user gives, else the validation images of the run that a model belongs to."""
    from ..dataset.coco_json import load_coco_json
    from ..sources.candidate_files import find_candidates

    if options.images is not None:
        return find_candidates(options.images)
    val_json = stage.folder.parent / "dataset" / "val.json"
    paths = [Path(path) for path in load_coco_json(val_json).image_paths] if val_json.is_file() else []
    return [path for path in paths if path.is_file()]


def _write_package(options: argparse.Namespace, stage: PackedStage, target: Path) -> Path:
    from ..tools.model_import import write_model_package
    from ..tools.packed_model import RESULT_FILE, pack_stages
    from ..tools.task_source import listed_classes

    if options.all_stages and not (stage.folder / RESULT_FILE).is_file():
        raise ConfigError(f"{options.model}: has no {RESULT_FILE} that lists several stages; leave out --all-stages")
    stages = pack_stages(stage.folder / RESULT_FILE) if options.all_stages else [stage]
    return write_model_package(stages, target, listed_classes(options))
