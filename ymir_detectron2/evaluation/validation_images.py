"""Some validation images, labels on the left and detections on the right: what TensorBoard shows of the best stage.

The same images for every stage of a run, and for every run on the same set, so that they can be compared.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..dataset.image_reading import read_image_bgr
from ..errors import ImageError
from .box_drawing import BoxGroup, class_colour, draw_boxes, draw_detections
from .fonts import drawable_names
from .matching import EvaluatedImage
from .metrics import Evaluation

COUNT = 8
_SIDE = 512  # pixels of the longer side of each half, at most
_GAP, _CAPTION = 8, 20  # pixels between the halves, and of the line of text above them


def draw_validation_images(evaluation: Evaluation) -> Iterator[tuple[int, bytes]]:
    """Yield number, from 1, and JPEG of up to COUNT images, evenly over those that have labels.

    Detections are those above the best threshold. An image that cannot be read any more is left out.
    """
    images = evaluation.images
    labelled = [index for index, image in enumerate(images) if len(image.gt_classes)] or range(len(images))
    chosen = np.linspace(0, len(labelled) - 1, min(COUNT, len(labelled))).round().astype(int)
    threshold = evaluation.metrics.best_threshold
    for number, position in enumerate(chosen.tolist(), start=1):
        image = images[labelled[position]]
        try:
            pixels = _read_thumbnail(Path(image.path))
        except ImageError:  # it was readable when it was evaluated
            continue
        yield number, _side_by_side(pixels, image, evaluation.class_names, threshold)


def _read_thumbnail(path: Path) -> np.ndarray:
    """Return (h, w, 3) RGB, with the longer side at most _SIDE."""
    image = Image.fromarray(np.ascontiguousarray(read_image_bgr(path, least_side=_SIDE)[:, :, ::-1]))
    image.thumbnail((_SIDE, _SIDE))
    return np.asarray(image)


def _side_by_side(
    pixels: np.ndarray, image: EvaluatedImage, class_names: Sequence[str], score_threshold: float
) -> bytes:
    height, width = pixels.shape[:2]
    # an image whose size is not known was never reduced
    scale = np.array([width / (image.image_hw[1] or width), height / (image.image_hw[0] or height)] * 2)
    names = drawable_names(class_names)
    labels = [names[class_id] for class_id in image.gt_classes]
    colours = [class_colour(class_id) for class_id in image.gt_classes.tolist()]
    left = draw_boxes(pixels, [BoxGroup(image.gt_boxes * scale, colours, labels)] if labels else [])
    kept = image.pred_scores > score_threshold
    right = draw_detections(
        pixels, image.pred_boxes[kept] * scale, image.pred_scores[kept], image.pred_classes[kept], class_names
    )
    sheet = Image.new("RGB", (2 * width + _GAP, height + _CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    found = f"found, score above {score_threshold:.3g}"
    for x, half, caption in ((0, left, "labelled"), (width + _GAP, right, found)):
        sheet.paste(Image.fromarray(half), (x, _CAPTION))
        draw.text((x + 2, 4), caption, fill="black")
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()
