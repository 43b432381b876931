"""label-review.tsv: what is written is read again, and what a stranger wrote is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.evaluation.label_review import LOOSE, MISSING, MOST_LISTED, SPURIOUS, Suspicion
from ymir_detectron2.evaluation.label_review_file import ReviewRow, read_label_review, write_label_review

SUSPICIONS = [
    Suspicion(0.91234, MISSING, "training", 1, None, None, (3.2, 4.4, 30.6, 41.0), 0),
    Suspicion(0.5, LOOSE, "validation", 0, (0.0, 0.0, 10.0, 10.0), 1, (1.0, 2.0, 11.0, 13.0), 1),
    Suspicion(0.25, SPURIOUS, "training", 0, (5.0, 5.0, 5.3, 9.0), 1, None, None),
]
NAMES = {"training": "/in/assets/{}.jpg".format, "validation": "/in/assets/v{}.jpg".format}
CLASSES = ("cat", "big\tdog")


def write(folder: Path) -> Path:
    file = folder / "label-review.tsv"
    write_label_review(file, SUSPICIONS, NAMES, CLASSES)
    return file


def test_what_is_written_is_read_again(tmp_path: Path):
    """Corners are whole pixels and inclusive, a box is a pixel wide at least, a tab in a name becomes a blank."""
    assert read_label_review(write(tmp_path)) == [
        ReviewRow(1, 0.9123, MISSING, "training", "/in/assets/1.jpg", "", None, "cat", (3, 4, 30, 40)),
        ReviewRow(2, 0.5, LOOSE, "validation", "/in/assets/v0.jpg", "big dog", (0, 0, 9, 9), "big dog",
                  (1, 2, 10, 12)),
        ReviewRow(3, 0.25, SPURIOUS, "training", "/in/assets/0.jpg", "big dog", (5, 5, 5, 8), "", None),
    ]  # fmt: skip


def test_the_first_line_names_the_columns(tmp_path: Path):
    first = write(tmp_path).read_text(encoding="utf-8").split("\n")[0]
    assert first.split("\t") == [
        "rank", "score", "kind", "set", "image", "class", "box", "suggested class", "suggested box",
    ]  # fmt: skip


def test_the_same_suspicions_are_the_same_bytes(tmp_path: Path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert write(first).read_bytes() == write(second).read_bytes()


def test_a_list_without_lines(tmp_path: Path):
    file = tmp_path / "label-review.tsv"
    write_label_review(file, [], NAMES, CLASSES)
    assert read_label_review(file) == []


def test_no_file_is_no_list(tmp_path: Path):
    assert read_label_review(tmp_path / "label-review.tsv") is None


@pytest.mark.parametrize(("old", "new", "finding"), [
    ("rank\t", "place\t", "another first line"), ("0.9123", "1.2000", "line 2 has a score"),
    ("0.9123", "nan", "line 2 has a score"), ("0.2500", "0.9900", "the scores rise"),
    ("missing", "<b>", "line 2 has a score, a kind"), ("3\t0.25", "7\t0.25", "line 4 has other columns"),
    ("\t3 4 30 40", "", "line 2 has other columns"), ("3 4 30 40", "3 4 30", "line 2 has a box that is none"),
    ("3 4 30 40", "3 4 30 1e9", "line 2 has a box that is none"), ("\tcat\t", "\t\t", "a box without a class"),
    ("/in/assets/1.jpg", "", "an image that is none"), ("5 5 5 8\t\t\n", "5 5 5 8\t\t", "no end"),
])  # fmt: skip
def test_what_breaks_the_rules_is_refused(tmp_path: Path, old: str, new: str, finding: str):
    file = write(tmp_path)
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ExecutorError, match=f"label-review.tsv: is none that a training writes: .*{finding}"):
        read_label_review(file)


def test_bytes_that_are_no_text_and_a_folder_are_refused(tmp_path: Path):
    file = tmp_path / "label-review.tsv"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ExecutorError, match="is none that a training writes"):
        read_label_review(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(ExecutorError, match="cannot be read"):
        read_label_review(file)


def test_more_lines_than_a_training_writes_are_refused(tmp_path: Path):
    file = write(tmp_path)
    head, row = file.read_text(encoding="utf-8").split("\n")[:2]
    rows = "".join(f"{row.replace('1', str(number), 1)}\n" for number in range(1, MOST_LISTED + 2))
    file.write_text(f"{head}\n{rows}", encoding="utf-8")
    with pytest.raises(ExecutorError, match=f"more than {MOST_LISTED} lines"):
        read_label_review(file)
