"""The last lines of a task that has ended well: what came out of it, where that is, and how to view it."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Mapping, Sequence

from ..contract.task import Task
from ..contract.training_result import Stage
from ..evaluation.evaluation_file import ClassEvaluation, EvaluationFile
from ..evaluation.label_review import LIKELY_WRONG
from ..results.first_rows import first_rows
from .final_pass import FinalPass

logger = logging.getLogger(__name__)

_MAX_ROWS = 40  # of the table of classes: the platform keeps the whole log in one file
_MAX_NAME = 30
_HEAD = ("class", "objects", "AP50", "AP", "best threshold", "precision", "recall")


def log_training(task: Task, best: Stage, evaluation: EvaluationFile | None, page: Path | None) -> None:
    """Log the classes of the best stage, its threshold, and the paths of a training.

    Args:
        evaluation: of the best stage; None: it could not be kept.
        page: of the results; None: there is none.
    """
    if evaluation is not None:
        logger.info("classes of the best stage %s, on %d validation images:\n%s", best.name, evaluation.images,
                    class_table(evaluation.classes))  # fmt: skip
        logger.info(describe_threshold(evaluation))
    onnx = [name for name in best.files if name.endswith(".onnx")]
    weights = [name for name in best.files if name.endswith(".pth")]
    log_paths({"best stage": [task.models_dir / name for name in weights],
               "its ONNX model": [task.models_dir / name for name in onnx]})  # fmt: skip
    log_page(page)
    logger.info("curves: tensorboard --logdir %s", shlex.quote(str(task.tensorboard_dir)))


def log_label_review(path: Path, scores: Sequence[float], seen: FinalPass) -> None:
    """Log how many labels are probably wrong, and where the list is.

    Args:
        path: label-review.tsv.
        scores: of its lines, the highest first.
        seen: the images that were looked at.
    """
    images = [image for images in seen.sets.values() for image in images]
    labels, all_images = sum(len(image.gt_classes) for image in images), sum(seen.set_sizes.values())
    some = f" in {len(images):,} of {all_images:,} images" if len(images) < all_images else ""
    likely = sum(score >= LIKELY_WRONG for score in scores)
    logger.info(
        "label review: of %s labels%s, %d %s probably wrong or missing (score %g or more)", f"{labels:,}", some, likely,
        "is" if likely == 1 else "are", LIKELY_WRONG,
    )  # fmt: skip
    log_paths({"labels to look at, the likeliest first": [path]})


def log_inference(result: Path, boxes_per_class: Mapping[str, int], *, images: int, empty_images: int) -> None:
    """Log what was found in how many images, and where the result is.

    Args:
        result: infer-result.json.
        images: that are listed in it.
        empty_images: of these, without a box.
    """
    common = sorted(boxes_per_class.items(), key=lambda item: -item[1])[:_MAX_ROWS]
    by_class = ", ".join(f"{name} {count}" for name, count in common)
    if len(boxes_per_class) > _MAX_ROWS:
        by_class += f" and {len(boxes_per_class) - _MAX_ROWS} more classes"
    logger.info("%d boxes in %d images, of which %d have none%s", sum(boxes_per_class.values()), images, empty_images,
                f": {by_class}" if by_class else "")  # fmt: skip
    log_paths({"result": [result]})


def log_mining(result: Path, scores: Sequence[float], *, unreadable: int) -> None:
    """Log how many candidates are ranked, and where the result is.

    Args:
        result: result.tsv.
        scores: of the candidates that could be read, in any order.
        unreadable: how many could not.
    """
    last = f"; {unreadable} that cannot be read come last" if unreadable else ""
    logger.info("%d images are ranked, the most informative first: scores from %.6g to %.6g%s", len(scores),
                max(scores, default=0.0), min(scores, default=0.0), last)  # fmt: skip
    log_paths({"result": [result]})


def log_first_rows(result: Path) -> None:
    """Log the first images of a ranking with their scores and, in a few words, why they come first.

    Args:
        result: result.tsv, with mining-explanations.json next to it where there are reasons.
    """
    rows = first_rows(result)
    cells = [(str(row.rank), row.name, f"{row.score:.4g}", row.reason) for row in rows]
    if cells:
        logger.info("worth labelling first:\n%s", "\n".join(line.rstrip() for line in _aligned(cells)))


def log_page(page: Path | None) -> None:
    """Log where the page of the results is; None: there is none."""
    log_paths({"page of the results, for a browser": [page] if page is not None else []})


def log_paths(paths: Mapping[str, Sequence[Path]]) -> None:
    """Log each path with what it is."""
    for what, files in paths.items():
        for file in files:
            logger.info("%s: %s", what, file)


def describe_threshold(evaluation: EvaluationFile) -> str:
    """Return the best score threshold, with what it and the default of `conf_threshold` give."""
    default, best = evaluation.default, evaluation.best
    of_default = _describe_rates(default.counts.precision, default.counts.recall)
    if best is None:
        return f"no detection of the best stage is right, at conf_threshold {default.score_threshold:g}: {of_default}"
    of_best = _describe_rates(best.counts.precision, best.counts.recall)
    return (
        f"best threshold {best.score_threshold:.4g} (highest F1 over all classes): {of_best}; at the default"
        f" conf_threshold {default.score_threshold:g}: {of_default}"
    )


def _describe_rates(precision: float, recall: float) -> str:
    return f"precision {precision:.3f}, recall {recall:.3f}"


def class_table(classes: Sequence[ClassEvaluation]) -> str:
    """Return the figures of each class as aligned text; of very many classes, those with the lowest AP50."""
    shown = list(classes)
    rest = []
    if len(shown) > _MAX_ROWS:
        shown = sorted(shown, key=lambda each: 2.0 if each.ap50 is None else each.ap50)[:_MAX_ROWS]
        rest = [f"the {_MAX_ROWS} with the lowest AP50 of {len(classes)} classes; the page of the results has all"]
    return "\n".join([*_aligned([_HEAD, *map(_row, shown)]), *rest])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line per row, with columns that are aligned in a terminal."""
    from ..evaluation.fonts import text_width  # here: it imports matplotlib, which takes a second

    widths = [max(map(text_width, column)) for column in zip(*rows)]
    return ["  ".join(cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths)) for row in rows]


def _row(of_class: ClassEvaluation) -> tuple[str, ...]:
    rates = [of_class.ap50, of_class.ap]
    best: list[float | None] = [None] * 3
    if of_class.best is not None:
        counts = of_class.best.counts
        best = [of_class.best.score_threshold, counts.precision, counts.recall]
    cells = ("-" if value is None else f"{value:.3f}" for value in (*rates, *best))
    name = " ".join(of_class.name.split())
    return (name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 3] + "...", str(of_class.boxes), *cells)
