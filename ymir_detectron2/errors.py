"""Everything that can end a task, as one tree. Each class owns the code that YMIR shows to its user.

    ExecutorError               160004  anything that no class below describes
    |-- ConfigError             300001  env.yaml, config.yaml, config_file or args_options
    |-- DatasetError            300002  index files, annotations, a set with nothing usable in it
    |-- ImageError              300003  one picture that cannot be read
    |-- ModelError              300004  weights missing, unreadable, or made for other classes
    |-- ObjectTypeError         300005  a task that is not box detection
    |-- GpuKernelError          300101  a GPU that this torch build has no kernels for
    |-- NoGpuError              300102  a GPU that was asked for and is not there
    |-- OutOfMemoryError        300103  GPU or main memory
    |-- NonFiniteLossError      300201  loss or gradient is NaN or infinite
    |-- NetworkError            300301  a download that failed
    |-- StorageError            160004  /out cannot be written: read-only, full
    `-- StoppedError            160004  SIGTERM or SIGINT

The codes are those of the platform's executor SDK (300xxx) and of its command line (160004, "container error").
A message is one sentence for the user, on one line: place, finding, remedy.
"""

from __future__ import annotations

import errno
import reprlib

_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxlevel = 2
_BRIEFLY.maxlist = _BRIEFLY.maxtuple = _BRIEFLY.maxdict = 10
_BRIEFLY.maxstring = _BRIEFLY.maxlong = _BRIEFLY.maxother = 200


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "could not create a primitive")
"""What CUDA, torch's allocator for the CPU, and oneDNN say."""


class ExecutorError(Exception):
    """A task cannot go on, and the user is told why in one sentence."""

    code: int = 160004


class ConfigError(ExecutorError):
    """A setting is missing, unreadable or impossible."""

    code = 300001


class DatasetError(ExecutorError):
    """An index or annotation file as a whole cannot be used."""

    code = 300002


class ImageError(ExecutorError):
    """One picture cannot be read. Callers skip and count it; it ends a task only if nothing else is left."""

    code = 300003


class ModelError(ExecutorError):
    """Weights are missing, unreadable, or belong to another model or other classes."""

    code = 300004


class ObjectTypeError(ExecutorError):
    """The task wants masks or something else that this executor does not make."""

    code = 300005


class GpuKernelError(ExecutorError):
    """The GPU is there, but this torch build holds no code for it."""

    code = 300101


class NoGpuError(ExecutorError):
    """A GPU was asked for by number and does not exist."""

    code = 300102


class OutOfMemoryError(ExecutorError):
    """GPU memory or main memory ran out."""

    code = 300103


class NonFiniteLossError(ExecutorError):
    """The loss or the norm of the gradient is NaN or infinite."""

    code = 300201


class NetworkError(ExecutorError):
    """A file had to be downloaded and could not be."""

    code = 300301


class StorageError(ExecutorError):
    """A file below /out cannot be written."""

    @classmethod
    def from_os_error(cls, path: object, error: OSError) -> StorageError:
        """Say in one sentence which path could not be written, why, and what to do about it."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            remedy = "the disk is full: free some space and start the task again"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            remedy = "mount the output folder writable for the user of this process"
        else:
            remedy = "check the output folder"
        return cls(f"{path}: cannot be written ({error.strerror or error}); {remedy}")


class StoppedError(ExecutorError):
    """The task was told to stop from outside."""


def says_out_of_memory(error: BaseException) -> bool:
    """Whether another library's error means that GPU or main memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def briefly(value: object) -> str:
    """A user's value as a message shows it: short, even where a few YAML anchors stand for a billion words."""
    return _BRIEFLY.repr(value)


def printable(text: str) -> str:
    """Text that every UTF-8 file can hold: a file name that is no UTF-8 shows its odd bytes as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
