"""A memory limit as a container has it: a cgroup of version 1 or 2 for a test, where root may make one."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

_MOUNTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


@contextlib.contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    """Make a cgroup with a memory limit, and remove it when its processes have ended; else skip the test."""
    reasons = []
    for mount in _MOUNTS:
        folder = mount / f"ymir-test-{os.getpid()}-{time.monotonic_ns()}"
        try:
            folder.mkdir()
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
            continue
        try:
            _limit(folder, limit_bytes)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
            folder.rmdir()
            continue
        try:
            yield folder
        finally:
            _remove(folder)
        return
    pytest.skip("no memory cgroup can be made here: " + "; ".join(reasons))


def prefix_in(folder: Path) -> list[str]:
    """Return what to put before a script so that Python runs it in a cgroup."""
    return ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$0" "$@"', sys.executable]


def _limit(folder: Path, limit_bytes: int) -> None:
    version_1 = folder / "memory.limit_in_bytes"
    if version_1.exists():
        version_1.write_text(str(limit_bytes))
        return
    (folder.parent / "cgroup.subtree_control").write_text("+memory")
    (folder / "memory.max").write_text(str(limit_bytes))
    with contextlib.suppress(OSError):  # a kernel without swap
        (folder / "memory.swap.max").write_text("0")


def _remove(folder: Path) -> None:
    for _ in range(100):  # what has just been killed is still a member
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.05)
