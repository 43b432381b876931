"""The page of a task, written when it ends."""

from __future__ import annotations

from pathlib import Path

from ..contract.task import Task
from .extras import extra


def add_task_page(task: Task) -> Path | None:
    """Write report.html into the output folder, and return where it is.

    Whatever goes wrong is one warning, and None: a page must not cost a result.
    """
    page = None
    with extra("the page of the results is left out"):
        # here: importing Jinja takes a tenth of a second, and whether it can be imported must not matter either
        from ..results.task_output import TaskOutput
        from ..results.task_page import write_task_page

        page = write_task_page(TaskOutput(task.output_dir, task))
    return page
