"""A matplotlib figure that becomes a PNG of 800 pixels width, without pyplot and its global state."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Iterator, Literal, Optional

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .lettering import font_families

WIDTH_PIXELS = 800
_DPI = 100
GREY = "#8a8a8a"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#6b4f2a", "#8b1a1a", "#99a800")
"""Ten that people with colour blindness tell apart as well as may be (after Okabe and Ito), for lines on white."""

_Layout = Optional[Literal["constrained"]]
_STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "legend.fontsize": 10,
    "legend.framealpha": 0.9,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.constrained_layout.w_pad": 0.09,
}


class Sheet:
    """A figure, and its PNG once the block around it has ended."""

    def __init__(self, height_pixels: int, layout: _Layout) -> None:
        inches = (WIDTH_PIXELS / _DPI, (height_pixels + 0.01) / _DPI)  # a little more: matplotlib rounds down
        self.figure = Figure(figsize=inches, dpi=_DPI, layout=layout)
        self.png = b""


@contextlib.contextmanager
def new_sheet(height_pixels: int, layout: _Layout = "constrained") -> Iterator[Sheet]:
    """Everything that is drawn in the block comes out with the fonts and the style of all sheets.

    Args:
        layout: of matplotlib, which makes room for titles and legends; None where axes are placed by hand.
    """
    with matplotlib.rc_context({**_STYLE, "font.family": list(font_families())}):
        sheet = Sheet(height_pixels, layout)
        canvas = FigureCanvasAgg(sheet.figure)
        yield sheet
        file = io.BytesIO()
        canvas.print_png(file)
        sheet.png = file.getvalue()


def say_nothing_to_show(axes: Axes, text: str) -> None:
    """A sentence in the middle of empty axes, in place of numbers that there are not."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)
