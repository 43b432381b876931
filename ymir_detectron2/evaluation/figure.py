"""A matplotlib figure that becomes a PNG of 800 pixels width.

pyplot is left out: it keeps every figure and its settings globally, and looks for a display.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Iterator, Literal, Optional

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .fonts import font_families

WIDTH_PIXELS = 800
_DPI = 100
GREY = "#8a8a8a"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#6b4f2a", "#8b1a1a", "#99a800")
"""Ten line colours on white that stay distinguishable with colour blindness (after Okabe and Ito)."""

_Layout = Optional[Literal["constrained"]]
_STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,  # the grid behind lines and bars
    "grid.color": "#e3e3e3",
    "legend.fontsize": 10,
    "legend.framealpha": 0.9,
    "figure.constrained_layout.h_pad": 0.09,  # inches, twice matplotlib's own
    "figure.constrained_layout.w_pad": 0.09,
    "text.parse_math": False,  # between two $ of a class name it would read a formula
}


class PngFigure:
    """A figure, and its PNG once the `new_figure` block around it has ended."""

    def __init__(self, height_pixels: int, layout: _Layout) -> None:
        inches = (WIDTH_PIXELS / _DPI, (height_pixels + 0.01) / _DPI)  # a little more: matplotlib rounds down
        self.figure = Figure(figsize=inches, dpi=_DPI, layout=layout)
        self.png = b""


@contextlib.contextmanager
def new_figure(height_pixels: int, layout: _Layout = "constrained") -> Iterator[PngFigure]:
    """Create a figure in the common style and fonts; render its PNG when the block ends.

    Args:
        layout: of matplotlib, which makes room for titles and legends; None where axes are placed by hand.
    """
    with matplotlib.rc_context({**_STYLE, "font.family": list(font_families())}):
        output = PngFigure(height_pixels, layout)
        canvas = FigureCanvasAgg(output.figure)  # Agg needs no display
        yield output
        file = io.BytesIO()
        canvas.print_png(file)  # inside rc_context: some settings are only read while rendering
        output.png = file.getvalue()


def annotate_empty(axes: Axes, text: str) -> None:
    """Write a sentence into the middle of axes that have no data."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)
