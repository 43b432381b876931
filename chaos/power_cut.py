"""What a power cut leaves of /out: all that was synced, and of the rest as little as a file system may keep.

The journal of disk_shim.c says what was done since. POSIX promises a file's content after an fsync of the file, and its
name after one of the folder. Of the rest, the tail of a file may be missing or zero although its name is there, and the
latest changes of names in a folder may be undone, in their order. New folders stay: Linux keeps those of synced files.
"""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Iterable, NamedTuple

from .faults import Fault
from .running import Start, StartOptions


class Operation(NamedTuple):
    """A line of the journal."""

    kind: str
    inode: int
    number: int
    """Offset of a write, size after a truncation or sync, inode of the file that a rename replaces (0: none)."""
    path: Path
    new_path: Path


class PowerCut(Fault):
    """All processes end at one moment, and what was not synced is damaged."""

    excuses_death = True
    _KINDS = "owtsrud"

    def options(self) -> StartOptions:
        number = self.nth_operation(self._KINDS)
        self._journaled = self.shim().watch(
            self.scene.out_dir, self.scene.root / "disk", action="hold", kinds=self._KINDS, first=number, last=1 << 40,
            has_journal=True,
        )  # fmt: skip
        return self._journaled.options

    def strike(self, start: Start) -> None:
        if start.wait_until(self._journaled.is_reached):
            start.kill()

    def repair(self) -> None:
        operations = read_journal(self._journaled.journal)
        self.story += undo_names(operations, self._journaled.kept, self.rng)
        self.story += damage_contents(operations, self.scene.out_dir, self.rng)


def read_journal(path: Path) -> list[Operation]:
    """Read what was done, in its order."""
    operations = []
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        kind, inode, number, name, new_name = line.split("\t")
        operations.append(Operation(kind, int(inode), int(number), Path(name), Path(new_name)))
    return operations


def undo_names(operations: Iterable[Operation], kept: Path, rng: random.Random) -> list[str]:
    """Undo the latest changes of names of each folder, none or all or some of those since its last sync."""
    pending: dict[Path, list[int]] = {}
    numbered = list(enumerate(operations))
    for number, operation in numbered:
        if operation.kind == "s" and operation.path.is_dir():
            pending.pop(operation.path, None)
        elif operation.kind in "oru":
            pending.setdefault(operation.path.parent, []).append(number)
    firsts = {folder: rng.choice((0, rng.randint(0, len(numbers)))) for folder, numbers in pending.items()}
    undone = {number for folder, numbers in pending.items() for number in numbers[firsts[folder] :]}
    story = []
    for number, operation in reversed(numbered):
        if number in undone:
            story.append(f"undone: {operation.kind} {operation.path.name} {operation.new_path.name}".rstrip(" ."))
            with contextlib.suppress(FileNotFoundError):  # its folder was removed
                _undo(operation, kept)
    return story


def _undo(operation: Operation, kept: Path) -> None:
    path, new_path = operation.path, operation.new_path
    if operation.kind == "o" and _inode(path) == operation.inode:
        path.unlink()
    elif operation.kind == "u" and not path.exists():
        os.link(kept / str(operation.inode), path)
    elif operation.kind == "r" and _inode(new_path) == operation.inode:
        new_path.rename(path)
        if operation.number:
            os.link(kept / str(operation.number), new_path)


def _inode(path: Path) -> int:
    return path.lstat().st_ino if path.exists() else 0


def damage_contents(operations: Iterable[Operation], out_dir: Path, rng: random.Random) -> list[str]:
    """Cut off or zero the tails that were not synced, or leave them; return what was damaged."""
    synced: dict[int, int] = {}
    for operation in operations:
        if operation.kind in "ost":
            synced[operation.inode] = operation.number
        elif operation.kind == "w":
            synced[operation.inode] = min(synced.get(operation.inode, operation.number), operation.number)
    story = []
    for path in sorted(out_dir.rglob("*")):
        if path.is_file() and path.stat().st_ino in synced:
            size = path.stat().st_size
            begin = synced[path.stat().st_ino]
            if begin < size:
                story.append(damage_tail(path, rng.choice((begin, rng.randint(begin, size))), rng))
    return story


def damage_tail(path: Path, begin: int, rng: random.Random) -> str:
    """Cut a file off at `begin`, or fill it with zeros from there on; return what was done."""
    size = path.stat().st_size
    is_cut = rng.random() < 0.5
    os.truncate(path, begin)
    if not is_cut:
        os.truncate(path, size)
    return f"{path.name}: {'cut off' if is_cut else 'zeros'} from {begin} of {size} on"


class DamageNewest(Fault):
    """All processes end at one moment, and the newest state of unfinished work is damaged, though it was synced."""

    excuses_death = True

    def strike(self, start: Start) -> None:
        if self.wait_for_moment(start):
            start.kill()

    def repair(self) -> None:
        unfinished = self.scene.out_dir / ".unfinished"
        states = [path for path in unfinished.rglob("*") if path.suffix in (".pth", ".tsv")]
        if states:
            newest = max(states, key=lambda path: path.stat().st_mtime_ns)
            self.story.append(damage_tail(newest, self.rng.randrange(newest.stat().st_size + 1), self.rng))
