"""The training and validation set of a task, converted once."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from ..atomic_file import atomic_write
from ..contract.findings import Findings
from ..contract.index_file import read_index
from ..contract.task import Task
from .coco_json import write_coco_json
from .records import read_records, require_usable
from .report import SetSummary

logger = logging.getLogger(__name__)

_MOST_NAMED = 5  # classes in one line


class CocoFiles(NamedTuple):
    """Where the converted sets lie."""

    train: Path
    val: Path


def coco_files(task: Task) -> CocoFiles:
    """The places below /out, known without converting anything: every process of a run can compute them."""
    folder = task.output_dir / "dataset"
    return CocoFiles(folder / "train.json", folder / "val.json")


def convert_task(task: Task) -> CocoFiles:
    """Write both sets of a training task as COCO JSON, and dataset-report.json beside them.

    Raises:
        DatasetError: a set is missing, empty, or holds nothing usable.
    """
    files = coco_files(task)
    report = {
        "training": _convert_set(task, task.train_index, "training", files.train),
        "validation": _convert_set(task, task.val_index, "validation", files.val),
    }
    _write_report(task, report)
    return files


def report_anchors(task: Task, shares: Mapping[str, Any]) -> None:
    """Add to dataset-report.json what the anchors of the network say to the training set."""
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
    findings = Findings()
    entries = read_index(index_path, task.paths, findings, role)
    # the platform's order is a hash map's and changes from run to run
    entries.sort(key=lambda entry: entry.asset)
    summary = SetSummary(task.class_names)
    records = map(summary.add, read_records(entries, task.class_names, findings))
    write_coco_json(json_path, records, task.class_names)

    report = summary.as_dict(findings)
    logger.info(
        "%s set: %d images (%d without boxes), %d boxes %s from %s in %.1f s",
        role, summary.images, summary.images_without_boxes, summary.boxes, report["boxes_per_class"], index_path,
        time.monotonic() - start_s,
    )  # fmt: skip
    for sentence in findings.sentences():
        logger.warning("%s set: %s", role, sentence)
    assert index_path is not None  # read_index has refused a task without one
    require_usable(summary.images, summary.boxes, index_path, findings, needs_boxes=role == "training")
    _warn_of_missing_boxes(role, report["boxes_per_class"])
    return report


def _warn_of_missing_boxes(role: str, boxes_per_class: Mapping[str, int]) -> None:
    missing = [name for name, count in boxes_per_class.items() if not count]
    if len(missing) == len(boxes_per_class):
        logger.warning("%s set: no box at all, so AP cannot be measured and counts as 0", role)
    elif missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        effect = "learned" if role == "training" else "measured"
        named = ", ".join(missing[:_MOST_NAMED])
        logger.warning("%s set: no box of %s%s, which cannot be %s", role, named, more, effect)
