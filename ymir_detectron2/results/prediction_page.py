"""The section of inference: numbers for any threshold, and a gallery of images with their boxes."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from ..config.prediction_settings import InferSettings
from ..contract.infer_result import ResultBox, read_infer_result
from ..untrusted_files import is_file
from .findings import read_findings
from .page import Section
from .prediction_counts import CountedImage, ImageSample, PredictionCounts
from .task_output import TaskOutput
from .thumbnails import make_thumbnails

EVENLY, MOST_BOXES = 100, 40
"""Images in the gallery: so many evenly over the result, and so many with the most boxes."""
MOST_BOXES_DRAWN = 200
"""In one image, by score: more would hide it."""
_THUMBNAIL_BYTES = 8_000_000


class _Prediction(NamedTuple):
    counts: PredictionCounts
    sample: list[CountedImage]


def prediction_section(output: TaskOutput) -> Section | None:
    """Return the section of inference; None where the folder has no result of it.

    Raises:
        DatasetError: the result is damaged.
    """
    if not is_file(output.infer_result):
        return None
    prediction = _read(output)
    summary = output.read_json("infer-summary.json") or {}
    context = {
        "counts": prediction.counts,
        "shown": len(prediction.sample),
        "evenly": EVENLY, "most_boxes": MOST_BOXES, "most_boxes_drawn": MOST_BOXES_DRAWN,
        "is_capped": any(len(image.boxes) > MOST_BOXES_DRAWN for image in prediction.sample),
        "images_per_second": summary.get("images_per_second"),
        "findings": read_findings(summary),
    }  # fmt: skip
    data = _data(output, prediction)
    return Section("prediction", "Inference", "prediction.html.j2", context, data, ("prediction.js",))


def _read(output: TaskOutput) -> _Prediction:
    """Read the result once, image by image."""
    counts, sample = PredictionCounts(), ImageSample(EVENLY, MOST_BOXES)
    for number, (name, boxes) in enumerate(read_infer_result(output.infer_result)):
        counts.add(boxes)
        sample.add(CountedImage(number, name, boxes))
    return _Prediction(counts, list(sample.images()))


def _data(output: TaskOutput, prediction: _Prediction) -> Mapping[str, Any]:
    counts = prediction.counts
    return {
        "images": counts.images,
        "classNames": counts.class_names,
        "boxesAt": counts.boxes_at().tolist(),
        "imagesAt": counts.images_at().tolist(),
        "imagesWithBoxesAt": counts.images_with_boxes_at().tolist(),
        "startThreshold": InferSettings.conf_threshold,
        "gallery": list(_gallery(output, prediction)),
    }


def _gallery(output: TaskOutput, prediction: _Prediction) -> Iterator[Mapping[str, Any]]:
    images = prediction.sample
    paths = output.candidate_paths({image.name for image in images})
    thumbnails = make_thumbnails([paths.get(image.name) for image in images], budget_bytes=_THUMBNAIL_BYTES)
    for image, thumbnail in zip(images, thumbnails):
        drawn = sorted(image.boxes, key=lambda box: -box.score)[:MOST_BOXES_DRAWN]
        yield {
            "name": image.name, **thumbnail._asdict(), "number": image.number,
            "boxes": box_rows(drawn, prediction.counts),
        }  # fmt: skip


def box_rows(boxes: Sequence[ResultBox], counts: PredictionCounts) -> list[list[float]]:
    """Return x, y, w, h, class and score of each box, for the browser."""
    return [[*box[:4], counts.class_id(box.class_name), box.score] for box in boxes]
