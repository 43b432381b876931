"""Arrays as text in a JSON file: base64 of little-endian numbers, at 4/3 of their bytes."""

from __future__ import annotations

import base64
import binascii

import numpy as np


def array_to_text(values: np.ndarray) -> str:
    """Return numbers of any shape in the order of their rows."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def text_to_array(text: str, dtype: type[np.generic]) -> np.ndarray:
    """Return the numbers (n,) of a text from anywhere.

    Raises:
        ValueError: it is something else, or holds NaN or infinity.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:  # a ValueError too, but no sentence
        raise ValueError("is not base64") from error
    little_endian = np.dtype(dtype).newbyteorder("<")
    if len(content) % little_endian.itemsize:
        raise ValueError("has a part of a number at its end")
    values = np.frombuffer(content, dtype=little_endian).astype(dtype)
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinity")
    return values
