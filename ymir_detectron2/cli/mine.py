"""`mine MODEL IMAGES`: images by what their labels would teach the model, in RUN/out/result.tsv, and their boxes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

from .arguments import config_of
from .predict import add_prediction_options, run_prediction, speed
from .predict import next_steps as steps_with_boxes

EXAMPLES = """examples:
  ymir-detectron2 mine runs/train unlabelled
  ymir-detectron2 mine runs/train unlabelled --set mining_algorithm=entropy diversity_distance=0.1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    add_prediction_options(parser, command="mine")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Score the images, and print which are worth labelling first."""
    from ..config.mining_algorithms import MINING_ALGORITHMS
    from ..config.prediction_settings import MiningSettings
    from ..config.read_settings import read_settings
    from .task_run import TaskKind

    config = config_of(options, MiningSettings)
    algorithm = MINING_ALGORITHMS.get(read_settings(MiningSettings, config).mining_algorithm)
    # boxes cost nothing where the network is run for the scores anyway, and are the pre-annotations of the best images
    task = "mining+infer" if algorithm is None or algorithm.needs_images else "mining"
    return run_prediction(options, TaskKind("mine", task, closing_rows, next_steps), config)


def closing_rows(run: Path) -> Sequence[tuple[str, str]]:
    """Return the first images with their scores and reasons, the speed, and the place of the result."""
    from ..results.first_rows import first_rows

    result = run / "out" / "result.tsv"
    best = [(f"{row.rank}.", f"{row.name}  {row.score:.4g}  {row.reason}".rstrip()) for row in first_rows(result)]
    return [*best, *speed(run / "out" / "mining-summary.json"), ("ranking in", str(result))]


def next_steps(run: Path) -> Sequence[str]:
    """Return what a ranking with boxes is for."""
    if not (run / "out" / "infer-result.json").is_file():
        return []
    return steps_with_boxes(run)
