"""The installed fonts to draw with, and the text that they can draw.

matplotlib brings DejaVu Sans, which has no Chinese characters. A class name that no installed font can draw is shown
by its position in `class_names`, with the characters that can be drawn: 红细胞 as #0, 细胞 RBC as #0 RBC. So are names
that are the same once they are shortened.
"""

from __future__ import annotations

import collections
import functools
import itertools
import unicodedata
from typing import Iterator, Sequence

from matplotlib import font_manager

_LATIN_FONT = "DejaVu Sans"
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC",
    "Arial Unicode MS",
)  # fmt: skip
"""In this order; the Docker image has WenQuanYi Micro Hei."""
_MAX_NAME_WIDTH = 24


@functools.lru_cache(maxsize=None)
def font_families() -> tuple[str, ...]:
    """Return the installed fonts to draw with, in order: each character comes from the first one that has it."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    chinese = [name for name in _CHINESE_FONTS if name in installed]
    return (_LATIN_FONT, *chinese[:1])  # one is enough: each of them covers Chinese


@functools.lru_cache(maxsize=None)
def font_files() -> tuple[str, ...]:
    """Return the files of `font_families`."""
    return tuple(font_manager.findfont(name) for name in font_families())


def split_by_font(text: str) -> Iterator[tuple[str, str]]:
    """Yield the stretches of a text, each with the first font file that has its characters."""
    for file, characters in itertools.groupby(text, _font_file_of):
        yield "".join(characters), file


@functools.lru_cache(maxsize=1 << 16)
def _font_file_of(character: str) -> str:
    return next((file for file in font_files() if ord(character) in _characters_of(file)), font_files()[0])


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
    return line


def text_width(text: str) -> int:
    """Return the width of a text in Latin characters; a Chinese character counts as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@functools.lru_cache(maxsize=None)
def _supported_characters() -> frozenset[int]:
    return frozenset().union(*map(_characters_of, font_files()))


@functools.lru_cache(maxsize=None)
def _characters_of(font_file: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(font_file).get_charmap())
