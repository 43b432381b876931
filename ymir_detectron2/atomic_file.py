"""Atomic writes: a file gets its name, by renaming, only when it is complete, so that nobody reads half of it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import IO, Any, Callable, Iterator

from .errors import StorageError

_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file that replaces `path` at the end of the block, or is removed if the block raises.

    A power cut leaves the old file or the new one, see `replace_durably`.

    Args:
        path: the file to write; missing parent folders are created.
        mode: "w" (UTF-8 text, "\\n" line ends; the bytes of file names that are not UTF-8 are kept) or "wb".

    Raises:
        StorageError: the file system refused; the old file, if any, is untouched.
    """
    # the process id, because several processes may write the same file, such as monitor.txt; see also _TEMPORARY
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text_options = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, opener=_open_new, **text_options) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            replace_durably(file, temporary, path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, path, *path.parents):
            raise  # from the block, about a file that it reads
        raise StorageError.from_os_error(path, error) from error
    finally:
        # an incomplete file takes up space, which on a full disk the failure report needs
        with contextlib.suppress(OSError):  # usually it has been renamed
            temporary.unlink()


def _open_new(path: str, flags: int) -> int:
    # a killed process with the same id may have left a file, and others a link, which would be written through
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    return os.open(path, flags | os.O_EXCL, 0o666)


def replace_durably(file: IO[Any], path: Path, target: Path) -> None:
    """Rename a file, which is open and flushed, so that it keeps content and name after a power cut.

    Without the first fsync the name could belong to an empty file, without the second the old name could come back.
    Together they take half a millisecond on an SSD.
    """
    os.fsync(file.fileno())
    path.replace(target)
    with contextlib.suppress(OSError):  # some network file systems cannot; the file is whole all the same
        folder_fd = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of `atomic_write` that killed processes have left in a folder and those below it.

    One is as large as what was written: over many restarts they would fill the disk. Nobody else may be writing there.
    """
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError):  # of a read-only file system, which the first write reports
                path.unlink()


def is_at(fd: int, path: Path) -> bool:
    """Return whether an open file still has this path: others may have renamed or removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def watch_replacement(path: Path) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether `path` was written atomically since the block began.

    No clock is asked: that of a file server may differ from ours, and ours may be set meanwhile.
    """
    try:
        # kept open, so that the file system does not give the inode of the old file to the new one
        old_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        old_fd = -1  # usually there is none
    old = _identity(path)
    try:
        yield lambda: path.is_file() and _identity(path) != old
    finally:
        if old_fd >= 0:
            os.close(old_fd)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
