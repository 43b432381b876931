"""`predict MODEL IMAGES`: the boxes of images, in RUN/out/infer-result.json."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from ..errors import ConfigError
from .arguments import add_run_options, config_of
from .main import command_line

if TYPE_CHECKING:  # with PyYAML and the settings, which `--help` need not wait for
    from .task_run import TaskKind

EXAMPLES = """examples:
  ymir-detectron2 predict runs/train photographs
  ymir-detectron2 predict model.tar a.jpg b.jpg --threshold 0.4 --out runs/two
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    add_prediction_options(parser, command="predict")
    parser.set_defaults(run=run)


def add_prediction_options(parser: argparse.ArgumentParser, *, command: str) -> None:
    """Add model, images and what predict and mine have in common."""
    parser.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL", help="a run, its out/models, weights, or a model tar of YMIR"
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGES", help="folders, images, lists of paths or COCO JSON files"
    )
    add_run_options(parser, command=command)
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="of boxes that are kept (conf_threshold: 0.2)")
    parser.add_argument("--classes", metavar="a,b,c", help="of a model that does not know its own")


def run(options: argparse.Namespace) -> int:
    """Predict, and print how many boxes there are and where."""
    from ..config.prediction_settings import InferSettings
    from .task_run import TaskKind

    kind = TaskKind("predict", "infer", closing_rows, next_steps)
    return run_prediction(options, kind, config_of(options, InferSettings))


def run_prediction(options: argparse.Namespace, kind: TaskKind, config: Mapping[str, Any]) -> int:
    """Run a task on the images that the options name, with these keys of config.yaml.

    Raises:
        ConfigError: no model or no images, or both where a run goes on that has them.
    """
    from .task_run import run_command

    if options.resume and options.model:
        raise ConfigError("--resume goes on with the images and the model of the run; leave MODEL and IMAGES out")
    if not options.resume and not options.images:
        raise ConfigError("give MODEL and IMAGES: a run, and a folder of images for example")
    model = [options.model] if options.model else None
    return run_command(options, kind, config, model=model, candidates=options.images)


def closing_rows(run: Path) -> Sequence[tuple[str, str]]:
    """Return how many images and boxes there are, the speed, and the place of the result."""
    from ..results.task_output import read_json_mapping

    summary_file = run / "out" / "infer-summary.json"
    summary = read_json_mapping(summary_file) or {}
    return [
        ("images", f"{summary.get('images')}, {summary.get('images_with_boxes')} of them with boxes"),
        ("boxes", str(summary.get("boxes") or "none: a lower --threshold finds more")),
        *speed(summary_file),
        ("boxes in", str(run / "out" / "infer-result.json")),
    ]


def speed(summary_file: Path) -> Sequence[tuple[str, str]]:
    """Return images per second; nothing where none was left to predict."""
    from ..results.task_output import read_json_mapping

    images_per_s = (read_json_mapping(summary_file) or {}).get("images_per_second")
    return [("images/s", f"{images_per_s:.1f}")] if images_per_s else []


def next_steps(run: Path) -> Sequence[str]:
    """Return what predictions are for."""
    return [f"{command_line('convert', str(run), '--to', 'voc')}  (or coco, yolo, labelstudio)"]
