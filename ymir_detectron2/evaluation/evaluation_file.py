"""evaluation.json: what the page shows of the evaluation of a stage, in bounded size whatever the set holds.

    /out/models/attachments/evaluation/evaluation.json

It goes with the best stage, next to its plots, and is read back by the page of results, the end of the log and
train-summary.json. Others may have written it: whatever breaks the rules of the classes below is refused.

Letters: K classes, T score thresholds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Annotated

from .curves import RECALLS
from .matching import Counts, OperatingPoint
from .result_file import Count, Name, Part, Rate, parse_result_file

FORMAT = 1
SECTION, NAME = "evaluation", "evaluation.json"
"""Of the attachment of result.yaml."""
_MAX_BYTES = 64 << 20  # ten thousand classes need 12 MB
_MAX_CLASSES = 50_000
_MAX_BOXES = 2_000  # of an image; the writer stops far below
_MAX_LEVELS = 1_000

Pixels = Annotated[float, Field(ge=-1e9, le=1e9)]
Columns = Annotated[List[Count], Field(max_length=_MAX_LEVELS)]


class Point(Part):
    """Counts at one score threshold."""

    score_threshold: Rate
    tp: Count
    fp: Count
    fn: Count

    @classmethod
    def of(cls, point: OperatingPoint) -> Point:
        """Return a point of the metrics in the form of the file."""
        return cls(score_threshold=point.score_threshold, **point.counts._asdict())

    @property
    def counts(self) -> Counts:
        """With precision, recall and F1."""
        return Counts(self.tp, self.fp, self.fn)


class ClassEvaluation(Part):
    """Figures of one class."""

    name: Name
    images: Count
    """That hold an object of it."""
    boxes: Count
    """Ground truth."""
    ap: Optional[Rate]
    ap50: Optional[Rate]
    """Both None without a ground-truth box."""
    best: Optional[Point]
    """At the threshold with the highest F1 of this class; None without a true positive."""
    precision: Annotated[List[Rate], Field(max_length=_MAX_LEVELS)]
    """(101,) at the recalls 0, 0.01, ... 1; () without a ground-truth box."""
    tp: Columns
    """(T,) true positives that score above a threshold and not above the next one."""
    fp: Columns

    def at(self, level: int) -> Counts:
        """Count at a threshold, of which `level` is the index."""
        tp, fp = sum(self.tp[level:]), sum(self.fp[level:])
        return Counts(tp, fp, self.boxes - tp)


class Example(Part):
    """An image with its ground truth and its detections, best score first; both may be cut off."""

    image: Name
    """As the index file names it."""
    height: Count
    width: Count
    """Pixels of the upright image; 0 where they are not known."""
    gt_boxes: Annotated[List[Tuple[Pixels, Pixels, Pixels, Pixels]], Field(max_length=_MAX_BOXES)]
    """x1 y1 x2 y2."""
    gt_classes: Annotated[List[Count], Field(max_length=_MAX_BOXES)]
    pred_boxes: Annotated[List[Tuple[Pixels, Pixels, Pixels, Pixels]], Field(max_length=_MAX_BOXES)]
    pred_classes: Annotated[List[Count], Field(max_length=_MAX_BOXES)]
    pred_scores: Annotated[List[Rate], Field(max_length=_MAX_BOXES)]
    pred_gt: Annotated[List[int], Field(max_length=_MAX_BOXES)]
    """Index of the ground-truth box that a detection is matched to, at any threshold; -1: none."""
    omitted: Count
    """Boxes and detections that were cut off."""

    def require_consistent(self, num_classes: int) -> None:
        """Raise ValueError unless the columns belong together."""
        pred_lengths = {len(self.pred_boxes), len(self.pred_classes), len(self.pred_scores), len(self.pred_gt)}
        if len(self.gt_boxes) != len(self.gt_classes) or len(pred_lengths) > 1:
            raise ValueError("an image has columns of different lengths")
        if max((*self.gt_classes, *self.pred_classes), default=-1) >= num_classes:
            raise ValueError("a box has a class that is none")


class Confusion(Part):
    """Confusion matrices at all thresholds, as `confusion.ConfusionSteps`; the classes with few errors share a row."""

    classes: Annotated[List[Count], Field(max_length=100)]
    """Positions of the classes that have a row of their own."""
    has_others: bool
    """Whether one more row stands for all others. The last row and column are for no box."""
    steps: Annotated[List[Tuple[Count, Count, Count, int]], Field(max_length=1_000_000)]
    """Level, row, column, change."""

    @property
    def num_rows(self) -> int:
        """Rows and columns of the matrix, without the last ones."""
        return len(self.classes) + int(self.has_others)


class EvaluationFile(Part):
    """Content of evaluation.json."""

    format: int
    stage: Name
    step: Count
    images: Count
    """Evaluated; those that could not be decoded are not."""
    iou_threshold: Rate
    """Of `tp`, `fp`, `fn` and `precision`."""
    ap: Rate
    ap50: Rate
    ap75: Rate
    ar100: Rate
    ap_by_size: Dict[str, Optional[Rate]]
    """small, medium, large; None where the set has no such object."""
    default: Point
    """At the default `conf_threshold`."""
    best: Optional[Point]
    """At the threshold with the highest F1 over all classes; None without a true positive."""
    thresholds: Annotated[List[Rate], Field(min_length=1, max_length=_MAX_LEVELS)]
    """(T,) rising: 0, 0.01, ... 1, and those of `default` and `best`."""
    classes: Annotated[List[ClassEvaluation], Field(max_length=_MAX_CLASSES)]
    """In the order of `class_names`."""
    confusion: Confusion
    examples: Annotated[List[Example], Field(max_length=500)]
    worst: Annotated[List[Count], Field(max_length=500)]
    """Positions in `examples`: the images with the most errors at the best threshold, worst first."""
    typical: Annotated[List[Count], Field(max_length=500)]
    """Positions in `examples`: images evenly over the set."""

    @model_validator(mode="after")
    def _require_consistent(self) -> EvaluationFile:
        levels, rows = len(self.thresholds), self.confusion.num_rows
        if self.format != FORMAT:
            raise ValueError(f"the format {self.format} is not known")
        if any(low >= high for low, high in zip(self.thresholds, self.thresholds[1:])):
            raise ValueError("the thresholds do not rise")
        if not {self.default.score_threshold, self.best_threshold} <= set(self.thresholds):
            raise ValueError("a threshold is missing")
        if any(len(each.precision) not in (0, len(RECALLS)) for each in self.classes):
            raise ValueError("a class has a curve of other recalls")
        if not all(len(column) == levels for each in self.classes for column in (each.tp, each.fp)):
            raise ValueError("a class has counts of other thresholds")
        if any(sum(each.tp) > each.boxes for each in self.classes):
            raise ValueError("a class has more true positives than boxes")
        if max(self.confusion.classes, default=-1) >= len(self.classes):
            raise ValueError("the confusion matrix has a class that is none")
        if any(level > levels or max(row, column) > rows for level, row, column, _ in self.confusion.steps):
            raise ValueError("the confusion matrix has a cell that is none")
        if max((*self.worst, *self.typical), default=-1) >= len(self.examples):
            raise ValueError("an example is missing")
        for example in self.examples:
            example.require_consistent(len(self.classes))
        return self

    @property
    def best_threshold(self) -> float:
        """The threshold to show: the best one or, without a true positive, the default."""
        return (self.best or self.default).score_threshold

    @property
    def best_thresholds(self) -> Dict[str, Any]:
        """As `Metrics.thresholds`."""
        by_class = {each.name: each.best.score_threshold for each in self.classes if each.best is not None}
        return {"all": None if self.best is None else self.best.score_threshold, "by_class": by_class}

    def confusion_matrix(self, level: int) -> np.ndarray:
        """Return the (rows + 1, rows + 1) int64 confusion matrix at a threshold, of which `level` is the index."""
        side = self.confusion.num_rows + 1
        matrix = np.zeros((side, side), dtype=np.int64)
        for step_level, row, column, change in self.confusion.steps:
            matrix[row, column] += change if step_level >= level else 0
        return matrix


def evaluation_path(models_dir: Path) -> Path:
    """Return the place of evaluation.json below /out/models."""
    return models_dir / "attachments" / SECTION / NAME


def read_evaluation(models_dir: Path, stage: str | None = None) -> EvaluationFile | None:
    """Read evaluation.json below /out/models; None if there is none, or that of another stage than `stage`.

    Raises:
        ExecutorError: it cannot be read, or holds something else.
    """
    path = evaluation_path(models_dir)
    if not path.exists():
        return None
    content: EvaluationFile = parse_result_file(path, EvaluationFile, _MAX_BYTES)
    return content if stage in (None, content.stage) else None
