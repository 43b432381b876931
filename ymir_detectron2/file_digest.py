"""Digests of files: equal digests, equal content. Of data sets, models, downloads and index files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from .untrusted_files import open_regular

_CHUNK_BYTES = 1 << 20  # models have hundreds of megabytes: they are not read as a whole


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's content as hex digits; `algorithm` is any name that hashlib knows.

    Raises:
        OSError: the file cannot be read, or is a FIFO or device.
    """
    with open_regular(path) as file:
        return stream_digest(file, algorithm)


def stream_digest(file: BinaryIO, algorithm: str = "sha256") -> str:
    """Return the digest of what an open file holds from its position on, as hex digits."""
    # hashlib.file_digest does the same from Python 3.11 on
    digest = hashlib.new(algorithm)
    for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
        digest.update(chunk)
    return digest.hexdigest()
