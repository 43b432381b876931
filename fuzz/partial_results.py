"""Partial results of a task: whatever is in their folder, each block that counts as finished can be of the task."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any

from ymir_detectron2.contract.infer_result import can_be_result_box
from ymir_detectron2.contract.partial_results import PartialResults, remove_partial_results
from ymir_detectron2.errors import StorageError

from .mutation import damaged
from .plain_data import changed

EXPECTED = (StorageError,)
"""What the reader may raise."""

_NUM_BLOCKS, _ROWS = 5, 3
_NAMES = ("0000-aa-11.tsv", "0001-aa-22.tsv", "0000-bb-33.tsv", "x.tsv", "process-0-ab", "-.tsv", "\udcff.tsv", "a.txt")


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the folder of a task, with the files of several processes and starts."""
    task = folder / ".unfinished" / "mining-0123"
    task.mkdir(parents=True)
    for name in rng.sample(_NAMES, rng.randrange(1, 5)):
        if rng.random() < 0.02:
            (task / name).mkdir()
            continue
        blocks = sorted(rng.sample(range(_NUM_BLOCKS), rng.randrange(_NUM_BLOCKS)))
        content = b"".join(_line(block, rng) for block in blocks)
        if rng.random() < 0.3:  # a cut or zeroed end, as after a power cut
            end = rng.randrange(len(content) + 1)
            content = content[:end] + bytes(rng.choice((0, len(content) - end)))
        (task / name).write_bytes(damaged(content, rng, 0.2))
    return task


def _line(block: int, rng: random.Random) -> bytes:
    rows: Any = [{"score": 0.5, "boxes": [[1, 2, 3, 4, "cat", 0.5]]} for _ in range(_ROWS)]
    oddity = rng.choice((0, 0, 0, 1, 3))
    number = f"{block}{rng.choice(('', '', '?'))}"
    number = number if rng.random() < 0.95 else rng.choice(("", "-1", "x", "\u0663", "9" * 99))
    payload = json.dumps(changed(rows, rng, oddity)) if rng.random() < 0.98 else rng.choice(("[", "", "[" * 50_000))
    content = f"{number}\t{payload}".encode("utf-8", "surrogatepass")
    return content + b"\t%08x\n" % zlib.crc32(content)


def read(path: Path) -> None:
    """Read the folder as the processes of a task do, finish the rest, and read the result."""
    results = PartialResults(path, start="cc", accepts=_accepts)
    done = results.done()
    assert done <= set(range(_NUM_BLOCKS)), done
    for block, rows in results.provisional():
        assert _accepts(block, rows)
    for lines in results.lines():
        assert all(line.endswith(b"\n") for _, line in lines)
    for block in sorted(set(range(_NUM_BLOCKS)) - done):
        results.add(block, [{"score": 1.0, "boxes": []}] * _ROWS)
    rows_in_order = list(results.in_order())
    assert [block for block, _ in rows_in_order] == list(range(_NUM_BLOCKS))
    assert all(_accepts(block, rows) for block, rows in rows_in_order)
    results.remove_others()
    remove_partial_results(path.parents[1])
    assert not path.exists()


def _accepts(block: int, rows: Any) -> bool:
    return block < _NUM_BLOCKS and type(rows) is list and len(rows) == _ROWS and all(map(_is_row, rows))


def _is_row(row: Any) -> bool:
    boxes = row.get("boxes") if type(row) is dict else None
    return type(boxes) is list and all(map(can_be_result_box, boxes)) and type(row.get("score")) in (int, float)
