"""Figures of an active learning experiment, as PNG: curves by labels and by boxes, and where labels were spent."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Callable, Mapping

import numpy as np

from benchmarks.chance import PLAIN, STRATIFIED
from benchmarks.learning_curves import Curves, ap50_of, boxes, empty_images, images, images_of, near_copies
from benchmarks.learning_rounds import Round
from benchmarks.learning_statistics import interval_of_mean

ALT = {
    "by_labels.png": "AP50 by number of labelled images, a line per algorithm",
    "by_boxes.png": "AP50 by number of drawn boxes, a line per algorithm",
    "by_empty.png": "AP50 by number of empty images shown to the team, a line per algorithm",
    "by_class.png": "AP50 of each class by number of labelled images, a panel per class, a line per algorithm",
    "spent.png": "Shares of empty images, near copies and classes among the images that each algorithm has chosen",
}
"""File name -> what it shows, for those who do not see it."""
_PANELS = 10
"""Of many classes, the rarest are shown."""
_PANEL_COLUMNS = 3
_CHANCE_STYLES: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {"color": "black", "linestyle": "--"},
    STRATIFIED: {"color": "grey", "linestyle": ":"},
}


def draw_figures(curves: Curves, title: str) -> dict[str, bytes]:
    """Return file name -> PNG; {} where matplotlib is not installed: the experiment itself does not need it.

    Args:
        curves: with at least one complete curve.
        title: of the set.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no figures: matplotlib is not installed", flush=True)
        return {}
    drawn = {}
    for name, label, value in (
        ("by_labels.png", "images labelled", images),
        ("by_boxes.png", "boxes drawn", boxes),
        ("by_empty.png", "empty images shown to the team", empty_images),
    ):
        if any(curves.values(algorithm, value).any() for algorithm in curves.algorithms):
            figure = Figure(figsize=(8, 5), dpi=100)
            _draw_curves(figure.add_subplot(xlabel=label, ylabel="AP50 on the validation images"), curves, value, title)
            drawn[name] = _png(figure)
    drawn["by_class.png"] = _png(_draw_classes(Figure, curves))
    drawn["spent.png"] = _png(_draw_spent(Figure, curves))
    return drawn


def _draw_curves(axes: Any, curves: Curves, place: Callable[[Round], float], title: str) -> None:
    """Draw a line for each algorithm, with a bar at each point: the 95 % interval of the mean over the seeds."""
    seeds = set()
    for number, algorithm in enumerate(curves.algorithms):
        ap50 = curves.values(algorithm, lambda one: one.ap50)
        places = curves.values(algorithm, place).mean(axis=0)
        intervals = [interval_of_mean(column) for column in ap50.T]
        bars = [[one.value - one.low for one in intervals], [one.high - one.value for one in intervals]]
        # a little aside, or bars would hide each other; the first point is shared
        aside = np.arange(len(places)).clip(0, 1) * (number - len(curves.algorithms) / 2) * 0.008 * np.ptp(places)
        style = {"marker": "o", "markersize": 4, "capsize": 2, **_CHANCE_STYLES.get(algorithm, {})}
        axes.errorbar(places + aside, [one.value for one in intervals], bars, label=algorithm, **style)
        seeds.add(len(ap50))
    axes.set_title(f"{title}: mean over {' or '.join(map(str, sorted(seeds)))} seeds, with its 95 % interval")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")


def _draw_classes(figure_class: Any, curves: Curves) -> Any:
    """Draw a panel for each class, with the mean over the seeds of each algorithm."""
    names = curves.classes[:_PANELS]
    rows = -(-(len(names) + 1) // _PANEL_COLUMNS)  # the last panel is for the names of the algorithms
    figure = figure_class(figsize=(9, 0.8 + 2.6 * rows), dpi=100)
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, _PANEL_COLUMNS, place, title=name, xlabel="images labelled")
        for algorithm in curves.algorithms:
            means = curves.values(algorithm, ap50_of(name)).mean(axis=0)
            axes.plot(curves.labels, means, label=algorithm, **_CHANCE_STYLES.get(algorithm, {}))
        axes.grid(alpha=0.3)
    legend = figure.add_subplot(rows, _PANEL_COLUMNS, len(names) + 1)
    legend.legend(*axes.get_legend_handles_labels(), loc="center", fontsize="small")
    legend.axis("off")
    return figure


def _draw_spent(figure_class: Any, curves: Curves) -> Any:
    """Draw a panel for each kind of image, with a bar for each algorithm; a line where plain chance is."""
    names = curves.algorithms[::-1]  # the first on top
    classes = [(name, images_of(name)) for name in curves.classes]
    kinds = [("empty", empty_images), ("near copies", near_copies), *classes][:_PANELS]
    figure = figure_class(figsize=(2.5 + 1.4 * len(kinds), 1.1 + 0.3 * len(names)), dpi=100)
    for place, (kind, count) in enumerate(kinds, start=1):
        axes = figure.add_subplot(1, len(kinds), place, title=kind, xlabel="% of images")
        percents = {name: 100 * curves.share_of_added(name, count) for name in names}
        axes.barh(names, list(percents.values()))
        if PLAIN in percents:
            axes.axvline(percents[PLAIN], color="black", linestyle="--", linewidth=1)
        if place > 1:
            axes.set_yticks(range(len(names)), [""] * len(names))
    return figure


def _png(figure: Any) -> bytes:
    figure.tight_layout()
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})  # the same bytes for the same curves
    return stream.getvalue()
