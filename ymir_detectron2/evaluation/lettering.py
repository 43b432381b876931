"""Class names that can be drawn, whatever fonts a machine has.

matplotlib brings DejaVu Sans, which knows no Chinese. A name that no installed font can write is shown by its position
in `class_names`, with the letters that can be written: 红细胞 as #0, 细胞 RBC as #0 RBC. So are names that are the same
once they are cut.
"""

from __future__ import annotations

import collections
import functools
import unicodedata
from typing import Sequence

from matplotlib import font_manager

_OWN_FONT = "DejaVu Sans"
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC",
    "Arial Unicode MS",
)  # fmt: skip
_LONGEST = 24


@functools.lru_cache(maxsize=None)
def font_families() -> tuple[str, ...]:
    """The fonts to look for a letter in, first one first; each of them is there."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    chinese = [name for name in _CHINESE_FONTS if name in installed]
    return (_OWN_FONT, *chinese[:1])


def drawable_names(class_names: Sequence[str]) -> list[str]:
    """Names of one line, at most 24 letters wide, in letters that can be drawn and free of formulas; none twice."""
    names = [_drawable(index, name) for index, name in enumerate(class_names)]
    counts = collections.Counter(names)
    return [
        name if counts[name] == 1 else drawable_text(f"#{index} {class_names[index]}")
        for index, name in enumerate(names)
    ]


def drawable_text(text: str, longest: int = _LONGEST) -> str:
    """One line in letters that can be drawn; others are left out."""
    kept = "".join(letter if ord(letter) in _known_letters() else " " for letter in text)
    words = " ".join(kept.split())
    if letters_wide(words) > longest:
        while letters_wide(words) > longest - 1:
            words = words[:-1]
        words = f"{words}…"
    return words.replace("$", r"\$")  # between two of them matplotlib would read a formula


def letters_wide(text: str) -> int:
    """How much room a text takes, in Latin letters: a Chinese one takes that of two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _drawable(index: int, name: str) -> str:
    known = drawable_text(name)
    if known and all(letter.isspace() or ord(letter) in _known_letters() for letter in name):
        return known
    return f"#{index} {known}".strip()


@functools.lru_cache(maxsize=None)
def _known_letters() -> frozenset[int]:
    files = {font_manager.findfont(name) for name in font_families()}
    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))
