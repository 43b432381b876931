"""Random numbers of an image from its name and the random seed: the same on every machine and in every order."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import numpy as np


def rng_for(name: str, seed: int) -> np.random.Generator:
    """Return a fresh generator that depends only on the base name of a file and on the seed."""
    return np.random.default_rng(int.from_bytes(_digest(name, seed)[:16], "big"))


def uniform_for(name: str, seed: int) -> float:
    """Return a number, uniform in [0, 1), that depends only on the base name of a file and on the seed."""
    bits = int.from_bytes(_digest(name, seed)[:8], "big") >> 11  # as many as a float holds: none is rounded up to 1
    return bits / 2**53


def _digest(name: str, seed: int) -> bytes:
    # the base name is all that the platform identifies an image by, whatever folder it is mounted in
    text = f"{seed}:{PurePosixPath(name).name}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # names that are not UTF-8 have surrogates
