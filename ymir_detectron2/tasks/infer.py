"""Inference: candidates in, infer-result.json out."""

from __future__ import annotations

from ..contract.infer_result import InferResultWriter
from ..inference.stream import Wanted
from ..settings import InferSettings
from .candidates import REPEATED_NAME, Candidates
from .script import TaskRun
from .shared_look import SharedLook, as_result_boxes, shares_the_look


def infer(run: TaskRun[InferSettings]) -> None:
    """Write the boxes of every candidate; a picture that cannot be read has none."""
    candidates = Candidates(run)
    shared = SharedLook(candidates, "mining+infer" if shares_the_look(run) else "infer", "inferred")
    shared.look(Wanted, lambda entry, picture: {"boxes": candidates.boxes(picture)})
    if not run.is_main:
        return
    with InferResultWriter(run.task.infer_result, writes_stages=run.task.writes_stages) as writer:
        for number, entry, row in shared.rows():
            if candidates.index.repeats_a_name(number):
                candidates.findings.add(REPEATED_NAME, entry.asset)
            else:
                writer.add(entry.asset, as_result_boxes(row))
    candidates.write_summary("infer-summary.json", shared.figures)
