"""Which errors mean that memory ran out: torch has a type of its own for some of them, in some releases."""

from __future__ import annotations

_WORDS = (
    "out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED",
    "could not create a primitive",  # oneDNN on the CPU says no more than this
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch could have helped."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
    )
