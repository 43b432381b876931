"""Files that are either whole or not there: written beside their place, then renamed over it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Iterator

from .errors import StorageError


@contextmanager
def atomic_write(path: Path, mode: str = "w", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file that replaces `path` when the block ends well, and vanishes when it does not.

    Args:
        path: the file to write; missing folders above it are made.
        mode: "w" (UTF-8 text, "\\n" line ends; file names that are no UTF-8 come out as their own bytes) or "wb".
        durable: wait until the disk has it, so that it outlives a power cut.

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text_options = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **text_options) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise  # of another file, met by whoever writes this one
        raise StorageError.from_os_error(path, error) from error
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    """Free the space of a file that did not get finished: on a full disk the failure report needs it."""
    try:
        temporary.unlink()
    except OSError:
        return  # renamed away, or never made
