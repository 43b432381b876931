"""Images that memory would not hold are left out, large ones are read one at a time, and what is in work is on record.

One guard per process: all that reads images, forks included, shares the memory. `use_guard` replaces the default, which
goes by the memory of the machine and keeps no record.

An image may need a bit less than half of the memory that is available when it is read. Images that together need more
than that are read one after the other, in all processes of this machine, and so are those that were in work when an
earlier start was killed for want of memory; after two such deaths an image is left out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import Iterator, Mapping

from ..contract.images_in_work import DEATHS_UNTIL_LEFT_OUT, ImagesInWork, lock_file, read_deaths
from ..errors import ImageError, ImageTooLargeError
from ..memory_limit import MemoryBound, smallest_limit, tightest_bound
from ..untrusted_files import open_own

NO_PIXELS = (0, 0)
"""Of what else an image needs memory for than to decode it, such as a copy of its file."""

_SHARE = 0.45
"""Of the available memory: so much for an image that is alone, as much for those that are not, a tenth for the rest."""
_ARRAY, _RESIZING = 3, 7  # bytes per pixel: of an image, and with the copy in four channels that PIL resizes
_ALWAYS_BYTES = 32_000_000
"""An image that needs less, of four million pixels, is read without asking: asking takes a hundredth of the time."""


class ReadingGuard:
    """Decides which images this process reads, and when."""

    def __init__(
        self, output_dir: Path | None = None, *, machine_rank: int = 0, processes: int = 1, max_megapixels: float = 0,
    ) -> None:  # fmt: skip
        """
        Args:
            output_dir: /out, where images in work are recorded; None: nowhere.
            machine_rank: of this machine among those of the task.
            processes: that read images at the same time on this machine.
            max_megapixels: millions of pixels that an image may have; 0: what memory there is decides.
        """
        self._max_megapixels = max_megapixels
        self._processes = processes
        self._records = ImagesInWork(output_dir, machine_rank) if output_dir is not None else None
        self._deaths: Mapping[str, int] = read_deaths(output_dir, machine_rank) if output_dir is not None else {}
        self._lock_file = lock_file(output_dir, machine_rank) if output_dir is not None else None
        self._bytes_per_pixel = _RESIZING
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin as a process that reads nothing: a fork has one thread, whatever those of its parent have in work."""
        self._thread = threading.local()
        self._alone, self._depth = threading.RLock(), 0
        self._mutex, self._reserved_bytes = threading.Lock(), 0

    def expect(self, *, workers: int, augmentation_bytes_per_pixel: int) -> None:
        """State what a training does with its images; called once.

        Args:
            workers: processes that read images for this one.
            augmentation_bytes_per_pixel: needed on top of the image itself.
        """
        self._processes *= max(1, workers)
        self._bytes_per_pixel = max(_RESIZING, _ARRAY + augmentation_bytes_per_pixel)

    def close(self) -> None:
        """Remove the record of this process, which has ended in order."""
        if self._records is not None:
            self._records.close()

    @contextlib.contextmanager
    def in_work(self, path: Path) -> Iterator[None]:
        """Have an image in work within the block, from its first byte on until it has the size of the network.

        Blocks of one thread may lie within each other, for one image or for several, as of a mosaic.

        Raises:
            ImageError: it was in work at two deaths.
        """
        outer, outer_path = getattr(self._thread, "in_work", (None, None))
        if path == outer_path:
            yield
            return
        deaths = self._deaths.get(os.fspath(path), 0)
        if deaths >= DEATHS_UNTIL_LEFT_OUT:
            raise ImageError(
                f"{path}: was being read when the task was killed for want of memory, {deaths} times; replace or remove"
                " it, or give the container more memory and remove /out/.unfinished"
            )
        with contextlib.ExitStack() as block:
            if deaths:  # of several suspects only one is in work at the next death
                block.enter_context(self._reads_alone())
            if self._records is not None:
                block.enter_context(self._records.holding(path))
            # what an image reserves is held until the outermost block ends
            self._thread.in_work = (outer or block, path)
            try:
                yield
            finally:
                self._thread.in_work = (outer, outer_path)

    def require_size(self, path: Path, image_hw: tuple[int, int], needed_bytes: int) -> None:
        """Refuse an image that this machine could never read, whatever else runs on it.

        Args:
            needed_bytes: to decode it.

        Raises:
            ImageTooLargeError: it is.
        """
        if self._max_megapixels:
            self._require_megapixels(path, image_hw)
        else:
            needed_bytes = self._with_use(image_hw, needed_bytes)
            if needed_bytes > _ALWAYS_BYTES:
                bound = smallest_limit()
                if bound is not None and needed_bytes > _SHARE * bound.limit_bytes:
                    raise _too_large(path, image_hw, needed_bytes, bound, "")

    def reserve(self, path: Path, image_hw: tuple[int, int], needed_bytes: int) -> None:
        """Wait until there is memory for an image in work; it is reserved until it no longer is.

        Args:
            image_hw: NO_PIXELS if the memory is for something else than pixels.
            needed_bytes: to decode it, on top of what was reserved for it before.

        Raises:
            ImageTooLargeError: there is too little even for the image alone.
        """
        if self._max_megapixels:
            self._require_megapixels(path, image_hw)
        # a small image is not held back, and does not count
        needed_bytes = self._with_use(image_hw, needed_bytes)
        bound = tightest_bound() if needed_bytes > _ALWAYS_BYTES else None
        if bound is None:
            return
        if self._reserve_together(needed_bytes, bound):
            return
        self._thread.in_work[0].enter_context(self._reads_alone())
        bound = tightest_bound()  # others may have finished
        if bound is not None and needed_bytes > _SHARE * bound.available_bytes and not self._max_megapixels:
            raise _too_large(path, image_hw, needed_bytes, bound, ", as far as they are free at the moment")

    def _reserve_together(self, needed_bytes: int, bound: MemoryBound) -> bool:
        with self._mutex:
            if self._reserved_bytes + needed_bytes > _SHARE * bound.available_bytes / self._processes:
                return False
            self._reserved_bytes += needed_bytes
        self._thread.in_work[0].callback(self._release, needed_bytes)
        return True

    def _release(self, reserved_bytes: int) -> None:
        with self._mutex:
            self._reserved_bytes -= reserved_bytes

    @contextlib.contextmanager
    def _reads_alone(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._alone)
            if self._depth == 0 and self._lock_file is not None:
                # lockf, not flock: a fork would inherit the latter, and never give it back
                with contextlib.suppress(OSError):  # a file system without locks: then only within this process
                    file = stack.enter_context(open(self._lock_file, "ab", opener=open_own))
                    fcntl.lockf(file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def _with_use(self, image_hw: tuple[int, int], needed_bytes: int) -> int:
        return max(needed_bytes, int(image_hw[0] * image_hw[1] * self._bytes_per_pixel))

    def _require_megapixels(self, path: Path, image_hw: tuple[int, int]) -> None:
        height, width = image_hw
        if height * width > self._max_megapixels * 1e6:
            raise ImageTooLargeError(
                f"{path}: {width}x{height} pixels are more than max_image_megapixels: {self._max_megapixels:g};"
                " make the image smaller, or raise the key"
            )


def _too_large(
    path: Path, image_hw: tuple[int, int], needed_bytes: int, bound: MemoryBound, of_which: str
) -> ImageTooLargeError:
    # the same sentence for an image whenever it is drawn, or it would count as several: not what is free just now
    height, width = image_hw
    what = "needs" if image_hw == NO_PIXELS else f"{width}x{height} pixels need"
    return ImageTooLargeError(
        f"{path}: {what} {needed_bytes / 1e9:.2f} GB to be read, more than {_SHARE:.0%} of the"
        f" {bound.limit_bytes / 1e9:.2f} GB ({bound.source}){of_which}; make the image smaller, or give the container"
        " more memory"
    )


_guard = ReadingGuard()
os.register_at_fork(after_in_child=lambda: _guard.forget_threads())


def guard() -> ReadingGuard:
    """Return the guard of this process."""
    return _guard


@contextlib.contextmanager
def use_guard(new_guard: ReadingGuard) -> Iterator[None]:
    """Have another guard within the block, and what it has recorded removed if that ends in order."""
    global _guard
    before, _guard = _guard, new_guard
    try:
        yield
        new_guard.close()
    finally:
        _guard = before
