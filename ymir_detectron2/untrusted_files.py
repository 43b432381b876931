"""Files that are named in data: opened only if they are regular, and below the folder that they are to be in."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_PATH_CHARS = 4096
"""Linux's PATH_MAX: no longer text of a list or annotation can name a file."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    A FIFO would block for ever, a device may never end, and opening one can have effects.

    Raises:
        OSError: it cannot be opened; or it is a folder, FIFO, socket or device, or a name that no file can have, which
            `strerror` then says.
    """
    try:
        return open(path, "rb", opener=_open_regular_descriptor)  # Path.open takes no opener
    except ValueError as error:  # a NUL in the name, or half of a surrogate pair
        raise OSError(errno.EINVAL, "Not a file name", str(path)) from error


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file that is not larger than any of its kind has to be.

    Raises:
        OSError: as `open_regular`; or the file is larger.
    """
    with open_regular(path) as file:
        # not read(max_bytes), which would reserve all of them before it reads
        size = min(os.fstat(file.fileno()).st_size, max_bytes)
        content = file.read(size + 1)
        if len(content) > size:  # too large, still growing, or of /proc, where sizes are 0
            content += file.read(max_bytes - size)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"Larger than {max_bytes} bytes", str(path))
    return content


def is_file(path: Path) -> bool:
    """Return whether a path that data names leads to a regular file.

    False too for what no file system allows, such as a name of 300 characters, where `Path.is_file` raises.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_path(value: object) -> bool:
    """Return whether a value from data can be a path: text on one line, of at most 4096 characters, Linux's PATH_MAX.

    A line break is allowed in a file name, and would tear apart every index, and every sentence that names the file.
    """
    if not isinstance(value, str) or len(value) > MAX_PATH_CHARS:
        return False
    return value.splitlines() == [value] and "\0" not in value


def open_own(path: str, flags: int) -> int:
    """Open a file that this project itself writes below /out: an opener for `open`.

    Whoever had /out before may have put a link there, through which another file would be written, or a FIFO.

    Raises:
        OSError: as `open_regular`; or it is a symbolic link.
    """
    return _open_regular_descriptor(path, flags | os.O_NOFOLLOW)


def _open_regular_descriptor(path: str, flags: int) -> int:
    # O_NONBLOCK: open() of a FIFO returns at once; regular files do not know it. Judged by the descriptor, so that the
    # file cannot be exchanged between the check and the use.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "Not a regular file", path)


def path_below(folder: Path, name: str) -> Path | None:
    """Return the path of a file that data names, relative to a folder; None if it leads anywhere else.

    Neither an absolute name nor `..` leads out, nor does a symbolic link: the place that the path resolves to counts.
    The file need not exist.

    Args:
        folder: may itself be a link, as the platform mounts /in/assets.
        name: one or several components, such as "images/a.jpg".
    """
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    path = folder / name
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # resolving does not complain of a name that is too long
        is_below = is_within(path, folder) and path != folder
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that is too long or no text
        return None
    return path if is_below else None


def is_within(path: Path, folder: Path) -> bool:
    """Return whether a path is in a folder once the symbolic links of both are resolved."""
    resolved = path.resolve()
    return folder.resolve() in (resolved, *resolved.parents)
