"""A disk that is full, broken, read-only, slow or interrupted, below /out or in the folder for temporary files."""

from __future__ import annotations

import errno

from .faults import Fault
from .running import StartOptions

_CHANGES = "owtsrud"


class DiskFault(Fault):
    """An error of the operation that has its turn, and in one of two cases of all that follow."""

    excuses_monitor = True
    excuses_extras = True
    number = errno.ENOSPC
    kinds = "owrd"
    """What the error comes from."""

    def options(self) -> StartOptions:
        first = self.nth_operation(self.kinds)
        is_lasting = self.rng.random() < 0.5
        self.story.append("and from then on" if is_lasting else "once")
        return self.shim().watch(
            self.scene.out_dir, self.scene.root / "disk", action=str(int(self.number)), kinds=self.kinds, first=first,
            last=1 << 40 if is_lasting else first,
        ).options  # fmt: skip


class DiskFull(DiskFault):
    """ENOSPC."""


class QuotaExceeded(DiskFault):
    """EDQUOT."""

    number = errno.EDQUOT


class DiskBroken(DiskFault):
    """EIO, from fsync and removals too."""

    number = errno.EIO
    kinds = _CHANGES


class ReadOnly(DiskFault):
    """EROFS, as after an error that the kernel has met."""

    number = errno.EROFS
    kinds = _CHANGES


class SlowDisk(Fault):
    """Every operation takes up to a tenth of a second."""

    extra_s = 120.0

    def options(self) -> StartOptions:
        sleep_us = self.rng.choice((5_000, 20_000, 100_000))
        self.story.append(f"{sleep_us} us each")
        return self.shim().watch(self.scene.out_dir, self.scene.root / "disk", sleep_us=sleep_us).options


class ShortWrites(Fault):
    """Writes are split, and interrupted by signals."""

    def options(self) -> StartOptions:
        return self.shim().watch(self.scene.out_dir, self.scene.root / "disk", is_short=True).options


class TemporaryFilesFull(Fault):
    """ENOSPC for every file in TMPDIR."""

    def options(self) -> StartOptions:
        folder = self.scene.root / "tmp"
        folder.mkdir(exist_ok=True)
        watch = self.shim().watch(folder, self.scene.root / "disk", action=str(errno.ENOSPC), kinds="owd", first=0)
        return StartOptions(environment={**watch.options.environment, "TMPDIR": str(folder)})
