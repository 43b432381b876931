"""Plots of an evaluation and of a training, each as the bytes of a PNG of 800 pixels width.

Each is legible for one class and for hundreds: what has no room is grouped or left out, and the title says so.

Letters: K classes.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from .confusion import most_confused
from .curves import RECALLS, ConfidenceCurve
from .figure import COLOURS, GREY, annotate_empty, new_figure
from .fonts import drawable_names, drawable_text
from .loss_curve import LossCurve
from .matching import OperatingPoint

_MAX_LINES = len(COLOURS)
_MAX_BARS = 80  # the plot is then about 1600 pixels high
_MAX_CELLS = 16  # classes in a confusion matrix: the numbers in its cells stay legible


def plot_precision_recall(precision_by_class: Mapping[int, np.ndarray], class_names: Sequence[str]) -> bytes:
    """Plot precision over recall at IoU 0.5: a line per class and their mean.

    Args:
        precision_by_class: of an `Evaluation`.
    """
    names = drawable_names(class_names)
    by_ap = sorted(precision_by_class, key=lambda class_id: -precision_by_class[class_id].mean())
    coloured = _best_and_worst(by_ap, _MAX_LINES)
    with new_figure(520) as output:
        axes = output.figure.add_subplot()
        _unit_axes(axes, "recall", "precision")
        axes.set_title("Precision and recall at IoU 0.5" + _omitted_note(coloured, by_ap, "in colour "))
        for class_id in by_ap:  # first the grey lines: those in colour lie over them
            if class_id not in coloured:
                axes.plot(RECALLS, precision_by_class[class_id], color="#d0d0d0", linewidth=0.8)
        for colour, class_id in zip(COLOURS, coloured):
            values = precision_by_class[class_id]
            axes.plot(RECALLS, values, color=colour, linewidth=1.8, label=f"{names[class_id]}  {values.mean():.3f}")
        if len(by_ap) > 1:
            mean = np.mean([precision_by_class[class_id] for class_id in by_ap], axis=0)
            axes.plot(RECALLS, mean, color="black", linewidth=3, label=f"mean of {len(by_ap)}  {mean.mean():.3f}")
        if by_ap:
            output.figure.legend(loc="outside right upper", title="AP50", alignment="left")
        else:
            annotate_empty(axes, "no labelled object in the validation set")
    return output.png


def plot_confidence(curve: ConfidenceCurve, best: OperatingPoint | None) -> bytes:
    """Plot precision, recall and F1 over the score threshold, and mark the highest F1."""
    with new_figure(420) as output:
        axes = output.figure.add_subplot()
        _unit_axes(axes, "conf_threshold", "")  # the name of the key in the form that sets it
        axes.set_title("What a threshold gives, all classes together, IoU 0.5")
        for colour, name in zip(COLOURS, ("precision", "recall", "f1")):
            width = 3 if name == "f1" else 1.8
            axes.plot(curve.thresholds, getattr(curve, name), color=colour, linewidth=width, label=name.capitalize())
        if best is not None:
            axes.axvline(best.score_threshold, color="black", linestyle="--", linewidth=1.2)
            rates = best.counts
            # an empty line: only its label goes into the legend
            axes.plot([], [], color="black", linestyle="--", label=(
                f"best F1 {rates.f1:.3f} at {best.score_threshold:.4g}\n"
                f"precision {rates.precision:.3f}, recall {rates.recall:.3f}"
            ))  # fmt: skip
        if len(curve.thresholds):
            output.figure.legend(loc="outside right upper")
        else:
            annotate_empty(axes, "nothing was found in the validation set")
    return output.png


def plot_confusion(matrix: np.ndarray, class_names: Sequence[str], score_threshold: float) -> bytes:
    """Plot a confusion matrix: ground truth in rows, detections in columns.

    Colour is the share of the row, of the objects of a class; in the last row the share of the column, of the
    detections of a class. Of many classes, those with the most errors have rows of their own.

    Args:
        matrix: (K + 1, K + 1) from `matching.confusion_matrix`.
    """
    matrix, names = _group_rare_errors(matrix, drawable_names(class_names))
    with new_figure(720) as output:
        axes = output.figure.add_subplot()
        _centred_title(output.figure, f"Objects and what was found, score above {score_threshold:g}, IoU above 0.5")
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        shares[-1] = matrix[-1] / np.maximum(matrix.sum(axis=0), 1)  # false positives belong to no labelled class
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
        size = 13 if len(names) <= 6 else 10 if len(names) <= 11 else 8  # four characters fit into every cell
        for row, column in zip(*np.nonzero(matrix)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column]) if len(names) <= 6 else _short_count(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    return output.png


def plot_ap_by_class(
    ap_by_class: Mapping[str, float], ap50_by_class: Mapping[str, float], class_names: Sequence[str]
) -> bytes:
    """Plot a bar of AP and one of AP50 behind it for each class that has objects, best first.

    Args:
        class_names: all of them: a name that cannot be drawn is shown by its position here.
    """
    drawable = dict(zip(class_names, drawable_names(class_names)))
    by_ap = sorted(ap50_by_class, key=lambda name: -ap50_by_class[name])
    shown = _best_and_worst(by_ap, _MAX_BARS)
    # 130 pixels for title, axis and legend; a bar takes 18, up to six bars share what six of double width would take
    with new_figure(130 + max(18 * len(shown), 36 * min(len(shown), 6), 80)) as output:
        axes = output.figure.add_subplot()
        _centred_title(output.figure, "AP by class" + _omitted_note(shown, by_ap))
        axes.set_xlim(0, 1.12)  # with room for the numbers behind a full bar
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_ylim(len(shown) - 0.4, -0.6)  # the first bar at the top
        axes.set_yticks(range(len(shown)), [drawable[name] for name in shown], fontsize=10)
        axes.grid(visible=False, axis="y")
        if len(shown) < len(by_ap):
            axes.axhline(len(shown) / 2 - 0.5, color=GREY, linestyle=":")  # between the best and the worst
        places = np.arange(len(shown))
        wide = [ap50_by_class[name] for name in shown]
        axes.barh(places, wide, height=0.8, color="#b9d7ea", label="AP50")
        axes.barh(places, [ap_by_class[name] for name in shown], height=0.45, color=COLOURS[0], label="AP")
        for place, name in enumerate(shown):
            text = f"{ap50_by_class[name]:.2f} / {ap_by_class[name]:.2f}"
            axes.text(ap50_by_class[name] + 0.01, place, text, va="center", fontsize=9)
        if shown:
            output.figure.legend(loc="outside lower right", ncols=2)
        else:
            annotate_empty(axes, "no labelled object in the validation set")
    return output.png


def plot_losses(training: Mapping[str, LossCurve], validation: Mapping[str, LossCurve]) -> bytes:
    """Plot losses over steps: training as thin lines with their running median, validation as dashed lines with dots.

    A loss has one colour in both. Values that are not finite are left out.
    """
    with new_figure(460) as output:
        axes = output.figure.add_subplot()
        axes.set_title("Losses")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        names = dict.fromkeys([*training, *validation])  # in order, each once
        colours = dict(zip(names, COLOURS * 10))
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
                    marker = "o" if len(line) == 1 else None  # a line of one point is invisible
                    axes.plot(steps, line, color=colours[name], linewidth=2, marker=marker, label=label)
                lows.append(line.min())
                highs.append(line.max())
        if lows:
            _set_loss_scale(axes, min(lows), max(highs))
            output.figure.legend(loc="outside right upper")
        else:
            annotate_empty(axes, "no loss was noted")
    return output.png


def _set_loss_scale(axes: Axes, low: float, high: float) -> None:
    """Choose a logarithmic or linear axis for lines between low and high; single steps beyond them are cut off."""
    if low > 0 and high / low > 10:  # on a linear axis the end of the training would be a flat line at 0
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PlainLogFormatter())
        axes.yaxis.set_minor_formatter(_PlainLogFormatter(minor_thresholds=(2, 0.5)))
        axes.set_ylim(low / 1.5, high * 1.5)
    else:
        axes.set_ylim(min(0.0, low), high * 1.15 if high > 0 else 1.0)


class _PlainLogFormatter(LogFormatter):
    """Write 0.6 and 200 in place of powers of ten, at the ticks that matplotlib gives a label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _finite(curve: LossCurve) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(curve.steps, dtype=np.float64), np.asarray(curve.values, dtype=np.float64)
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def _running_median(values: np.ndarray) -> np.ndarray:
    """Smooth over a twentieth of the curve, less at its ends; the median ignores single outliers."""
    half = len(values) // 40
    return np.array([np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _group_rare_errors(matrix: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Keep the classes with the most errors, in their own order; add up the others in one row and column."""
    K = len(names)
    if K <= _MAX_CELLS:
        return matrix, names
    kept = most_confused(matrix, _MAX_CELLS - 1)
    group = np.full(K + 1, len(kept))  # (K + 1,) old row -> new row; the last but one is for the others
    group[kept] = np.arange(len(kept))
    group[K] = len(kept) + 1
    sums = np.zeros((len(kept) + 2, len(kept) + 2), dtype=np.int64)
    np.add.at(sums, (group[:, None], group[None, :]), matrix)
    return sums, [*(names[index] for index in kept), f"{K - len(kept)} others"]


def _best_and_worst(ordered: Sequence[Any], most: int) -> list[Any]:
    """Return all of a list, or as many from its start as from its end: the middle is the least telling."""
    return list(ordered) if len(ordered) <= most else [*ordered[: most // 2], *ordered[-(most // 2) :]]


def _omitted_note(shown: Sequence[Any], ordered: Sequence[Any], how: str = "") -> str:
    if len(shown) == len(ordered):
        return ""
    return f"\n{how}the {len(shown) // 2} best and the {len(shown) // 2} worst of {len(ordered)} classes"


def _centred_title(figure: Figure, title: str) -> None:
    """Centre a title on the figure: over axes that long names push to the right it would be cut off."""
    figure.suptitle(title, fontsize=matplotlib.rcParams["axes.titlesize"])


def _unit_axes(axes: Axes, x_name: str, y_name: str) -> None:
    """Set both axes to [0, 1], with a margin in which a line at 1 is not cut in half."""
    axes.set_xlim(0, 1.005)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)


def _short_count(count: int) -> str:
    """Format a count in at most four characters."""
    if count < 10_000:
        return str(count)
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.3g}M"
