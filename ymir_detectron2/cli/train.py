"""`train DATA`: a labelled dataset to a trained detector in RUN/out/models."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..errors import ConfigError
from ..tools.source_options import add_source_options
from .arguments import add_run_options, config_of
from .main import command_line

EXAMPLES = """examples:
  ymir-detectron2 train datasets/bolts
  ymir-detectron2 train datasets/bolts/data.yaml --out runs/bolts --epochs 50 --set ema=0.999
"""
CPU_CONFIG = "configs/CPU/retinanet_R_18_FPN_small.yaml"
EPOCHS = 100
"""Without --epochs, on a GPU: the schedule of the config is for COCO, of which a small set would see thousands."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    add_source_options(parser)
    add_run_options(parser, command="train")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=float, metavar="N", help=f"default {EPOCHS} on a GPU")
    training.add_argument(
        "--model", nargs="+", type=Path, metavar="MODEL",
        help="start from this model: a run, its out/models, weights, or a model tar of YMIR",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, and print AP50, the best threshold and where the model is."""
    from ..config.train_settings import TrainSettings
    from .task_run import TaskKind, run_command

    config = config_of(options, TrainSettings)
    source = [options.source, options.voc, options.coco, options.yolo]
    if options.resume and (any(source) or options.model):
        raise ConfigError("--resume goes on with the images and the model of the run; leave DATA and --model out")
    choice = ""
    if not options.resume:
        config, choice = with_defaults(config, uses_gpu=_uses_gpu(options, config))
    kind = TaskKind("train", "train", closing_rows, next_steps)
    return run_command(options, kind, config, choice, model=None, pretrained=options.model)


def with_defaults(config: Mapping[str, Any], *, uses_gpu: bool) -> tuple[dict[str, Any], str]:
    """Return the config of a training with the network and the length that suit a person's own images.

    Args:
        config: what the user has chosen, which stays.
        uses_gpu: there is one, and the training uses it.

    Returns:
        The config, and what was chosen, for the terminal; '' if the user has chosen all of it.
    """
    chosen = dict(config)
    if not uses_gpu and not config.get("config_file"):
        chosen["config_file"] = CPU_CONFIG
        return chosen, (
            f"on the CPU: training the small network of {CPU_CONFIG}; another: --set config_file=FILE, for example"
            " COCO-Detection/retinanet_R_50_FPN_1x.yaml, which takes days without a GPU"
        )
    if uses_gpu and not config.get("config_file") and not config.get("max_epochs") and not config.get("max_iter"):
        chosen["max_epochs"] = EPOCHS
        return chosen, f"training for {EPOCHS} epochs; another number: --epochs N"
    return chosen, ""


def _uses_gpu(options: argparse.Namespace, config: Mapping[str, Any]) -> bool:
    if options.device or config.get("config_file"):
        return (options.device or "").strip().lower() != "cpu"
    # in a separate process: torch takes hundreds of megabytes, which this one would hold for the whole training
    question = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
    asked = subprocess.run([sys.executable, "-c", question], check=False, capture_output=True)  # noqa: S603
    return asked.returncode == 0


def closing_rows(run: Path) -> Sequence[tuple[str, str]]:
    """Return AP50, the best threshold, the duration of a step and the place of the model."""
    from ..evaluation.evaluation_file import read_evaluation
    from ..results.task_output import read_json_mapping

    summary = read_json_mapping(run / "out" / "train-summary.json") or {}
    rows = [
        ("AP50", f"{summary.get('ap50', 0):.3f}  (stage {summary.get('best_stage')})"),
        ("steps", f"{summary.get('steps')}, {summary.get('seconds_per_step', 0):.3f} s each"),
    ]
    evaluation = read_evaluation(run / "out" / "models")
    if evaluation is not None and evaluation.best is not None:
        rows.insert(1, ("best threshold", f"{evaluation.best.score_threshold:.2f}"))
    return [*rows, ("model", os.fspath(run / "out" / "models"))]


def next_steps(run: Path) -> Sequence[str]:
    """Return what a model is for."""
    return [command_line("predict", str(run), "IMAGES")]
