"""Random numbers of a picture: from its name and a seed, the same on every machine, in every order and process."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import numpy as np


def rng_for(name: str, seed: int) -> np.random.Generator:
    """A fresh generator that depends on the base name of a file and on the seed alone."""
    return np.random.default_rng(int.from_bytes(_digest(name, seed)[:16], "big"))


def uniform_for(name: str, seed: int) -> float:
    """A number in [0, 1), equally likely all over, that depends on the base name of a file and on the seed alone."""
    bits = int.from_bytes(_digest(name, seed)[:8], "big") >> 11  # as many as a float holds: none is rounded up to 1
    return bits / 2**53


def _digest(name: str, seed: int) -> bytes:
    text = f"{seed}:{PurePosixPath(name).name}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # names that are not UTF-8 have surrogates
