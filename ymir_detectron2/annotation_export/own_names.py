"""The names of images in annotations for a labelling tool: those that its user knows, not those of the task.

Names are those of strangers: none of them leads out of the folder that is written, and none has a line break.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Iterable, Mapping, Sequence

from ..sources.image_files import IMAGE_FOLDERS, LABEL_FOLDERS
from ..tools.file_names import readable_names


def own_names(names: Sequence[str], sources: Mapping[str, str]) -> dict[str, PurePosixPath]:
    """Return for each name of a result the path that its user knows, below the folder that all images share.

    `line3/0042.jpg` if there are images of other folders, else `0042.jpg`.

    Args:
        names: base names of infer-result.json.
        sources: name -> path of the user's file, as far as it is known. No file is opened.
    """
    known = {name: Path(sources[name]) for name in names if _is_plain_path(sources.get(name))}
    root = Path(os.path.commonpath([path.parent for path in known.values()])) if known else Path()
    taken: set[str] = set()
    wanted = {name: known[name].relative_to(root).as_posix() if name in known else _base(name) for name in names}
    return {name: _untaken(PurePosixPath(own), taken) for name, own in wanted.items()}


def names_by_stem(names: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return names that differ without their extensions too, for formats with one annotation file per image.

    `0042.jpg` and `0042.png` become `0042.jpg` and `0042_2.png`. Folders called `images`, `labels` and the like are
    left out: in these formats they mean something.
    """
    taken: set[str] = set()
    unique = []
    for name in names:
        folders = [part for part in name.parts[:-1] if part.lower() not in IMAGE_FOLDERS | LABEL_FOLDERS]
        unique.append(_untaken(PurePosixPath(*folders, name.name), taken, by_stem=True))
    return unique


def _untaken(name: PurePosixPath, taken: set[str], *, by_stem: bool = False) -> PurePosixPath:
    """Return a name, numbered if it is taken already, and take it; file systems may ignore capitals."""
    number, free = 1, name
    while (key := str(free.with_suffix("") if by_stem else free).casefold()) in taken:
        number += 1
        free = name.with_name(f"{name.stem}_{number}{name.suffix}")
    taken.add(key)
    return free


def _is_plain_path(path: object) -> bool:
    """Return whether a path can be taken over as it is: absolute, of printable characters, and going down only."""
    return isinstance(path, str) and path.isprintable() and path.startswith("/") and ".." not in Path(path).parts


def _base(name: str) -> str:
    if name.isprintable() and PurePosixPath(name).name == name and name not in ("", ".."):
        return name
    return readable_names([Path(name)])[Path(name)]
