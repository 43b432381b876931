"""Charts of an evaluation and of a training, each as the bytes of a PNG of 800 pixels width.

Each is legible for one class and for hundreds: what has no place is put together or left out, and the title says so.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from .curves import RECALLS, ConfidenceCurve
from .lettering import drawable_names, drawable_text
from .loss_curve import LossCurve
from .matching import OperatingPoint
from .sheet import COLOURS, GREY, new_sheet, say_nothing_to_show

_MOST_LINES = 10
_MOST_BARS = 80
_MOST_ROWS = 16
"""Classes in a confusion matrix: the numbers in its cells stay legible."""


def draw_precision_recall(precision_by_class: Mapping[int, np.ndarray], class_names: Sequence[str]) -> bytes:
    """Precision over recall at IoU 0.5: a line per class and their mean.

    Args:
        precision_by_class: from `curves.precision_by_class`.
    """
    names = drawable_names(class_names)
    by_ap = sorted(precision_by_class, key=lambda class_id: -precision_by_class[class_id].mean())
    coloured = _ends(by_ap, _MOST_LINES)
    with new_sheet(520) as sheet:
        axes = sheet.figure.add_subplot()
        _unit_axes(axes, "recall", "precision")
        axes.set_title("Precision and recall at IoU 0.5" + _of_all(coloured, by_ap, "in colour "))
        for class_id in by_ap:
            if class_id not in coloured:
                axes.plot(RECALLS, precision_by_class[class_id], color="#d0d0d0", linewidth=0.8)
        for colour, class_id in zip(COLOURS, coloured):
            values = precision_by_class[class_id]
            axes.plot(RECALLS, values, color=colour, linewidth=1.8, label=f"{names[class_id]}  {values.mean():.3f}")
        if len(by_ap) > 1:
            mean = np.mean([precision_by_class[class_id] for class_id in by_ap], axis=0)
            axes.plot(RECALLS, mean, color="black", linewidth=3, label=f"mean of {len(by_ap)}  {mean.mean():.3f}")
        if by_ap:
            sheet.figure.legend(loc="outside right upper", title="AP50", alignment="left")
        else:
            say_nothing_to_show(axes, "no labelled object in the validation set")
    return sheet.png


def draw_confidence(curve: ConfidenceCurve, best: OperatingPoint | None) -> bytes:
    """Precision, recall and F1 over the threshold, and where F1 is highest."""
    with new_sheet(420) as sheet:
        axes = sheet.figure.add_subplot()
        _unit_axes(axes, "conf_threshold", "")
        axes.set_title("What a threshold gives, all classes together, IoU 0.5")
        for colour, name in zip(COLOURS, ("precision", "recall", "f1")):
            width = 3 if name == "f1" else 1.8
            axes.plot(curve.thresholds, getattr(curve, name), color=colour, linewidth=width, label=name.capitalize())
        if best is not None:
            axes.axvline(best.score_threshold, color="black", linestyle="--", linewidth=1.2)
            rates = best.counts
            axes.plot([], [], color="black", linestyle="--", label=(
                f"best F1 {rates.f1:.3f} at {best.score_threshold:.4g}\n"
                f"precision {rates.precision:.3f}, recall {rates.recall:.3f}"
            ))  # fmt: skip
        if len(curve.thresholds):
            sheet.figure.legend(loc="outside right upper")
        else:
            say_nothing_to_show(axes, "nothing was found in the validation set")
    return sheet.png


def draw_confusion(matrix: np.ndarray, class_names: Sequence[str], score_threshold: float) -> bytes:
    """Counts of objects by what they are (rows) and what they were taken for (columns).

    Colour is the share of the row, of the objects of a class; in the last row the share of the column, of the boxes
    under that name. Of many classes, those with the most mistakes have rows of their own.

    Args:
        matrix: (K + 1, K + 1) from `confusion.confusion_matrix`.
    """
    matrix, names = _most_confused(matrix, drawable_names(class_names))
    with new_sheet(720) as sheet:
        axes = sheet.figure.add_subplot()
        _title_of_sheet(sheet.figure, f"Objects and what was found, score above {score_threshold:g}, IoU above 0.5")
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        shares[-1] = matrix[-1] / np.maximum(matrix.sum(axis=0), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.grid(visible=False)
        slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(names) > 4 else {}
        axes.set_xticks(range(len(names) + 1), [*names, "missed"], **slanted)
        axes.set_yticks(range(len(names) + 1), [*names, "nothing there"])
        axes.set_xlabel("found")
        axes.set_ylabel("labelled")
        # lines before the last row and column, which are no classes
        axes.axhline(len(names) - 0.5, color=GREY, linewidth=1)
        axes.axvline(len(names) - 0.5, color=GREY, linewidth=1)
        size = 13 if len(names) <= 6 else 10 if len(names) <= 11 else 8
        for row, column in zip(*np.nonzero(matrix)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column]) if len(names) <= 6 else _short(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    return sheet.png


def draw_ap_by_class(
    ap_by_class: Mapping[str, float], ap50_by_class: Mapping[str, float], class_names: Sequence[str]
) -> bytes:
    """A bar of AP and one of AP50 behind it for each class that has objects, best first.

    Args:
        class_names: all of them: a name that cannot be written is shown by its position here.
    """
    written = dict(zip(class_names, drawable_names(class_names)))
    by_ap = sorted(ap50_by_class, key=lambda name: -ap50_by_class[name])
    shown = _ends(by_ap, _MOST_BARS)
    with new_sheet(130 + max(18 * len(shown), 36 * min(len(shown), 6), 80)) as sheet:
        axes = sheet.figure.add_subplot()
        _title_of_sheet(sheet.figure, "AP by class" + _of_all(shown, by_ap))
        axes.set_xlim(0, 1.12)
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [written[name] for name in shown], fontsize=10)
        axes.grid(visible=False, axis="y")
        if len(shown) < len(by_ap):
            axes.axhline(len(shown) / 2 - 0.5, color=GREY, linestyle=":")
        places = np.arange(len(shown))
        wide = [ap50_by_class[name] for name in shown]
        axes.barh(places, wide, height=0.8, color="#b9d7ea", label="AP50")
        axes.barh(places, [ap_by_class[name] for name in shown], height=0.45, color=COLOURS[0], label="AP")
        for place, name in enumerate(shown):
            text = f"{ap50_by_class[name]:.2f} / {ap_by_class[name]:.2f}"
            axes.text(ap50_by_class[name] + 0.01, place, text, va="center", fontsize=9)
        if shown:
            sheet.figure.legend(loc="outside lower right", ncols=2)
        else:
            say_nothing_to_show(axes, "no labelled object in the validation set")
    return sheet.png


def draw_losses(training: Mapping[str, LossCurve], validation: Mapping[str, LossCurve]) -> bytes:
    """Losses over steps: of training as thin lines with their running median, of validation as dots joined by dashes.

    A loss has one colour in both. Values that are not finite are left out.
    """
    with new_sheet(460) as sheet:
        axes = sheet.figure.add_subplot()
        axes.set_title("Losses")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        colours = dict(zip([*training, *(name for name in validation if name not in training)], COLOURS * 10))
        lows, highs = [], []
        for kind, curves in (("training", training), ("validation", validation)):
            for name, curve in curves.items():
                steps, values = _finite(curve)
                if not len(values):
                    continue
                label = f"{drawable_text(name)}, {kind}"
                if kind == "validation":
                    axes.plot(steps, values, "o--", color=colours[name], linewidth=1.5, markersize=5, label=label)
                    line = values
                else:
                    line = _running_median(values)
                    axes.plot(steps, values, color=colours[name], linewidth=0.8, alpha=0.3)
                    marker = "o" if len(line) == 1 else None
                    axes.plot(steps, line, color=colours[name], linewidth=2, marker=marker, label=label)
                lows.append(line.min())
                highs.append(line.max())
        if lows:
            _loss_scale(axes, min(lows), max(highs))
            sheet.figure.legend(loc="outside right upper")
        else:
            say_nothing_to_show(axes, "no loss was noted")
    return sheet.png


def _loss_scale(axes: Axes, low: float, high: float) -> None:
    """Ten times from low to high is more than a linear axis shows. Single steps beyond the medians are cut off."""
    if low > 0 and high / low > 10:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PlainLog())
        axes.yaxis.set_minor_formatter(_PlainLog(minor_thresholds=(2, 0.5)))
        axes.set_ylim(low / 1.5, high * 1.5)
    else:
        axes.set_ylim(min(0.0, low), high * 1.15 if high > 0 else 1.0)


class _PlainLog(LogFormatter):
    """0.6 and 200 in place of powers of ten, at the ticks that matplotlib gives a label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _finite(curve: LossCurve) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(curve.steps, dtype=np.float64), np.asarray(curve.values, dtype=np.float64)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def _running_median(values: np.ndarray) -> np.ndarray:
    """Over a twentieth of the curve; at its ends over what there is."""
    half = len(values) // 40
    return np.array([np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _most_confused(matrix: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """At most 16 classes by number of mistakes, in their own order; the others are added up in one row and column."""
    K = len(names)
    if K <= _MOST_ROWS:
        return matrix, names
    mistakes = matrix[:K].sum(axis=1) + matrix[:, :K].sum(axis=0) - 2 * matrix.diagonal()[:K]
    kept = np.sort(np.argsort(-mistakes, kind="stable")[: _MOST_ROWS - 1])
    group = np.full(K + 1, len(kept))
    group[kept] = np.arange(len(kept))
    group[K] = len(kept) + 1
    sums = np.zeros((len(kept) + 2, len(kept) + 2), dtype=np.int64)
    np.add.at(sums, (group[:, None], group[None, :]), matrix)
    return sums, [*(names[index] for index in kept), f"{K - len(kept)} others"]


def _ends(ordered: Sequence[Any], most: int) -> list[Any]:
    """All of a list, or as many from its start as from its end."""
    return list(ordered) if len(ordered) <= most else [*ordered[: most // 2], *ordered[-(most // 2) :]]


def _of_all(shown: Sequence[Any], ordered: Sequence[Any], how: str = "") -> str:
    if len(shown) == len(ordered):
        return ""
    return f"\n{how}the {len(shown) // 2} best and the {len(shown) // 2} worst of {len(ordered)} classes"


def _title_of_sheet(figure: Figure, title: str) -> None:
    """In the middle of the sheet: over axes that long names push to the right it would be cut off."""
    figure.suptitle(title, fontsize=matplotlib.rcParams["axes.titlesize"])


def _unit_axes(axes: Axes, x_name: str, y_name: str) -> None:
    axes.set_xlim(0, 1.005)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)


def _short(count: int) -> str:
    """At most four characters."""
    if count < 10_000:
        return str(count)
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.3g}M"
