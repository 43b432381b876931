"""Atomic writes: a file gets its name, by renaming, only when it is complete, so that nobody reads half of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, Any, Iterator

from .errors import StorageError


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file that replaces `path` at the end of the block, or is removed if the block raises.

    Args:
        path: the file to write; missing parent folders are created.
        mode: "w" (UTF-8 text, "\\n" line ends; the bytes of file names that are not UTF-8 are kept) or "wb".
        durable: wait until it is on the disk, so that it survives a power cut.

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    # the process id, because several processes may write the same file, such as monitor.txt
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
            raise  # from the block, about a file that it reads
        raise StorageError.from_os_error(path, error) from error
    finally:
        # an incomplete file takes up space, which on a full disk the failure report needs
        with contextlib.suppress(OSError):  # usually it has been renamed
            temporary.unlink()
