"""What a task leaves in /out, in a form in which two runs of it can be compared byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ymir_detectron2.contract.model_package import STATISTICS_NAME

_EXTRAS = ("models/attachments", "tensorboard", "report.html")
"""Plots, curves and pages, which a full disk may cost: a warning, but no result."""
_FOR_PEOPLE = (
    "training-history.json", "models/attachments/evaluation/evaluation.json", "mining-explanations.json",
    "mining-parts.tsv", "label-review.tsv",
    f"models/{STATISTICS_NAME}",
)  # fmt: skip
"""A full disk may cost these as well; after any other fault they are as without it."""


def read_results(out_dir: Path) -> dict[str, bytes]:
    """Return the contents of all results that are there, by their paths below /out.

    Of result.yaml without the times at which the stages were made, and without the plots, see `_EXTRAS`. Not the
    summaries, which hold speeds, nor what people look at: monitor.txt, logs, TensorBoard.
    """
    names = ("result.tsv", "infer-result.json")
    results = {name: (out_dir / name).read_bytes() for name in names if (out_dir / name).is_file()}
    models = out_dir / "models"
    for file in sorted([*models.glob("*.pth"), *models.glob("*.yaml"), *models.glob("*/config.yaml")]):
        results[str(file.relative_to(out_dir))] = file.read_bytes()
    listed = results.get("models/result.yaml")
    if listed is not None:
        results["models/result.yaml"] = yaml.safe_dump(_without_times(yaml.safe_load(listed))).encode()
    return results


def read_for_people(out_dir: Path) -> dict[str, bytes]:
    """Return the contents of the files from which pages about a training are made, by their paths below /out."""
    return {name: (out_dir / name).read_bytes() for name in _FOR_PEOPLE if (out_dir / name).is_file()}


def _without_times(result: Any) -> Any:
    stages = {
        name: {
            **{key: value for key, value in stage.items() if key != "timestamp"},
            "files": [file for file in stage["files"] if file != STATISTICS_NAME],
        }
        for name, stage in result["model_stages"].items()
    }
    return {**{key: value for key, value in result.items() if key != "attachments"}, "model_stages": stages}


def file_names(out_dir: Path) -> set[str]:
    """Return the paths below /out of all files but the extras."""
    files = (path.relative_to(out_dir) for path in out_dir.rglob("*") if not path.is_dir())
    extras = (*_EXTRAS, *_FOR_PEOPLE)
    return {str(file) for file in files if not str(file).startswith(extras) and file.name != STATISTICS_NAME}
