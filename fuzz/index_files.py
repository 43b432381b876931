"""Index files: lines with one and two columns, of paths that are bytes, with any line ends."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.index_file import read_index
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.dataset.candidates import CandidateIndex
from ymir_detectron2.dataset.image_reading import read_image_bgr
from ymir_detectron2.errors import DatasetError, ImageError

from .mutation import choose, damaged, oddity_of_input

EXPECTED = (DatasetError,)
"""What the readers may raise."""

_PATHS = (b"/in/assets/a.jpg", b"/in/assets/./17/b.png", b"/in/assets/17/b.png", b"c d.jpg", b"/in/env.yaml")
_ODD_PATHS = (
    b"", b" ", b"\0", b"/in/assets/a\0.jpg", b"\xff.jpg", b"\xe2\x80\xa8.jpg", b"\xed\xa0\x80", b"..", b"/in", b"/",
    b"/dev/null", b"a/" * 3000, b"a" * 300, b"\xef\xbb\xbf", b"//in/assets/a.jpg", b"\x85", b"\x1c", b"~",
    b"a.jpg" * 900, b"/out/../in/assets/a.jpg",
)  # fmt: skip
_ENDS = (b"\n",)
_ODD_ENDS = (b"\r\n", b"\r", b"", b"\n\n", b"\t\n", b"\t\t\t\n", b" \n", b"\0\n")


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one index file."""
    oddity = oddity_of_input(rng)
    lines = []
    for _ in range(rng.randrange(20)):
        columns = [choose(rng, _PATHS, _ODD_PATHS, oddity) for _ in range(choose(rng, (1, 2), (0, 3), oddity))]
        lines.append(b"\t".join(columns) + choose(rng, _ENDS, _ODD_ENDS, oddity))
    path = folder / "index.tsv"
    path.write_bytes(damaged(b"".join(lines), rng, oddity))
    return path


def read(path: Path) -> None:
    """Read the file as that of a training set and of candidates, whose lines are read again one by one."""
    paths, issues = PathMap(path.parent, path.parent / "out"), DataIssues()
    error = None
    try:
        read_index(path, paths, issues, "training")
    except DatasetError as refusal:
        error = refusal
    index = CandidateIndex(path, paths, issues)
    for number, entry in enumerate(index.entries(0, len(index))):
        index.repeats_a_name(number)
        with contextlib.suppress(ImageError):
            read_image_bgr(entry.image_path)
    check_findings(issues)
    if error is not None:
        raise error


def check_findings(issues: DataIssues) -> None:
    """Require that what is counted can be written into log and report: short lines of text."""
    for line in issues.summary_lines():
        assert len(line.splitlines()) == 1, line
        assert len(line) < 20_000, line  # a few paths of 4096 bytes each
    json.dumps(issues.as_dict(), ensure_ascii=False).encode("utf-8")
