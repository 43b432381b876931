"""What the writers of all formats have in common: the folder that they write, with the images or without."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Iterable, Tuple

from ..atomic_file import atomic_write
from ..tools.assets import place_file

NamedFile = Tuple[PurePosixPath, Path]
"""A name in the dataset, and the file."""


class DatasetFolder:
    """The folder of a dataset that is being written."""

    def __init__(self, root: Path, *, source_dir: Path | None, with_images: bool) -> None:
        """
        Args:
            root: missing or empty.
            source_dir: images in it are hard-linked, all others are copied.
            with_images: put the images there too.
        """
        self.root = root
        self._source_dir = source_dir
        self._with_images = with_images

    def write_text(self, name: str, text: str) -> Path:
        """Write a file below the folder; return it."""
        file = self.root / name
        with atomic_write(file) as stream:
            stream.write(text)
        return file

    def place_images(self, folder: str, images: Iterable[NamedFile]) -> None:
        """Put images below a folder, unless the user wants none."""
        for name, file in images if self._with_images else ():
            place_file(file, self.root / folder / str(name), self._source_dir)
