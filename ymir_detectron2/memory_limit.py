"""How much memory this process may still use, and whether the kernel has killed for want of it.

The smallest of: the machine's available memory (/proc/meminfo), every level of the cgroup of this process (v1 and v2),
and RLIMIT_AS. Source: proc(5), and cgroup-v2.rst and cgroup-v1/memory.rst of the Linux kernel.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Iterator, NamedTuple

_ROOT = Path("/")


class MemoryBound(NamedTuple):
    """One limit on the memory of this process."""

    limit_bytes: int
    available_bytes: int
    """Of it, what is still free or can be freed at once, such as cached files; zero or more."""
    source: str
    """What sets it, for messages: "the machine", "cgroup /docker/3f9c", "RLIMIT_AS"."""


def tightest_bound(root: Path = _ROOT) -> MemoryBound | None:
    """Return the bound with the least available memory; None where the system tells nothing, as without /proc.

    Takes about half a millisecond.

    Args:
        root: where /proc and the mounts of cgroups are found.
    """
    return min(_bounds(root), key=lambda bound: bound.available_bytes, default=None)


def smallest_limit(root: Path = _ROOT) -> MemoryBound | None:
    """Return the bound with the lowest limit: that does not change while the machine is used; None: as above."""
    return min(_bounds(root), key=lambda bound: bound.limit_bytes, default=None)


def oom_kill_counts(root: Path = _ROOT) -> dict[str, int]:
    """Return how many processes the kernel's out-of-memory killer has killed, per counter that there is.

    The keys name a counter for good: the cgroup with its inode, and the machine since its boot. An older kernel than
    Linux 4.13 has none.
    """
    proc = root / "proc"
    boot = _text(proc / "sys/kernel/random/boot_id").strip()
    counts = {f"machine {boot}": _fields(proc / "vmstat").get("oom_kill")}
    for folder in _own_cgroups(root):
        # memory.events counts those of all groups below, oom_control those of this one: our processes share it
        found = {**_fields(folder / "memory.oom_control"), **_fields(folder / "memory.events")}
        if "oom_kill" in found:
            counts[f"cgroup {boot} {folder} {folder.stat().st_ino}"] = found["oom_kill"]
    return {name: count for name, count in counts.items() if count is not None}


def may_have_killed(before: dict[str, int], now: dict[str, int]) -> bool:
    """Return whether the out-of-memory killer may have killed in this cgroup between two `oom_kill_counts`.

    The counter of the same cgroup decides, else that of the machine, which counts all of its containers; where neither
    is known, it may have.
    """
    for kind in ("cgroup ", "machine "):
        same = [name for name in before if name.startswith(kind) and name in now]
        if same:
            return any(now[name] > before[name] for name in same)
    return True


def _bounds(root: Path) -> Iterator[MemoryBound]:
    machine = _fields(root / "proc/meminfo")
    if "MemTotal:" in machine:
        available = machine.get("MemAvailable:", machine.get("MemFree:", 0))
        yield MemoryBound(machine["MemTotal:"] * 1024, available * 1024, "the machine")
    for folder, name in _cgroup_levels(root):
        bound = _cgroup_bound(folder, name)
        if bound is not None:
            yield bound
    limit = _address_space_limit(root)
    if limit is not None:
        pages = _text(root / "proc/self/statm").split()[:1]
        used = int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
        yield MemoryBound(limit, max(0, limit - used), "RLIMIT_AS")


def _cgroup_bound(folder: Path, name: str) -> MemoryBound | None:
    stat = _fields(folder / "memory.stat")
    # v2: max and high, beyond which the kernel slows a process down until it seems to hang; v1: one limit, and that of
    # the levels above, which a container may not see
    texts = [_text(folder / file) for file in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.strip().isdigit()]
    limits += [stat["hierarchical_memory_limit"]] if "hierarchical_memory_limit" in stat else []
    used = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
    if not limits or not used.strip().isdigit():
        return None
    cached = stat.get("total_inactive_file", stat.get("inactive_file", 0))  # v1 has both, the first with its children
    limit = min(limits)
    return MemoryBound(limit, max(0, limit - max(0, int(used) - cached)), f"cgroup {name}")


def _cgroup_levels(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield folder and name of each cgroup of this process, from its own to the topmost that is visible."""
    for mount, below in _cgroup_places(root):
        for level in (below, *below.parents):
            folder = mount / level
            if folder.is_dir():
                yield folder, "/" if level == Path() else f"/{level}"


def _own_cgroups(root: Path) -> Iterator[Path]:
    return (folder for folder in (mount / below for mount, below in _cgroup_places(root)) if folder.is_dir())


@functools.lru_cache(maxsize=None)
def _cgroup_places(root: Path) -> tuple[tuple[Path, Path], ...]:
    """Return each mounted hierarchy that can limit memory: its mount, and this process's cgroup relative to it."""
    groups = {}
    for line in _text(root / "proc/self/cgroup").splitlines():  # 4:memory:/docker/3f9c, or 0::/docker/3f9c for v2
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" or "memory" in controllers.split(","):
            groups["cgroup2" if number == "0" else "cgroup"] = path
    places = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        mount, _, file_system = line.partition(" - ")
        kind, *options = file_system.split()
        if kind in groups and (kind == "cgroup2" or "memory" in options[-1].split(",")):
            top, mount_point = (_unescape(text) for text in mount.split()[3:5])
            path = groups[kind]
            # a container without a cgroup namespace sees its path on the host, and its own cgroup at the mount
            is_below = path == top or path.startswith(top.rstrip("/") + "/")
            below = path[len(top.rstrip("/")) :] if is_below and ".." not in path.split("/") else ""
            places.append((root / mount_point.lstrip("/"), Path(below.lstrip("/"))))
    return tuple(places)


def _unescape(text: str) -> str:
    r"""Resolve the escapes of mountinfo, such as \040 for a space."""
    return text.encode("latin-1", "replace").decode("unicode_escape") if "\\" in text else text


def _address_space_limit(root: Path) -> int | None:
    for line in _text(root / "proc/self/limits").splitlines():
        if line.startswith("Max address space"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else None
    return None


def _fields(file: Path) -> dict[str, int]:
    """Return the numbers of a file with lines like `oom_kill 3` or `MemTotal: 16384 kB`, by name."""
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) >= 2 and row[1].isdigit()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # the system has no such file, or does not show it
        return ""
