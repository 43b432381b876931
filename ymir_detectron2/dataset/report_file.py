"""dataset-report.json: what the sets of a training hold, and the warnings that a person has to read.

    {"training": {...}, "validation": {...}, "warnings": ["class 'cat' has 3 boxes in the training set; ..."]}

The warnings stand last, where the file ends, and are logged again when the training ends: those of a set are else
thousands of lines above.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Collection, Mapping, Sequence

from ..atomic_file import atomic_write
from ..contract.data_issues import UNREADABLE_PIXELS, DataIssues
from ..contract.task import Task

logger = logging.getLogger(__name__)

_WARNINGS = "warnings"


def write_report(task: Task, sets: Mapping[str, Any], warnings: Sequence[str] = ()) -> None:
    """Write the report of both sets over that of an earlier training.

    Args:
        warnings: logged already.

    Raises:
        StorageError: the file system refused.
    """
    _write(task, {**sets, _WARNINGS: list(warnings)})


def report_anchors(task: Task, shares: Mapping[str, Any]) -> None:
    """Add how well the anchors of the network cover the training boxes."""
    report = _read(task)
    report["training"]["anchors"] = dict(shares)
    _write(task, report)


def report_unreadable(task: Task, role: str, sentences: Collection[str]) -> None:
    """Log and add the images whose pixels cannot be decoded; the conversion has read only their headers.

    Args:
        role: "training" or "validation".
        sentences: why, one for each image found so far, so that each counts once however often it was drawn.
    """
    issues = DataIssues()
    for sentence in sorted(sentences):
        issues.add(UNREADABLE_PIXELS, sentence)
    report = _read(task)
    findings = report[role]["findings"]
    if findings.get(UNREADABLE_PIXELS) != issues.as_dict()[UNREADABLE_PIXELS]:
        logger.warning("%s set: %s", role, issues.summary_lines()[0])
        findings.update(issues.as_dict())
        _write(task, report)


def add_warning(task: Task, sentence: str) -> None:
    """Log a warning and add it to the report; one that is there already is left out."""
    report = _read(task)
    if sentence not in report[_WARNINGS]:
        logger.warning("%s", sentence)
        report[_WARNINGS].append(sentence)
        _write(task, report)


def repeat_warnings(task: Task) -> None:
    """Log all warnings of the training again, at its end."""
    for sentence in _read(task)[_WARNINGS]:
        logger.warning("%s", sentence)


def _read(task: Task) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(_path(task).read_text(encoding="utf-8"))
    return report


def _write(task: Task, report: Mapping[str, Any]) -> None:
    with atomic_write(_path(task)) as file:
        json.dump(report, file, indent=2, ensure_ascii=False)


def _path(task: Task) -> Path:
    return task.output_dir / "dataset-report.json"
