"""Inference: candidates in, infer-result.json out."""

from __future__ import annotations

from collections import Counter

from ..config.prediction_settings import InferSettings
from ..contract.infer_result import InferResultWriter, ResultBox
from ..inference.predict import PredictionHooks
from .closing import log_inference, log_page
from .prediction_task import PredictionTask
from .report_page import add_task_page
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
    boxes_per_class: Counter[str] = Counter()
    images = empty_images = 0
    with InferResultWriter(run.task.infer_result, writes_stages=run.task.writes_stages) as writer:
        for number, entry, row in prediction.rows():
            if task.lists(number, entry):
                # the row of an unreadable image has an error in place of boxes
                boxes = [ResultBox(*fields) for fields in row.get("boxes", ())]
                writer.add(entry.asset, boxes)
                boxes_per_class.update(box.class_name for box in boxes)
                images, empty_images = images + 1, empty_images + (not boxes)
    figures = {**prediction.figures, "boxes": sum(boxes_per_class.values()), "images_with_boxes": images - empty_images}
    task.write_summary("infer-summary.json", figures)
    page = add_task_page(run.task)
    log_inference(run.task.infer_result, boxes_per_class, images=images, empty_images=empty_images)
    log_page(page)
