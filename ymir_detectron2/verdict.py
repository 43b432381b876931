"""How a task ends that did not end well: a reason as the last line of the log, a code in monitor.txt, exit status 1.

The platform shows its user the last five lines of the log, and the code (contract, 3.1).
"""

from __future__ import annotations

import errno
import logging
import sys
import traceback

from .contract.monitor import Monitor
from .errors import ExecutorError, GpuKernelError, OutOfMemoryError, StorageError, printable, says_out_of_memory

logger = logging.getLogger(__name__)

_HELPER_KILLED = ("killed by signal: Killed", "killed by signal: Bus error", "process pool was terminated abruptly")
"""What torch's DataLoader and Python's process pools say; a full /dev/shm shows as a bus error."""
_PARTNER_GONE = ("Connection closed by peer", "Connection reset by peer", "remote process exited")


def report_failure(monitor: Monitor, error: BaseException) -> int:
    """Write the code, print the reason last, and return the exit status."""
    known = as_executor_error(error)
    if known is not error and not _says_partner_is_gone(error):
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stdout)
    first_line, *details = printable(str(known)).split("\n", 1)
    message = " ".join(first_line.split())
    if details:
        print(details[0])
    try:
        monitor.fail(known.code, message)
    except StorageError as second:
        print(f"the code of this failure could not be written: {second}")
    print(f"ERROR {known.code}: {message}", flush=True)
    return 1


def as_executor_error(error: BaseException) -> ExecutorError:
    """Translate what other libraries raise, here and nowhere else."""
    if isinstance(error, ExecutorError):
        return error
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    if any(words in text for words in _HELPER_KILLED):
        return OutOfMemoryError(
            f"a process that reads pictures was killed by the system ({_shortened(text)}), most likely because memory"
            " ran out; lower num_workers or batch_size, or give the container more memory"
        )
    if _says_partner_is_gone(error):
        return ExecutorError("another process of this task has ended, and with it this one; the reason is the other's")
    if says_out_of_memory(error):
        return OutOfMemoryError(
            f"memory ran out ({_shortened(text)}); lower batch_size, or INPUT.MIN_SIZE_TRAIN and INPUT.MIN_SIZE_TEST"
            " in args_options"
        )
    if "no kernel image is available" in text:
        return GpuKernelError(
            f"this torch build holds no code for the GPU ({_shortened(text)}); use the image flavour 'current' for"
            " Hopper and later, 'cu111' for Pascal to Ampere"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return StorageError.from_os_error(error.filename or "the output folder", error)
    return ExecutorError(f"unexpected failure ({_shortened(text)}); the lines above say where; please report them")


def death_of_reader(error: BaseException) -> BaseException | None:
    """What torch raised because a process that reads training pictures is gone: the error itself, or what led to it.

    torch raises this from a signal handler, in whatever line runs just then, be it the import of a library: who catches
    everything has to let it pass, or the training would wait for that process for ever.
    """
    link: BaseException | None = error
    while link is not None and "DataLoader worker" not in str(link):
        link = link.__cause__ or link.__context__
    return link


def _says_partner_is_gone(error: BaseException) -> bool:
    """Whether this is what gloo and NCCL say when a process dies that others wait for."""
    return any(words in str(error) for words in _PARTNER_GONE)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
