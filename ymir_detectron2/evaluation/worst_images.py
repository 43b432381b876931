"""The images of a set with the most errors, to inspect: wrong labels and hard scenes gather there.

The error score of an image is its number of false negatives plus the scores of its false positives: a missed object
weighs as much as a false positive that the model is sure of, and an unsure one weighs less. An object detected under
another class counts as both. It is not divided by the number of objects: what comes first is where most is to be done.

Letters: N detections and G ground-truth boxes of one image, M boxes of one kind.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import NamedTuple, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from ..box_geometry import box_areas
from ..contract.training_result import SCORE_THRESHOLD
from ..dataset.image_reading import read_image_bgr
from ..errors import ImageError
from .box_drawing import BoxGroup, Colour, draw_boxes
from .figure import WIDTH_PIXELS, annotate_empty, new_figure
from .fonts import drawable_names, drawable_text
from .matching import UNMATCHED, EvaluatedImage, Matches

BILINEAR = getattr(Image, "Resampling", Image).BILINEAR  # Pillow before 9.1 has no Resampling

# Pixels: two columns of 8 + 388 fill the 800 of a figure, with gaps of 8 between them and at the edges.
_COLUMNS = 2
_IMAGE_SIDE = 388  # the longer one
_GAP = 8
_CAPTION = 24
_LEGEND = 40

_FN_COLOUR: Colour = (255, 212, 0)
_FP_COLOUR: Colour = (255, 59, 107)
_TP_COLOUR: Colour = (46, 230, 166)
_MAX_LABELS = 12  # per image and kind; more would hide what they name
_THIN, _THICK = 1, 3  # pixels, of lines


class ImageErrors(NamedTuple):
    """The errors in one image."""

    image_index: int
    """Position in the sequence of images."""
    error_score: float
    fn: np.ndarray
    """Indices of its ground-truth boxes."""
    fp: np.ndarray
    """Indices of its detections, best score first."""
    tp: np.ndarray
    """Indices of its detections, best score first."""


def worst_images(
    images: Sequence[EvaluatedImage], matches: Matches, score_threshold: float = SCORE_THRESHOLD, count: int = 10
) -> list[ImageErrors]:
    """Return the `count` images with the highest error score, worst first; of equals the earlier.

    Images without an error are left out.
    """
    with_errors = []
    for index, image in enumerate(images):
        gt_index = matches.gt_index[matches.starts[index] : matches.starts[index + 1]]  # (N,)
        kept = np.argsort(-image.pred_scores, kind="stable")
        kept = kept[image.pred_scores[kept] > score_threshold]
        fp, tp = kept[gt_index[kept] == UNMATCHED], kept[gt_index[kept] != UNMATCHED]
        fn = np.setdiff1d(np.arange(len(image.gt_classes)), gt_index[tp])
        error_score = len(fn) + float(image.pred_scores[fp].sum())
        if error_score > 0:
            with_errors.append(ImageErrors(index, error_score, fn, fp, tp))
    return sorted(with_errors, key=lambda errors: -errors.error_score)[:count]  # stable: of equals the earlier


def plot_worst_images(
    worst: Sequence[ImageErrors], images: Sequence[EvaluatedImage], class_names: Sequence[str],
    score_threshold: float = SCORE_THRESHOLD,
) -> bytes:  # fmt: skip
    """Draw the images with their boxes in two columns, worst first; return the PNG.

    An image that cannot be read any more leaves a grey place.

    Args:
        worst: from `worst_images`.
        images: the sequence that it was made from.
        score_threshold: that it was made with.
    """
    names = drawable_names(class_names)
    thumbnails = [_load_thumbnail(images[errors.image_index].path) for errors in worst]
    rows = [thumbnails[start : start + _COLUMNS] for start in range(0, len(thumbnails), _COLUMNS)]
    heights = [_CAPTION + max(pixels.shape[0] for pixels, _ in row) + _GAP for row in rows] or [100]
    with new_figure(_LEGEND + sum(heights), layout=None) as output:
        legend = (
            (_FN_COLOUR, "labelled, but missed"),
            (_FP_COLOUR, f"found (score above {score_threshold:.3g}), but wrong"),
            (_TP_COLOUR, "found and right"),
        )
        lines = [Line2D([], [], color=_hex(colour), linewidth=4, label=label) for colour, label in legend]
        output.figure.legend(
            handles=lines, loc="upper center", ncols=len(lines), labelcolor="white", facecolor="#444444",
            borderaxespad=0.4,
        )  # fmt: skip
        if not worst:
            axes = _axes_at(output.figure, 0, _LEGEND, WIDTH_PIXELS, 100)
            annotate_empty(axes, "no validation image with a fault")
        for position, (errors, (pixels, scale)) in enumerate(zip(worst, thumbnails)):
            row, column = divmod(position, _COLUMNS)
            x = _GAP + column * (_IMAGE_SIDE + _GAP)
            y = _LEGEND + sum(heights[:row]) + _CAPTION
            axes = _axes_at(output.figure, x, y, pixels.shape[1], pixels.shape[0])
            _draw_image(axes, errors, images[errors.image_index], names, pixels, scale)
    return output.png


def _axes_at(figure: Figure, x: int, y: int, width: int, height: int) -> Axes:
    """Add bare axes over a rectangle in pixels from the upper left corner, so that one axes unit is one pixel."""
    whole = round(figure.get_figheight() * figure.dpi)
    # matplotlib counts in fractions of the figure, from the lower left corner
    axes = figure.add_axes((x / WIDTH_PIXELS, 1 - (y + height) / whole, width / WIDTH_PIXELS, height / whole))
    axes.set_axis_off()
    return axes


def _load_thumbnail(path: str) -> tuple[np.ndarray, float]:
    """Return (h, w, 3) RGB with the longer side `_IMAGE_SIDE`, and its scale; scale 0 if the image is unreadable."""
    try:
        image = Image.fromarray(np.ascontiguousarray(read_image_bgr(Path(path))[:, :, ::-1]))
    except ImageError:  # it was readable when it was evaluated; a plot is no reason to fail a training
        return np.full((_IMAGE_SIDE // 2, _IMAGE_SIDE, 3), 160, dtype=np.uint8), 0.0
    scale = _IMAGE_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return np.asarray(image.resize((width, height), BILINEAR)), scale


def _draw_image(
    axes: Axes, errors: ImageErrors, image: EvaluatedImage, names: Sequence[str], pixels: np.ndarray, scale: float
) -> None:
    """Draw a caption, the image, and its boxes: thin where right, thick with class and score where wrong."""
    counts = f"{len(errors.fn)} missed, {len(errors.fp)} wrong"
    caption = axes.text(0, -6, counts, fontsize=10)
    for max_width in range(26, 0, -1):  # as much of the name as fits; measured, since fonts differ between machines
        caption.set_text(f"{counts}   {drawable_text(PurePath(image.path).name, max_width)}")
        if caption.get_window_extent().width <= _IMAGE_SIDE:
            break
    if scale == 0:
        axes.text(pixels.shape[1] / 2, pixels.shape[0] / 2, "cannot be read any more", ha="center")
    else:
        pixels = draw_boxes(pixels, _box_groups(errors, image, names, scale))
    axes.imshow(pixels, extent=(0, pixels.shape[1], pixels.shape[0], 0), aspect="auto", interpolation="nearest")


def _box_groups(errors: ImageErrors, image: EvaluatedImage, names: Sequence[str], scale: float) -> list[BoxGroup]:
    """Return the boxes of a thumbnail: false negatives with labels above, false positives with labels below.

    On two sides, since a wrong class often has the very box of the missed object.
    """
    fn_boxes = image.gt_boxes[errors.fn] * scale
    # a small box inside a large one is drawn over it and stays visible
    smallest_first = np.argsort(box_areas(fn_boxes), kind="stable")
    fn_names = [names[class_id] for class_id in image.gt_classes[errors.fn[smallest_first]][:_MAX_LABELS]]
    fp_names = [f"{names[image.pred_classes[row]]} {image.pred_scores[row]:.2f}" for row in errors.fp[:_MAX_LABELS]]
    return [
        BoxGroup(image.pred_boxes[errors.tp] * scale, [_TP_COLOUR], line_px=_THIN),
        BoxGroup(fn_boxes[smallest_first], [_FN_COLOUR], fn_names, _THICK),
        BoxGroup(image.pred_boxes[errors.fp] * scale, [_FP_COLOUR], fp_names, _THICK, labels_below=True),
    ]


def _hex(colour: Colour) -> str:
    return str(to_hex(np.array(colour) / 255))
