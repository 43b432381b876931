"""The section of a training: how good the model is, at which threshold to use it, and where it errs."""

from __future__ import annotations

from typing import Any, Mapping

from ..contract.training_result import SCORE_THRESHOLD
from ..evaluation.evaluation_file import ClassEvaluation, EvaluationFile, Example
from ..evaluation.training_history import Curve, TrainingHistory
from ..progress import describe_duration
from .findings import read_findings
from .page import Section
from .task_output import TaskOutput
from .thumbnails import Thumbnail, make_thumbnails
from .training_files import TrainingFiles, read_training_files, validation_paths

_THUMBNAIL_BYTES = 4_000_000
_MOST_WARNINGS = 30
_SETS = ("training", "validation")


def training_section(output: TaskOutput) -> Section | None:
    """Return the section of a training; None where the folder has nothing of one."""
    files = read_training_files(output)
    if files is None:
        return None
    context = {
        "files": files, "evaluation": files.evaluation, "best_stage": files.best_stage,
        "best_ap50": next((stage.ap50 for stage in files.stages if stage.is_best), None),
        "best_ap": next((stage.ap for stage in files.stages if stage.is_best), None),
        "default_threshold": SCORE_THRESHOLD,
        "time": _time(files.summary),
        "tile_size": _number(files.summary.get("tile_size")),
        "warnings": _texts(files.dataset.get("warnings"))[:_MOST_WARNINGS],
        "sets": {name: _set_rows(files.dataset.get(name)) for name in _SETS},
        "findings": {name: read_findings(_mapping(files.dataset.get(name))) for name in _SETS},
    }  # fmt: skip
    return Section("training", "Training", "training.html.j2", context, _data(output, files), ("training.js",))


def _data(output: TaskOutput, files: TrainingFiles) -> Mapping[str, Any]:
    evaluation = files.evaluation
    return {
        "history": None if files.history is None else _history(files.history),
        "evaluation": None if evaluation is None else {
            "thresholds": evaluation.thresholds,
            "defaultLevel": evaluation.thresholds.index(evaluation.default.score_threshold),
            "bestLevel": evaluation.thresholds.index(evaluation.best_threshold),
            "hasBest": evaluation.best is not None,
            "classes": _classes(evaluation, files.dataset),
            "confusion": {
                "names": [evaluation.classes[index].name for index in evaluation.confusion.classes],
                "others": len(evaluation.classes) - len(evaluation.confusion.classes),
                "hasOthers": evaluation.confusion.has_others,
                "steps": evaluation.confusion.steps,
            },
            "examples": _examples(output, evaluation), "worst": evaluation.worst, "typical": evaluation.typical,
        },
    }  # fmt: skip


def _history(history: TrainingHistory) -> Mapping[str, Any]:
    groups = {"training": history.training_losses, "validation": history.validation_losses, "metrics": history.metrics}
    return {
        group: {name: _points(curve) for name, curve in curves.items()} for group, curves in groups.items()
    }


def _points(curve: Curve) -> list[tuple[int, float | None]]:
    return list(zip(curve.steps, curve.values))


def _classes(evaluation: EvaluationFile, dataset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    trained_on = _mapping(_mapping(dataset.get("training")).get("boxes_per_class"))
    return [
        {
            "name": each.name, "images": each.images, "boxes": each.boxes,
            "trainingBoxes": _number(trained_on.get(each.name)),
            "ap": each.ap, "ap50": each.ap50, "best": _best(each),
            "precision": each.precision, "tp": each.tp, "fp": each.fp,
        }
        for each in evaluation.classes
    ]  # fmt: skip


def _best(each: ClassEvaluation) -> Mapping[str, float] | None:
    if each.best is None:
        return None
    counts = each.best.counts
    return {"threshold": each.best.score_threshold, "precision": counts.precision, "recall": counts.recall}


def _examples(output: TaskOutput, evaluation: EvaluationFile) -> list[Mapping[str, Any]]:
    paths = validation_paths(output, {example.image for example in evaluation.examples})
    files = [paths.get(example.image) for example in evaluation.examples]
    thumbnails = make_thumbnails(files, budget_bytes=_THUMBNAIL_BYTES)
    return [_example(example, thumbnail) for example, thumbnail in zip(evaluation.examples, thumbnails)]


def _example(example: Example, thumbnail: Thumbnail) -> Mapping[str, Any]:
    """Return an image for the browser: boxes as x, y, width, height, class; detections with score and ground truth."""
    return {
        "name": example.image.rpartition("/")[2],
        "uri": thumbnail.uri,
        "width": thumbnail.width or example.width,
        "height": thumbnail.height or example.height,
        "gt": [[*_xywh(box), class_id] for box, class_id in zip(example.gt_boxes, example.gt_classes)],
        "pred": [
            [*_xywh(box), class_id, score, gt_index]
            for box, class_id, score, gt_index in zip(
                example.pred_boxes, example.pred_classes, example.pred_scores, example.pred_gt
            )
        ],
        "omitted": example.omitted,
    }


def _xywh(box_xyxy: tuple[float, float, float, float]) -> list[float]:
    x1, y1, x2, y2 = box_xyxy
    return [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)]


def _time(summary: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return how long the steps of a training took, and a text with their number; None if it is not known."""
    steps, seconds_per_step = (_number(summary.get(key)) for key in ("steps", "seconds_per_step"))
    if steps is None or seconds_per_step is None or steps < 0 or seconds_per_step < 0:
        return None
    device = summary.get("device")
    where = f", on {device}" if isinstance(device, str) and device else ""
    return describe_duration(steps * seconds_per_step), f"{steps:,} steps of {seconds_per_step:.3g} s{where}"


def _set_rows(summary: Any) -> list[tuple[str, str]]:
    """Return what dataset-report.json says of a set; entries of any other form are left out."""
    summary = _mapping(summary)
    rows = [(text, _number(summary.get(key))) for key, text in (
        ("images", "images"), ("images_without_boxes", "images without a box"), ("boxes", "boxes"),
    )]  # fmt: skip
    sizes = _mapping(summary.get("boxes_by_size"))
    limits = {"small": "below 32² pixels", "medium": "from there to 96² pixels", "large": "of 96² pixels and more"}
    rows += [(f"boxes {limits[size]}", _number(sizes.get(size))) for size in limits]
    spreads = [(f"{side} of the images", _spread(summary.get(f"image_{side}"))) for side in ("width", "height")]
    return [(text, f"{value:,}") for text, value in rows if value is not None] + [row for row in spreads if row[1]]


def _spread(values: Any) -> str:
    numbers = [_number(_mapping(values).get(key)) for key in ("min", "median", "max")]
    if None in numbers:
        return ""
    low, median, high = numbers
    return str(low) if low == high else f"{low} to {high}, median {median}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    """Return a number of an unchecked file; None for anything else."""
    return value if type(value) in (int, float) and abs(value) < 1e15 else None


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
