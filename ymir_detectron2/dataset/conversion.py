"""Conversion of the training and validation set of a task to COCO JSON, once per task.

    /out/dataset/train.json  /out/dataset/val.json  /out/dataset-report.json
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from ..atomic_file import atomic_write
from ..contract.data_issues import DataIssues
from ..contract.index_file import read_index
from ..contract.task import Task
from ..errors import DatasetError
from .coco_json import write_coco_json
from .records import read_records
from .report import SetSummary

logger = logging.getLogger(__name__)

_MOST_NAMED = 5  # classes in one line of the log


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
    report = {
        "training": _convert_set(task, task.train_index, "training", files.train),
        "validation": _convert_set(task, task.val_index, "validation", files.val),
    }
    if reports:
        _write_report(task, report)
    return files


def report_anchors(task: Task, shares: Mapping[str, Any]) -> None:
    """Add to dataset-report.json how well the anchors of the network cover the training boxes."""
    report = json.loads(_report_file(task).read_text(encoding="utf-8"))
    report["training"]["anchors"] = dict(shares)
    _write_report(task, report)


def _write_report(task: Task, report: Mapping[str, Any]) -> None:
    with atomic_write(_report_file(task)) as file:
        json.dump(report, file, indent=2, ensure_ascii=False)


def _report_file(task: Task) -> Path:
    return task.output_dir / "dataset-report.json"


def _convert_set(task: Task, index_path: Path | None, role: str, json_path: Path) -> dict[str, Any]:
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
    return summary.as_dict(issues)


def _check_usable(summary: SetSummary, role: str, index_path: Path, issues: DataIssues) -> None:
    """Raise DatasetError for a set without a usable image or a training set without a box; warn of classes without."""
    reasons = "; ".join(issues.summary_lines()) or "every annotation file is empty"
    if not summary.images:
        raise DatasetError(f"{index_path}: none of its images can be used ({reasons}); check the mounted folders")
    # a validation set without boxes still lets the model be trained; its AP counts as 0
    if role == "training" and not summary.boxes:
        raise DatasetError(
            f"{index_path}: no usable box of any class in {summary.images} images ({reasons});"
            " choose a set that is labelled with these class names"
        )
    missing = [name for name, count in summary.boxes_per_class.items() if not count]
    if len(missing) == len(summary.boxes_per_class):
        logger.warning("%s set: no box at all, so AP cannot be measured and counts as 0", role)
    elif missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        effect = "learned" if role == "training" else "measured"
        named = ", ".join(missing[:_MOST_NAMED])
        logger.warning("%s set: no box of %s%s, which cannot be %s", role, named, more, effect)
