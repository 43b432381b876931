"""The benchmark of the label review: which lines count as found, the table, and on real images that it finds enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.experiment import Journal
from benchmarks.label_corruption import Corruption
from benchmarks.label_review import Review, WrongSet, find_rank, format_table, judge, main
from ymir_detectron2.evaluation.label_review import DUPLICATE, LOOSE, MISSING, SPURIOUS, WRONG_CLASS
from ymir_detectron2.evaluation.label_review_file import ReviewRow
from ymir_detectron2.tools.draw_dataset import draw_images

BCCD = Path(__file__).resolve().parents[3] / "shared" / "data" / "bccd"
TRUE, MOVED = ("cat", 10, 10, 29, 29), ("cat", 16, 10, 35, 29)


def row(rank: int, kind: str, box: tuple | None, suggested: tuple | None, score: float = 0.5, image: str = "a.jpg"):
    """A line about boxes with their classes first."""
    box, suggested = box or ("",), suggested or ("",)
    return ReviewRow(rank, score, kind, "training", f"/in/assets/8e/{image}", box[0], box[1:] or None, suggested[0],
                     suggested[1:] or None)  # fmt: skip


@pytest.mark.parametrize(("one", "line", "is_found"), [
    (Corruption("removed", 0, TRUE, None), row(3, MISSING, None, ("dog", 12, 10, 31, 29)), True),  # whatever its class
    (Corruption("removed", 0, TRUE, None), row(3, MISSING, None, ("cat", 22, 10, 41, 29)), False),  # IoU 0.25
    (Corruption("removed", 0, TRUE, None), row(3, LOOSE, MOVED, TRUE), False),  # another label is named
    (Corruption("class", 0, TRUE, ("dog", *TRUE[1:])), row(3, WRONG_CLASS, ("dog", *TRUE[1:]), TRUE), True),
    (Corruption("class", 0, TRUE, ("dog", *TRUE[1:])), row(3, MISSING, None, TRUE), False),
    (Corruption("moved", 0, TRUE, MOVED), row(3, LOOSE, MOVED, TRUE), True),
    (Corruption("moved", 0, TRUE, MOVED), row(3, MISSING, None, TRUE), True),
    (Corruption("moved", 0, TRUE, MOVED), row(3, SPURIOUS, TRUE, None), False),
    (Corruption("added", 0, None, TRUE), row(3, SPURIOUS, TRUE, None), True),
    (Corruption("added", 0, None, TRUE), row(3, DUPLICATE, MOVED, TRUE), False),
])  # fmt: skip
def test_which_lines_name_a_wrong_label(one: Corruption, line: ReviewRow, is_found: bool):
    assert find_rank("training", "a.jpg", one, [line]) == (3 if is_found else float("inf"))


def test_lines_about_other_images_and_sets_name_nothing():
    one = Corruption("added", 0, None, TRUE)
    line = row(1, SPURIOUS, TRUE, None)
    assert find_rank("validation", "a.jpg", one, [line]) == float("inf")
    assert find_rank("training", "b.jpg", one, [line]) == float("inf")


def test_only_as_many_lines_are_read_as_a_tenth_of_the_labels(tmp_path: Path):
    """A list that names each wrong label, in the order of their kinds."""
    half = WrongSet(draw_images(tmp_path, 40, seed=3), share=0.2, seed=0)
    rows = [
        row(rank, SPURIOUS if one.false else MISSING, one.false, None if one.false else one.true,
            score=0.9 if rank <= 5 else 0.1, image=image)
        for rank, (image, one) in enumerate(half.corruptions, start=1)
    ]  # fmt: skip
    fields = judge("drawn", 7, {"training": half}, rows)
    read = half.labels // 10
    assert 0 < sum(fields["found_early"].values()) == read // 2 < sum(fields["found"].values()) == read
    assert sum(fields["corrupted"].values()) == len(rows) > read
    assert (fields["likely"], fields["likely_corrupted"]) == (5, 5)


def test_the_table_has_a_row_per_seed_and_their_mean():
    given = {"set": "pets", "labels": 1000, "corrupted": {"removed": 10, "added": 10}, "lines": 90, "seconds": 1.0}
    reviews = [
        Review(seed=0, ap50=0.5, found={"removed": 4, "added": 10}, found_early={"added": 10}, likely=8,
               likely_corrupted=6, **given),
        Review(seed=1, ap50=0.7, found={"added": 6}, found_early={}, likely=0, likely_corrupted=0, **given),
    ]  # fmt: skip
    lines = format_table(reviews).splitlines()
    assert [line.split(" | ")[4:6] for line in lines[2:]] == [
        ["0.700", "0.500"],
        ["0.300", "0.000"],
        ["0.500 (0.300 to 0.700)", "0.250 (0.000 to 0.500)"],
    ]
    assert lines[-1].startswith("| all | 0.600 (0.500 to 0.700) | 2,000 | 40 |")
    assert lines[-1].endswith("| 8 | 0.750 |")
    assert lines[0].count("|") == lines[-1].count("|")


@pytest.mark.slow
@pytest.mark.skipif(not (BCCD / "train.txt").is_file(), reason="BCCD is not beside the checkout")
def test_most_wrong_labels_of_real_images_are_in_the_first_tenth(tmp_path: Path):
    """On BCCD, whose own labels miss many cells: six of ten, where chance finds one."""
    main(["--set", f"bccd={BCCD}", "--out", str(tmp_path), "--seeds", "0"])
    (review,) = Journal(tmp_path / "reviews.jsonl", Review).results
    assert sum(review.corrupted.values()) == pytest.approx(0.05 * review.labels, rel=0.1)
    assert sum(review.found.values()) >= 0.6 * sum(review.corrupted.values())
    assert review.likely_corrupted >= 0.5 * review.likely
