"""Inference: candidates in, infer-result.json out."""

from __future__ import annotations

from ..config.settings import InferSettings
from ..contract.infer_result import InferResultWriter, ResultBox
from ..inference.predict import PredictionHooks
from .prediction_task import PredictionTask
from .resumable_prediction import MakeRow, ResumablePrediction
from .script import TaskRun


def infer(run: TaskRun[InferSettings]) -> None:
    """Write the boxes of every candidate; an unreadable image has none."""
    task = PredictionTask(run)

    def start() -> tuple[PredictionHooks, MakeRow]:
        class_names = task.detector().class_names
        return PredictionHooks(), lambda entry, image: {"boxes": image.result_boxes(class_names)}

    prediction = ResumablePrediction(task, "infer", "inferred")
    prediction.run(start)
    if not run.is_main:
        return
    with InferResultWriter(run.task.infer_result, writes_stages=run.task.writes_stages) as writer:
        for number, entry, row in prediction.rows():
            if task.lists(number, entry):
                # the row of an unreadable image has an error in place of boxes
                writer.add(entry.asset, [ResultBox(*fields) for fields in row.get("boxes", ())])
    task.write_summary("infer-summary.json", prediction.figures)
