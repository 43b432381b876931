"""How large a model may be for the page "Models" of YMIR, which imports a file of less than 1,024 MB.

A model that the platform has packed itself is not limited; but one that is downloaded from a site and imported at
another is, and so is what a site without network starts from.
"""

from __future__ import annotations

from typing import Iterable

IMPORT_LIMIT_BYTES = 1_024_000_000
"""The page counts MB of 1024 x 1024 bytes; a million leaves room for whatever counts differently on the way."""
_TAR_BLOCK = 512
_INFO_BYTES = 1 << 16  # ymir-info.yaml, which repeats config.yaml of the training, and the end of the tar


def tar_bytes(sizes: Iterable[int]) -> int:
    """Return what a tar with files of these sizes in bytes and their ymir-info.yaml takes at most."""
    return _INFO_BYTES + sum(_TAR_BLOCK + -(-size // _TAR_BLOCK) * _TAR_BLOCK for size in sizes)
