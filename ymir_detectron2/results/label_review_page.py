"""The section of suspicious labels: the head of label-review.tsv, with images of the label and of what was found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..errors import ExecutorError
from ..evaluation.label_review import DUPLICATE, KINDS, LIKELY_WRONG, LOOSE, MISSING, SPURIOUS, WRONG_CLASS
from ..evaluation.label_review_file import FILE_NAME, PixelBox, ReviewRow, read_label_review
from .page import Section
from .task_output import TaskOutput
from .thumbnails import Thumbnail, make_thumbnails
from .training_files import training_paths, validation_paths

MOST_LISTED, MOST_SHOWN = 100, 24
"""Rows of the table, and images."""
_THUMBNAIL_BYTES = 2_000_000
_MEANINGS: Mapping[str, str] = {
    MISSING: "found {found}, and no label",
    WRONG_CLASS: "labelled {label}, found {found}",
    LOOSE: "labelled {label}, found with another box",
    SPURIOUS: "labelled {label}, and hardly anything found",
    DUPLICATE: "labelled {label} twice",
}


def label_review_section(output: TaskOutput) -> Section | None:
    """Return the section; None where the folder has no list of suspicious labels."""
    problem, rows = "", []
    try:
        listed = read_label_review(output.out_dir / FILE_NAME)
        if listed is None:
            return None
        rows = listed
    except ExecutorError as error:
        problem = str(error)
    kinds = Counter(row.kind for row in rows if row.score >= LIKELY_WRONG)
    context = {
        "problem": problem, "file_name": FILE_NAME, "count": len(rows), "threshold": LIKELY_WRONG,
        "likely": sum(kinds.values()), "kinds": [(kind, kinds[kind]) for kind in KINDS],
        "rows": [(row, describe_row(row), row.image.rpartition("/")[2]) for row in rows[:MOST_LISTED]],
        "shown": min(MOST_SHOWN, len(rows)),
    }  # fmt: skip
    data = {"images": _images(output, rows[:MOST_SHOWN])}
    return Section("labels", "Suspicious labels", "label_review.html.j2", context, data, ("label_review.js",))


def describe_row(row: ReviewRow) -> str:
    """Return in a few words what speaks against a label."""
    return _MEANINGS[row.kind].format(label=row.class_name, found=row.suggested_class)


def _images(output: TaskOutput, rows: Sequence[ReviewRow]) -> list[Mapping[str, Any]]:
    names = {row.image for row in rows}
    paths = {**training_paths(output, names), **validation_paths(output, names)}
    # an image with several suspicious labels is decoded once
    known: dict[Path | None, Thumbnail] = {}
    files = list(dict.fromkeys(paths.get(row.image) for row in rows))
    known.update(zip(files, make_thumbnails(files, budget_bytes=_THUMBNAIL_BYTES)))
    return [_image(row, known[paths.get(row.image)]) for row in rows]


def _image(row: ReviewRow, thumbnail: Thumbnail) -> Mapping[str, Any]:
    suggests = "also labelled" if row.kind == DUPLICATE else "found"
    return {
        "name": row.image.rpartition("/")[2], **thumbnail._asdict(),
        "lines": [f"{row.rank}. score {row.score:.2f}, {row.kind}", describe_row(row)],
        "label": _box(row.box, f"labelled {row.class_name}"),
        "found": _box(row.suggested_box, f"{suggests} {row.suggested_class}"),
    }  # fmt: skip


def _box(box: PixelBox | None, text: str) -> Mapping[str, Any] | None:
    if box is None:
        return None
    x1, y1, x2, y2 = box
    return {"x": x1, "y": y1, "w": x2 - x1 + 1, "h": y2 - y1 + 1, "label": text}
