"""The errors that can end a task, as one tree. Each class has the code that YMIR shows to its user.

    ExecutorError               160004  anything that no class below describes
    |-- ConfigError             300001  env.yaml, config.yaml, config_file or args_options
    |-- DatasetError            300002  index files, annotations, a set with nothing usable in it
    |-- ImageError              300003  one image that cannot be read
    |   `-- ImageTooLargeError  300003  one that memory would not hold
    |-- ModelError              300004  weights missing, unreadable, or made for other classes
    |-- ObjectTypeError         300005  a task that is not box detection
    |-- GpuKernelError          300101  a GPU that this torch build has no kernels for
    |-- NoGpuError              300102  a GPU that was asked for and is not there
    |-- OutOfMemoryError        300103  GPU or main memory
    |-- NonFiniteLossError      300201  loss or gradient is NaN or infinite
    |-- NetworkError            300301  a download that failed
    |-- StorageError            160004  /out cannot be written: read-only, full
    |-- OutputInUseError        160004  another start is working on /out
    `-- StoppedError            160004  SIGTERM or SIGINT

The codes are those of the platform's executor SDK (300xxx) and of its command line (160004, "container error").
A message is one sentence for the user, on one line: place, finding, remedy.
"""

from __future__ import annotations

import errno
import io
import os
import re
import reprlib
from typing import TextIO


class ExecutorError(Exception):
    """A task cannot continue; the message is one sentence for its user."""

    code: int = 160004


class ConfigError(ExecutorError):
    """A setting is missing, unreadable or impossible."""

    code = 300001


class DatasetError(ExecutorError):
    """An index or annotation file cannot be used at all."""

    code = 300002


class ImageError(ExecutorError):
    """One image cannot be read. Callers skip and count it; it ends a task only if no image is left."""

    code = 300003


class ImageTooLargeError(ImageError):
    """An image that memory would not hold, or more pixels than the user allows."""


class ModelError(ExecutorError):
    """Weights are missing, unreadable, or belong to another model or other classes."""

    code = 300004


class ObjectTypeError(ExecutorError):
    """The task is for masks or something else that this executor does not predict."""

    code = 300005


class GpuKernelError(ExecutorError):
    """There is a GPU, but this torch build has no kernels for it."""

    code = 300101


class NoGpuError(ExecutorError):
    """A GPU that gpu_id names does not exist."""

    code = 300102


class OutOfMemoryError(ExecutorError):
    """GPU memory or main memory ran out."""

    code = 300103


class NonFiniteLossError(ExecutorError):
    """The loss or the norm of the gradient is NaN or infinite."""

    code = 300201


class NetworkError(ExecutorError):
    """A download failed."""

    code = 300301


class StorageError(ExecutorError):
    """A file below /out cannot be written."""

    @classmethod
    def from_os_error(cls, path: object, error: OSError) -> StorageError:
        """Return the error of a path that could not be written, with the reason and a remedy for it."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            remedy = "the disk is full: free some space and start the task again"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            remedy = "mount the output folder writable for the user of this process"
        else:
            remedy = "check the output folder"
        name = os.fsdecode(path) if isinstance(path, bytes) else path
        return cls(f"{name}: cannot be written ({error.strerror or error}); {remedy}")


class OutputInUseError(ExecutorError):
    """Another start is working on the same output folder. Its monitor.txt is left alone."""


class StoppedError(ExecutorError):
    """The task was stopped by SIGTERM or SIGINT."""


_OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "not enough memory", "bad_alloc",
    "ALLOC_FAILED",  # CUDNN_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED: no "memory" in either
    "could not create a primitive",  # all that oneDNN says on the CPU
    "failed to map segment", "Cannot allocate memory",  # when a library is loaded
)  # fmt: skip
"""Messages of CUDA, its libraries, torch's CPU allocator, C++, oneDNN and the loader of shared objects."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of another library means that GPU or main memory ran out: a smaller batch may help."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # the text, because torch.cuda.OutOfMemoryError came after torch 1.10 and covers the CUDA allocator only
    return any(words in str(error) for words in _OUT_OF_MEMORY)


class _BriefRepr(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to print thousands of digits, which 0xfff... can be written for
        bits = value.bit_length()
        return super().repr_int(value, level) if bits < 1000 else f"an integer of {bits} bits"


# a few YAML anchors can stand for a billion words: the depth is limited as well as the length
_BRIEFLY = _BriefRepr()
_BRIEFLY.maxlevel = 2
_BRIEFLY.maxlist = _BRIEFLY.maxtuple = _BRIEFLY.maxdict = 10
_BRIEFLY.maxstring = _BRIEFLY.maxlong = _BRIEFLY.maxother = 200


def briefly(value: object) -> str:
    """Return the repr of a user's value for a message, shortened."""
    return _BRIEFLY.repr(value)


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys in place of showing it, of ASCII and of Unicode: all but tab and line break."""
_ADDRESS = re.compile(r"(https?://)(?:[^/\s@'\"]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*?(?=[.,:;)]*(?:[\s'\"]|$)))?")


def without_credentials(text: str) -> str:
    """Return a text whose addresses have lost user, password and query, which may hold a token: logs are passed on."""
    return _ADDRESS.sub(r"\1\2", text)


def error_summary(error: BaseException) -> str:
    """Return the type and the message of any error on one line, for a sentence that quotes it."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")  # of an error without a message


def printable(text: str) -> str:
    """Return text that can be written as UTF-8 and shown: of names from data, what is neither becomes escapes.

    Bytes of a file name that are not UTF-8; and the escape sequences by which text can clear a terminal, change what it
    shows, or read from right to left.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escape_unencodable(stream: TextIO | None) -> None:
    """Let a text stream write what its encoding lacks as escapes.

    By default such a character raises UnicodeEncodeError: in a terminal or log that is not UTF-8, a name from data
    would cost the line that it is in.
    """
    if isinstance(stream, io.TextIOWrapper):  # else it is a stand-in without encoding, such as io.StringIO
        stream.reconfigure(errors="backslashreplace")


def can_encode(stream: TextIO, text: str) -> bool:
    """Return whether a stream can write a text without escapes."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
