"""One start at a time works on an output folder: a second one would spoil the results of the first.

The lock is an flock on a file in the folder. The kernel, or the file server, releases it when the last process that has
the file open has died, however that was: the next start goes on. Children inherit the open file, so that none begins
while one of them is still working. Machines of one task may share a folder: each has its own lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import platform
import time
from pathlib import Path
from types import TracebackType

from ..atomic_file import is_at
from ..errors import OutputInUseError

logger = logging.getLogger(__name__)

_ATTEMPTS = 100  # each may meet the end of another start; a file system without stable inodes would fail for ever
_DYING_S = 3.0
"""How long a start waits for another one to end: killed processes with gigabytes of memory have the file open until
all of it is freed, and the next start may come at once."""
_POLL_S = 0.05


class OutputLock:
    """The lock of one machine on an output folder. A context manager, which removes the file of the lock at the end."""

    def __init__(self, folder: Path, machine_rank: int = 0, *, wait_s: float = _DYING_S) -> None:
        """
        Args:
            folder: /out.
            machine_rank: --machine-rank of `args_options`.
            wait_s: how long another start has to have the lock to be one that works.
        """
        self._deadline_s = time.monotonic() + wait_s
        self._path = folder / f".lock-{machine_rank}"
        self._fd: int | None = None

    @property
    def inherited_fds(self) -> tuple[int, ...]:
        """The file that children have to inherit, so that the folder stays locked until they have ended too."""
        return () if self._fd is None else (self._fd,)

    def __enter__(self) -> OutputLock:
        """Take the lock, or go on without it, with a warning, on a file system that has no locks.

        Raises:
            OutputInUseError: another start has it.
        """
        try:
            for _ in range(_ATTEMPTS):
                self._fd = self._lock()
                if self._fd is not None:
                    return self
            raise OSError("it is replaced all the time")
        except FileNotFoundError:
            pass  # no folder: whoever needs it reports that
        except OSError as error:  # a read-only folder as well, of which the first write will say more
            logger.warning("%s: cannot be locked (%s), so start no second task on this folder", self._path, error)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()  # before the release, after which it may be the lock of the next start
            os.close(self._fd)
            self._fd = None

    def _lock(self) -> int | None:
        """Return the locked file; None: it was removed by its former owner before it was locked."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)  # NFS needs O_RDWR
        try:
            self._flock(fd)
            is_current = is_at(fd, self._path)
        except BaseException:
            os.close(fd)
            raise
        if not is_current:
            os.close(fd)
            return None
        with contextlib.suppress(OSError):  # a full disk, or another user's file: the lock holds without these
            os.fchmod(fd, 0o666)  # whatever the umask: the next start may be another user's
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        return fd

    def _flock(self, fd: int) -> None:
        while not self._has_flock(fd):
            if time.monotonic() >= self._deadline_s:
                owner = " ".join(os.pread(fd, 200, 0).decode("utf-8", "replace").split()) or "unknown"
                raise OutputInUseError(
                    f"{self._path.parent}: another start is working on this output folder ({owner});"
                    " wait for its end or stop it"
                )
            time.sleep(_POLL_S)

    def _has_flock(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):  # NFS answers with either
            return False
