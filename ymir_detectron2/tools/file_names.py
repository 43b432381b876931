"""Names of images in a task folder: those that the user knows, where index and result files can hold them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Iterable, Mapping

MAX_NAME_BYTES = 200
"""File systems take 255; the name of the annotation file is longer by its extension."""
_RESERVED_CHARACTERS = frozenset('<>:"/\\|?*')  # of Windows, where results are often opened
_RESERVED_STEMS = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)))
)


def readable_names(files: Iterable[Path]) -> dict[Path, str]:
    """Return a unique name for every file: its own, and only where two would have one, with its folders before it.

    `line3/0042.jpg` is `0042.jpg`, or `line3_0042.jpg` if another folder has a 0042.jpg too. Names that differ by case
    only count as one, as they do on Windows and macOS.
    """
    parts = dict.fromkeys(sorted(set(files)), 1)  # how many parts of its path the name of a file has
    while True:
        names = {file: _safe_name("_".join(file.parts[-count:])) for file, count in parts.items()}
        taken = Counter(map(_same_on_disk, names.values()))
        # the first part of an absolute path is /
        growing = [
            file
            for file, name in names.items()
            if taken[_same_on_disk(name)] > 1 and parts[file] < len(file.parts) - file.is_absolute()
        ]
        if not growing:
            return _numbered(names)
        for file in growing:
            parts[file] += 1


def _numbered(names: Mapping[Path, str]) -> dict[Path, str]:
    """Tell names apart that are still the same: what made them different could not be written."""
    taken = set(map(_same_on_disk, names.values()))
    seen: set[str] = set()
    unique = {}
    for file, name in names.items():
        path, number = PurePosixPath(name), 2
        while _same_on_disk(name) in seen or (number > 2 and _same_on_disk(name) in taken):
            name = f"{path.stem}_{number}{path.suffix}"
            number += 1
        seen.add(_same_on_disk(name))
        unique[file] = name
    return unique


def _same_on_disk(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _safe_name(name: str) -> str:
    """Replace what a line of an index file cannot hold, or what a file system, shell or terminal takes for more."""
    text = os.fsencode(name).decode("utf-8", "replace").replace("\ufffd", "_")
    text = "".join("_" if _is_unsafe(character) else character for character in text).strip()
    if text.startswith("-"):  # a command would take it for an option
        text = f"_{text[1:]}"
    if PurePosixPath(text).stem.lower() in _RESERVED_STEMS or text in ("", ".", ".."):
        text = f"_{text}"
    return text if len(text.encode("utf-8")) <= MAX_NAME_BYTES else _shortened(text)


def _is_unsafe(character: str) -> bool:
    # controls and formats (tab, newline, direction marks), lone surrogates, line and paragraph separators
    return character in _RESERVED_CHARACTERS or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _shortened(name: str) -> str:
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    end = f"~{hashlib.sha256(name.encode('utf-8')).hexdigest()[:8]}{suffix}"
    return name.encode("utf-8")[: MAX_NAME_BYTES - len(end.encode("utf-8"))].decode("utf-8", "ignore") + end
