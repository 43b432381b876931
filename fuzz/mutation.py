"""Damage to the bytes of a file, and choices that are mostly usual and sometimes odd: what all generators share."""

from __future__ import annotations

import random
from typing import Sequence, TypeVar

Choice = TypeVar("Choice")

_ODD_BYTES = (
    b"\0", b"\xff", b"\n", b"\r", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8",
    b"9" * 500, b"9" * 5000, b"[" * 3000, b"-", b"nan", b"inf", b"1e999", b"null", b"<!--", b"&", b"\x7f\xff\xff\xff",
)  # fmt: skip


def damaged(content: bytes, rng: random.Random, probability: float) -> bytes:
    """Change a few bytes, with a probability for the first change, and again for each further one."""
    while content and rng.random() < probability:
        start = rng.randrange(len(content))
        end = start + rng.choice((1, 1, 1, 4, 50, len(content)))
        inserted = rng.choice((
            bytes([rng.randrange(256)]), bytes([content[start] ^ 1 << rng.randrange(8)]), b"", content[start:end] * 2,
            rng.choice(_ODD_BYTES),
        ))  # fmt: skip
        content = content[:start] + inserted + content[end:]
    return content


def choose(rng: random.Random, usual: Sequence[Choice], odd: Sequence[Choice], oddity: float) -> Choice:
    """Return one of the odd values with the probability `oddity`, else one of the usual ones."""
    return rng.choice(odd if rng.random() < oddity else usual)


def oddity_of_input(rng: random.Random) -> float:
    """Return how often a part of one input is odd: never, so that it is read to its end, up to often."""
    return rng.choice((0.0, 0.01, 0.05, 0.3))
