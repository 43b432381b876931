"""A matplotlib figure that becomes a PNG of 800 pixels width, and the text that its fonts can draw.

pyplot is left out: it keeps every figure and its settings globally, and looks for a display.

matplotlib brings DejaVu Sans, which has no Chinese characters. A class name that no installed font can draw is shown
by its position in `class_names`, with the characters that can be drawn: 红细胞 as #0, 细胞 RBC as #0 RBC. So are names
that are the same once they are shortened.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import unicodedata
from typing import Any, Iterator, Literal, Optional, Sequence

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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
}

_LATIN_FONT = "DejaVu Sans"
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC",
    "Arial Unicode MS",
)  # fmt: skip
"""In this order; the Docker image has WenQuanYi Micro Hei."""
_MAX_NAME_WIDTH = 24


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


@functools.lru_cache(maxsize=None)
def font_families() -> tuple[str, ...]:
    """Return the installed fonts to draw with, in order: each character comes from the first one that has it."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    chinese = [name for name in _CHINESE_FONTS if name in installed]
    return (_LATIN_FONT, *chinese[:1])  # one is enough: each of them covers Chinese


def drawable_names(class_names: Sequence[str]) -> list[str]:
    """Shorten names to one line of at most 24 Latin characters' width that the fonts can draw; none occurs twice."""
    names = [_drawable_name(index, name) for index, name in enumerate(class_names)]
    counts = collections.Counter(names)
    return [
        name if counts[name] == 1 else drawable_text(f"#{index} {class_names[index]}")
        for index, name in enumerate(names)
    ]


def _drawable_name(index: int, name: str) -> str:
    drawable = drawable_text(name)
    if drawable and all(character.isspace() or ord(character) in _supported_characters() for character in name):
        return drawable
    return f"#{index} {drawable}".strip()


def drawable_text(text: str, max_width: int = _MAX_NAME_WIDTH) -> str:
    """Reduce a text to one line of characters that the fonts can draw, shortened to `max_width` Latin characters."""
    kept = "".join(character if ord(character) in _supported_characters() else " " for character in text)
    line = " ".join(kept.split())
    if text_width(line) > max_width:
        while text_width(line) > max_width - 1:
            line = line[:-1]
        line = f"{line}…"
    return line.replace("$", r"\$")  # between two of them matplotlib would read a formula


def text_width(text: str) -> int:
    """Return the width of a text in Latin characters; a Chinese character counts as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@functools.lru_cache(maxsize=None)
def _supported_characters() -> frozenset[int]:
    files = {font_manager.findfont(name) for name in font_families()}
    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))
