"""How a task ends that has failed: the reason as the end of the log, an error code in monitor.txt, exit status 1.

The platform shows its user the last five lines of the log, and the code (contract, 3.1). The last one is in Chinese,
the one before it has code and reason. A process with a supervisor leaves both to it, so that the log has them once, and
last.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import traceback
from typing import TextIO

from .contract.images_in_work import describe_shortage, machine_rank
from .contract.monitor import Monitor
from .error_table import chinese_sentence
from .errors import (
    ExecutorError,
    GpuKernelError,
    OutOfMemoryError,
    StorageError,
    can_encode,
    escape_unencodable,
    is_out_of_memory,
    printable,
    without_credentials,
)
from .supervision import FailureReport, report_to_supervisor

# torch's DataLoader and Python's process pools say so; when /dev/shm is full, a worker dies of a bus error
_WORKER_KILLED = (
    "killed by signal: Killed", "killed by signal: Bus error", "process pool was terminated abruptly",
    "exited unexpectedly",  # likewise, where the end of its pipe is noticed before its signal
)  # fmt: skip
_STORAGE_FAILURES = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS,
    errno.EIO, errno.ESTALE,  # of a broken disk, or of a file server that was started again
)  # fmt: skip
# gloo and NCCL, in the processes that wait for one that has died
_CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "remote process exited")


def report_failure(monitor: Monitor | None, error: BaseException, *, replaces: bool = False) -> int:
    """Write the error code to monitor.txt, print the reason as the end of the log, and return the exit status.

    Args:
        monitor: None: monitor.txt belongs to another start.
        error: whatever has ended the process.
        replaces: an error code that is already in monitor.txt; else that one is kept.
    """
    shortage = ""
    if monitor is not None:
        worker = re.search(r"DataLoader worker \(pid\D*(\d+)", str(error))
        shortage = describe_shortage(monitor.folder, machine_rank(), int(worker[1]) if worker else None)
    known = as_executor_error(error, shortage)
    first_line, *details = printable(without_credentials(str(known))).split("\n", 1)
    message = " ".join(first_line.split())
    storage_error = None
    try:
        if monitor is not None:
            monitor.fail(known.code, message, replaces=replaces)
    except StorageError as second:
        storage_error = second
    has_reader = report_to_supervisor(FailureReport(known.code, message))
    with contextlib.suppress(OSError):  # the log may be on a full disk, or its reader gone: all of the above is done
        escape_unencodable(sys.stdout)
        # a lost connection is only the consequence of another process's failure: its traceback would hide the reason
        if known is not error and not _is_connection_lost(error):
            traceback.print_exception(type(error), error, error.__traceback__, file=sys.stdout)
        if details:  # such as the table of weights that do not fit, while monitor.txt has room for one line
            print(details[0])
        if not has_reader:
            if storage_error is not None:
                print(f"the code of this failure could not be written: {storage_error}")
            print_reason(f"ERROR {known.code}: {message}", known.code, sys.stdout)
        sys.stdout.flush()
    return 1


def print_reason(line: str, code: int, stream: TextIO) -> None:
    """Print the last two lines of a program that has failed: its reason, and the Chinese sentence of its code.

    Args:
        line: the reason in English, on one line.
        code: of the platform.
        stream: standard output or standard error.
    """
    escape_unencodable(stream)
    print(without_credentials(line), file=stream)
    # for its readers, escapes or question marks would be worse than nothing
    if can_encode(stream, chinese := chinese_sentence(code)):
        print(chinese, file=stream)


def as_executor_error(error: BaseException, shortage: str = "") -> ExecutorError:
    """Translate an error of another library into one of this project's; this happens here and nowhere else.

    Args:
        shortage: what `describe_shortage` says of the memory and the images of a process that was killed.
    """
    if isinstance(error, ExecutorError):
        return error
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    # before the test for memory below, because another setting helps: the number of workers
    if any(words in text for words in _WORKER_KILLED):
        return OutOfMemoryError(
            f"a process that reads images was killed by the system ({_shorten(text)}), most likely because memory"
            f" ran out{shortage}; lower num_workers or batch_size, or give the container more memory"
        )
    if _is_connection_lost(error):
        return ExecutorError("another process of this task has ended, and with it this one; the reason is the other's")
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"memory ran out ({_shorten(text)}); lower batch_size or image_size, or give the container more memory"
        )
    if "no kernel image is available" in text:
        return GpuKernelError(
            f"this torch build holds no code for the GPU ({_shorten(text)}); use the image flavour 'current' for"
            " Hopper and later, 'cu111' for Pascal to Ampere"
        )
    if "can't start new thread" in text or (isinstance(error, OSError) and error.errno == errno.EAGAIN):
        return ExecutorError(
            f"the system allows no further process or thread ({_shorten(text)}); lower num_workers, or raise the limit"
            " of the container (docker run --pids-limit)"
        )
    if isinstance(error, OSError):
        return _from_os_error(error)
    return ExecutorError(f"unexpected failure ({_shorten(text)}); the lines above say where; please report them")


def _from_os_error(error: OSError) -> ExecutorError:
    """Translate what the system refuses: a fact of the machine or of its mounts, never a mistake of this project."""
    if error.errno in _STORAGE_FAILURES:
        return StorageError.from_os_error(error.filename or "the output folder", error)
    finding = _shorten(" ".join((error.strerror or str(error) or type(error).__name__).split()))
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ExecutorError(
            f"{finding}: more than the system allows; lower num_workers, or raise the limit of the container"
            " (docker run --ulimit nofile=65536)"
        )
    place = f"{' '.join(str(error.filename).split())}: " if error.filename is not None else ""
    return ExecutorError(f"{place}the system refuses an operation ({finding}); check the mounted folders, and whether"
                         " this user may use them")  # fmt: skip


def find_worker_death(error: BaseException | None) -> BaseException | None:
    """Return the error of a dead data-loading worker: `error` itself or one of its causes; None: there is none.

    torch raises it from a signal handler, in whatever line happens to run, even the import of a library. Code that
    catches everything has to re-raise it, or the training would wait for that worker forever.
    """
    while error is not None and "DataLoader worker" not in str(error):
        error = error.__cause__ or error.__context__
    return error


def _is_connection_lost(error: BaseException) -> bool:
    return any(words in str(error) for words in _CONNECTION_LOST)


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
