"""disk_shim.c, compiled, and what it is told by environment variables for one start."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .running import StartOptions

KINDS = "owtsrud"
"""Operations, as in disk_shim.c: open for writing, write, truncate, sync, rename, unlink, make a directory."""
_SOURCE = Path(__file__).with_name("disk_shim.c")
_COUNTERS = struct.Struct(f"{len(KINDS) + 2}l")
_FOR_EVER = 1 << 40


@dataclass(frozen=True)
class Watch:
    """The shim at work below one folder, during one start."""

    library: Path
    folder: Path
    state: Path
    """A folder for its counters, its journal and the files that it keeps."""
    variables: dict[str, str]

    @property
    def options(self) -> StartOptions:
        return StartOptions(environment={"LD_PRELOAD": str(self.library), **self.variables})

    @property
    def journal(self) -> Path:
        return self.state / "journal"

    @property
    def kept(self) -> Path:
        return self.state / "kept"

    def operations(self) -> dict[str, int]:
        """Return how many there were, by kind."""
        return dict(zip(KINDS, self._counters()))

    def is_reached(self) -> bool:
        """Return whether the operation has come that was asked for."""
        return self._counters()[-1] == 1

    def _counters(self) -> tuple[int, ...]:
        return _COUNTERS.unpack((self.state / "counters").read_bytes()[: _COUNTERS.size])


class DiskShim:
    """The compiled library."""

    def __init__(self, work: Path) -> None:
        """
        Args:
            work: gets the library.

        Raises:
            FileNotFoundError: there is no compiler.
            subprocess.CalledProcessError: it refuses the source.
        """
        self._library = work / "disk_shim.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE)]
        subprocess.run(command, check=True)  # noqa: S603 - our own source

    def watch(
        self, folder: Path, state: Path, *, action: str = "0", kinds: str = KINDS, first: int = _FOR_EVER,
        last: int = _FOR_EVER, sleep_us: int = 0, is_short: bool = False, has_journal: bool = False,
    ) -> Watch:  # fmt: skip
        """Return what a start needs.

        Args:
            folder: whose files are watched.
            state: does not exist yet, or is that of an earlier start.
            action: the number of an error, "kill", or "hold", for the operations `first` to `last` of these kinds.
            sleep_us: how long each of these kinds takes, in microseconds.
            is_short: every write is split, every third fails by EINTR first.
            has_journal: write down all operations.
        """
        shutil.rmtree(state, ignore_errors=True)
        (state / "kept").mkdir(parents=True)
        (state / "counters").write_bytes(bytes(mmap.PAGESIZE))
        if has_journal:
            (state / "journal").touch()
        values = {
            "FOLDER": str(folder.resolve()), "COUNTERS": str(state / "counters"), "ACTION": action, "KINDS": kinds,
            "FIRST": str(first), "LAST": str(last), "SLEEP_US": str(sleep_us), "SHORT": str(int(is_short)),
            "JOURNAL": str(state / "journal") if has_journal else "", "KEEP": str(state / "kept"),
        }  # fmt: skip
        return Watch(self._library, folder, state, {f"CHAOS_{name}": value for name, value in values.items()})
