"""Which images are being read, kept on disk so that it is known after a kill: for the message, and for the next start.

    /out/.unfinished/reading/0-4711-4713.slots    of machine 0, process 4711 and its fork 4713: a page of JSON with the
                                                  counters of out-of-memory kills, then a page per image in work, its
                                                  path up to a NUL
    /out/.unfinished/reading/0.json               {"deaths": {path: at how many deaths it was in work}}

An image is in work from before its first byte is read until it has the size of the network. What a process has written
to a file outlives it; only a crash of the machine may lose it, since nothing is synced here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from pathlib import Path
from typing import Iterator

from ..atomic_file import atomic_write
from ..errors import StorageError, printable
from ..memory_limit import may_have_killed, oom_kill_counts, smallest_limit
from ..untrusted_files import open_own, read_regular
from .partial_results import PARTIAL_RESULTS_DIR

DEATHS_UNTIL_LEFT_OUT = 2
_SLOT_BYTES = 4096  # PATH_MAX of Linux
_MAX_BYTES = 64 << 20  # of a file of this module, far above what any process has in work
_NAMED = 3  # images in a message
_SUFFIX = ".slots"


class ImagesInWork:
    """The images that this process and its forks have in work, one file per process."""

    def __init__(self, output_dir: Path, machine_rank: int = 0) -> None:
        self._folder = _folder(output_dir)
        self._owner = f"{machine_rank}-{os.getpid()}-"
        self._pid = 0
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def holding(self, path: Path) -> Iterator[None]:
        """Have an image recorded within the block, which costs two small writes and never fails."""
        with self._lock:
            if self._pid != os.getpid():
                self._open()
            slot = self._free.pop() if self._free else self._new_slot()
        name = b""
        with contextlib.suppress(UnicodeEncodeError):  # no file can have such a name; it fails to be opened
            name = os.fsencode(path)[: _SLOT_BYTES - 1]
        self._write(slot, name + b"\0")
        try:
            yield
        finally:
            self._write(slot, b"\0")
            with self._lock:
                self._free.append(slot)

    def close(self) -> None:
        """Remove the files of this process, which has ended its work in order, and of its forks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._pid = None, 0
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{self._owner}*{_SUFFIX}"):
                path.unlink()
            self._folder.rmdir()  # fails as long as another process has its file there
            self._folder.parent.rmdir()

    def _open(self) -> None:
        """Begin a file of this process; a fork must not write into that of its parent."""
        self._pid, self._free, self._slots = os.getpid(), [], 0
        self._descriptor = None
        with contextlib.suppress(OSError):  # a full disk or a read-only one is reported by whoever writes results
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._owner}{self._pid}{_SUFFIX}"
            self._descriptor = open_own(str(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
            os.pwrite(self._descriptor, json.dumps(oom_kill_counts()).encode("ascii") + b"\0", 0)

    def _new_slot(self) -> int:
        self._slots += 1
        return self._slots

    def _write(self, slot: int, content: bytes) -> None:
        # not mmap: where the disk is full, writing to a mapped page is SIGBUS
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, content, slot * _SLOT_BYTES)


def images_in_work(output_dir: Path, machine_rank: int = 0, pid: int | None = None) -> list[str]:
    """Return the images that a process, or all of a machine, have in work, or had when they died."""
    return sorted({path for _, paths in _slot_files(output_dir, machine_rank, pid) for path in paths})


def describe_shortage(output_dir: Path, machine_rank: int = 0, pid: int | None = None) -> str:
    """Return what memory there was and what was read, for the message about a process that was killed.

    Returns:
        for example " (2.50 GB, cgroup /docker/3f9c) while it read a.jpg, b.jpg and 3 more".
    """
    bound = smallest_limit()
    paths = images_in_work(output_dir, machine_rank, pid)
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    while_reading = f" while it read {', '.join(map(printable, paths[:_NAMED]))}{more}" if paths else ""
    return (f" ({bound.limit_bytes / 1e9:.2f} GB, {bound.source})" if bound is not None else "") + while_reading


def count_deaths(output_dir: Path, machine_rank: int = 0) -> None:
    """Add what earlier starts had in work when they died to the deaths of each image, and forget their files.

    A death counts only if the kernel may have killed for want of memory since: neither a stop nor a crash does. To be
    called at a start, under the lock of the output folder, before anything reads images.

    Raises:
        StorageError: the file system refused.
    """
    folder = _folder(output_dir)
    files = list(_slot_files(output_dir, machine_rank))
    now = oom_kill_counts()
    dead = {path for counts, paths in files if may_have_killed(counts, now) for path in paths}
    deaths = read_deaths(output_dir, machine_rank)
    try:
        if dead:
            with atomic_write(_deaths_file(output_dir, machine_rank)) as file:
                json.dump({"deaths": {**deaths, **{path: deaths.get(path, 0) + 1 for path in dead}}}, file)
        for path in folder.glob(f"{machine_rank}-*{_SUFFIX}"):
            path.unlink()
    except OSError as error:
        raise StorageError.from_os_error(folder, error) from error


def read_deaths(output_dir: Path, machine_rank: int = 0) -> dict[str, int]:
    """Return at how many deaths of earlier starts each image was in work."""
    try:
        deaths = json.loads(read_regular(_deaths_file(output_dir, machine_rank), _MAX_BYTES))["deaths"]
        return {str(path): count for path, count in deaths.items() if isinstance(count, int)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # none so far; or damaged: then counting begins again


def machine_rank() -> int:
    """Return the number of this machine among those of the task, as torch's launcher sets it; 0 for anything else."""
    rank = os.environ.get("GROUP_RANK", "")
    return int(rank) if re.fullmatch("[0-9]{1,9}", rank) else 0


def lock_file(output_dir: Path, machine_rank: int = 0) -> Path:
    """Return the file by whose lock the processes of a machine read large images one at a time."""
    return _folder(output_dir) / f"{machine_rank}.lock"


def _slot_files(
    output_dir: Path, machine_rank: int, pid: int | None = None
) -> Iterator[tuple[dict[str, int], list[str]]]:
    """Yield the counters of out-of-memory kills at the beginning of each reading process, and its images in work."""
    for path in sorted(_folder(output_dir).glob(f"{machine_rank}-*-{pid or '*'}{_SUFFIX}")):
        with contextlib.suppress(OSError):
            content = read_regular(path, _MAX_BYTES)
            texts = [content[at : at + _SLOT_BYTES].split(b"\0")[0] for at in range(0, len(content), _SLOT_BYTES)]
            yield _counters(texts[:1]), [os.fsdecode(text) for text in texts[1:] if text]


def _counters(texts: list[bytes]) -> dict[str, int]:
    try:
        counts = json.loads(texts[0])
        return {str(name): count for name, count in counts.items() if isinstance(count, int)}
    except (ValueError, LookupError, AttributeError, RecursionError):
        return {}


def _folder(output_dir: Path) -> Path:
    return output_dir / PARTIAL_RESULTS_DIR / "reading"


def _deaths_file(output_dir: Path, machine_rank: int) -> Path:
    return _folder(output_dir) / f"{machine_rank}.json"
