"""`convert OUT --to FORMAT`: predictions as annotations, to be corrected in a labelling tool."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, printable

if TYPE_CHECKING:
    from ..annotation_export.predictions import Predictions
    from ..annotation_export.writer import DatasetFolder
    from ..results.task_output import TaskOutput

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  ymir-detectron2 convert runs/predict --to voc
  ymir-detectron2 convert runs/mine --to labelstudio --threshold 0.4 --out pre-annotations
"""
FORMATS = ("coco", "voc", "yolo", "labelstudio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    parser.add_argument("run_dir", type=Path, metavar="OUT", help="a run of predict or mine, or its out")
    parser.add_argument("--to", required=True, choices=FORMATS, help="format of the annotations")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="new folder (RUN/<format>)")
    parser.add_argument("--threshold", type=_score, default=0.0, metavar="SCORE", help="of boxes; default: all boxes")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="the images, if they are no more where they were")
    parser.add_argument("--no-images", action="store_true", help="write annotations only, no images next to them")
    parser.add_argument("--image-prefix", metavar="ADDRESS", help="for labelstudio: before the names of images")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the annotations, and print how many and where.

    Raises:
        ExecutorError: no predictions, no images, or the folder is in use.
    """
    from ..annotation_export.predictions import read_predictions
    from ..annotation_export.writer import DatasetFolder

    output = _output(options.run_dir)
    root = options.out or (output.out_dir if output.task is None else output.out_dir.parent) / options.to
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(f"{root}: is in use already; remove it, or choose another folder with --out")
    predictions = read_predictions(output, threshold=options.threshold, images_dir=options.images)
    for line in predictions.issues.summary_lines():
        logger.warning("%s", printable(line).replace("\n", "\\n"))
    source_dir = options.images or output.out_dir.parent
    folder = DatasetFolder(root, source_dir=source_dir, with_images=not options.no_images)
    written = _write(options, predictions, folder)
    boxes = sum(len(image.boxes) for image in predictions.images)
    print(printable(f"{boxes} boxes of {len(predictions.images)} images: {written}"))
    return 0


def _output(folder: Path) -> TaskOutput:
    """Return the one task of a folder."""
    from ..results.task_output import find_task_outputs

    outputs = find_task_outputs(folder)
    if len(outputs) > 1:
        names = ", ".join(str(output.out_dir) for output in outputs[:3])
        raise ConfigError(f"{folder}: holds several tasks ({names}); give one of them")
    return outputs[0]


def _write(options: argparse.Namespace, predictions: Predictions, folder: DatasetFolder) -> Path:
    from ..annotation_export.coco_writer import write_coco
    from ..annotation_export.label_studio_writer import LOCAL_FILES, write_label_studio
    from ..annotation_export.voc_writer import write_voc
    from ..annotation_export.yolo_writer import write_yolo

    if options.to == "labelstudio":
        prefix = LOCAL_FILES if options.image_prefix is None else options.image_prefix
        return write_label_studio(predictions, folder, prefix)
    return {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}[options.to](predictions, folder)


def _score(text: str) -> float:
    score = float(text)
    if not 0 <= score <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return score
