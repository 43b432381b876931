"""report.html of a task: one section for each kind of result that its output folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Sequence

from ..errors import ConfigError
from .label_review_page import label_review_section
from .mining_page import mining_section
from .page import Section, write_page
from .prediction_page import prediction_section
from .task_output import TaskOutput, find_task_outputs
from .training_page import training_section

BUILDERS: Sequence[Callable[[TaskOutput], Section | None]] = (
    training_section, label_review_section, mining_section, prediction_section,
)  # fmt: skip
"""In the order of the page; None where the folder holds nothing of the kind."""


def write_task_page(output: TaskOutput) -> Path:
    """Write report.html into the output folder of a task, and return its path.

    Raises:
        ConfigError: the folder holds no result yet.
        DatasetError: a result is damaged.
        StorageError: the file system refused.
    """
    sections = [section for section in (build(output) for build in BUILDERS) if section is not None]
    if not sections:
        raise ConfigError(f"{output.out_dir}: holds no result yet; let the task come to its end first")
    title = " and ".join(section.title for section in sections).capitalize()
    write_page(output.page, title, _subtitle(output), sections)
    return output.page


def write_task_pages(folder: Path) -> list[Path]:
    """Write the pages of the tasks that a person means by a folder, see `find_task_outputs`; return their paths.

    Of several tasks, those without a result are left out.

    Raises:
        ConfigError: no such folder, no task in it, or none with a result.
        DatasetError, StorageError: as `write_task_page`.
    """
    outputs = find_task_outputs(folder)
    with_result = [output for output in outputs if output.has_result] or outputs
    return [write_task_page(output) for output in with_result]


def _subtitle(output: TaskOutput) -> str:
    return f"Task {output.task.task_id}" if output.task is not None and output.task.task_id else ""
