"""Inference: candidates in, infer-result.json out."""

from __future__ import annotations

from ..contract.infer_result import InferResultWriter, ResultBox
from ..inference.pixel_boxes import pixel_boxes
from ..inference.stream import DetectedPicture
from ..settings import InferSettings
from .looking import Candidates
from .script import TaskRun


def infer(run: TaskRun[InferSettings]) -> None:
    """Write the boxes of every candidate; a picture that cannot be read has none."""
    candidates = Candidates(run, "inferred")
    class_names = candidates.detector.class_names
    with InferResultWriter(run.task.infer_result, writes_stages=run.task.writes_stages) as writer:
        for window in candidates.windows():
            for entry, picture in window:
                if not writer.add(entry.asset, _boxes(picture, class_names)):
                    candidates.findings.add("file name that another candidate has too, left out", entry.asset)
    candidates.write_summary("infer-summary.json")


def _boxes(picture: DetectedPicture, class_names: tuple[str, ...]) -> list[ResultBox]:
    if picture.detections is None or picture.image_bgr is None:
        return []
    return list(pixel_boxes(picture.detections, picture.image_bgr.shape[:2], class_names))
