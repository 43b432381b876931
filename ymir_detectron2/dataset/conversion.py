"""Conversion of the training and validation set of a task to COCO JSON, once per task.

    /out/dataset/train.json  /out/dataset/val.json  /out/dataset-report.json
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

from ..contract.data_issues import DataIssues
from ..contract.index_file import read_index
from ..contract.task import Task
from ..errors import DatasetError
from .coco_json import write_coco_json
from .overlap import images_in_both
from .records import read_records
from .report import SetSummary
from .report_file import write_report

logger = logging.getLogger(__name__)

_MOST_NAMED = 5  # classes in one line of the log
_FEW_BOXES = 10  # of a class: fewer are learned by heart, and one of them moves its AP by ten points


class CocoFiles(NamedTuple):
    """The converted sets."""

    train: Path
    val: Path


def coco_files(task: Task) -> CocoFiles:
    """Return the paths of the converted sets without converting them: all processes need them, one converts."""
    folder = task.output_dir / "dataset"
    return CocoFiles(folder / "train.json", folder / "val.json")


def convert_task(task: Task, *, reports: bool = True) -> CocoFiles:
    """Write both sets of a training task as COCO JSON.

    Args:
        reports: write dataset-report.json too, which replaces that of an earlier training.

    Raises:
        DatasetError: a set is missing, empty, or has nothing usable in it.
    """
    files = coco_files(task)
    training = _convert_set(task, task.train_index, "training", files.train)
    validation = _convert_set(task, task.val_index, "validation", files.val)
    warnings = [*training.warnings, *validation.warnings, *_overlap(training, validation)]
    for sentence in warnings:
        logger.warning("%s", sentence)
    if reports:
        write_report(task, {"training": training.report, "validation": validation.report}, warnings)
    return files


class _ConvertedSet(NamedTuple):
    report: dict[str, Any]
    warnings: list[str]
    image_paths: list[Path]


def _convert_set(task: Task, index_path: Path | None, role: str, json_path: Path) -> _ConvertedSet:
    start_s = time.monotonic()
    issues = DataIssues()
    entries = read_index(index_path, task.paths, issues, role)
    assert index_path is not None  # read_index raises for a task without one
    # the platform writes the lines in the order of a hash map, which changes from run to run
    entries.sort(key=lambda entry: entry.asset)
    summary = SetSummary(task.class_names)
    # one pass: records are counted while they are written, and none is kept
    write_coco_json(json_path, map(summary.add, read_records(entries, task.class_names, issues)), task.class_names)

    logger.info(
        "%s set: %d images (%d without boxes), %d boxes %s from %s in %.1f s",
        role, summary.images, summary.images_without_boxes, summary.boxes, summary.boxes_per_class, index_path,
        time.monotonic() - start_s,
    )  # fmt: skip
    for line in issues.summary_lines():
        logger.warning("%s set: %s", role, line)
    _check_usable(summary, role, index_path, issues)
    image_paths = [entry.image_path for entry in entries]
    return _ConvertedSet(summary.as_dict(issues), _class_warnings(summary, role), image_paths)


def _check_usable(summary: SetSummary, role: str, index_path: Path, issues: DataIssues) -> None:
    """Raise DatasetError for a set without a usable image or a training set without a box."""
    reasons = "; ".join(issues.summary_lines()) or "every annotation file is empty"
    if not summary.images:
        raise DatasetError(f"{index_path}: none of its images can be used ({reasons}); check the mounted folders")
    # a validation set without boxes still lets the model be trained; its AP counts as 0
    if role == "training" and not summary.boxes:
        raise DatasetError(
            f"{index_path}: no usable box of any class in {summary.images} images ({reasons});"
            " choose a set that is labelled with these class names"
        )


def _class_warnings(summary: SetSummary, role: str) -> list[str]:
    """Return a sentence about the classes without a box, and one about those with few."""
    counts = summary.boxes_per_class
    missing = [name for name, count in counts.items() if not count]
    if len(missing) == len(counts):
        return [f"{role} set: no box at all, so AP cannot be measured and counts as 0; choose a set with labels"]
    few = [f"{name} ({count})" for name, count in counts.items() if 0 < count < _FEW_BOXES]
    is_training = role == "training"
    sentences = []
    if missing:
        effect = "learned" if is_training else "measured"
        sentences.append(f"{role} set: no box of {_first_of(missing)}, which cannot be {effect}; label some")
    if few:
        effect = "will hardly be learned" if is_training else "has an AP that says little"
        sentences.append(f"{role} set: fewer than {_FEW_BOXES} boxes of {_first_of(few)}, which {effect}; label more")
    return sentences


def _first_of(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _overlap(training: _ConvertedSet, validation: _ConvertedSet) -> list[str]:
    shared = images_in_both(training.image_paths, validation.image_paths)
    if not shared:
        return []
    share = f"{len(shared)} of {len(validation.image_paths)} validation images"
    return [
        f"{share} are in the training set too, e.g. {shared[0]}:"
        " AP and the choice of the best stage are those of learned images; choose a validation set of other images"
    ]
