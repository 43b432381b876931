"""result.tsv: the candidates with their scores, the most informative first.

    /in/assets/17/8e5f.jpg \\t -0.0123

The platform takes the first lines in file order and never reads the score (contract, 3.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

from ..atomic_file import atomic_write


def write_mining_result(path: Path, scores: Iterable[tuple[str, float]]) -> None:
    """Write (asset, score) pairs, highest score first, equal scores by name so that the order is always the same."""
    with atomic_write(path) as file:
        for asset, score in sorted(scores, key=lambda pair: (-pair[1], pair[0])):
            file.write(f"{asset}\t{score:.6f}\n")
