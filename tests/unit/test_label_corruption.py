"""Labels that are made wrong: as many as said, of each kind as many, and each as its kind says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.label_corruption import KINDS, Corruption, corrupt_labels, iou_of
from ymir_detectron2.sources.labelled_image import AnnotatedImage

HW = (200, 300)


def grid_images(count: int, names: tuple[str, ...] = ("cat", "dog")) -> list[AnnotatedImage]:
    """Ten boxes of 24 x 20 pixels in each."""
    return [
        AnnotatedImage(Path(f"{number}.jpg"), tuple(
            (names[box % len(names)], 30 * box, 20 + number % 50, 30 * box + 23, 39 + number % 50) for box in range(10)
        ))
        for number in range(count)
    ]  # fmt: skip


def corrupted(images: list[AnnotatedImage], share: float = 0.2, seed: int = 0):
    return corrupt_labels(images, [HW] * len(images), share, seed)


def of_kind(done: list[Corruption], kind: str) -> list[Corruption]:
    return [one for one in done if one.kind == kind]


def test_each_kind_is_as_frequent():
    _, done = corrupted(grid_images(20))
    assert {kind: len(of_kind(done, kind)) for kind in KINDS} == dict.fromkeys(KINDS, 10)  # 200 x 0.2 / 4


def test_the_labels_are_those_before_but_for_what_is_listed():
    images = grid_images(20)
    wrong, done = corrupted(images)
    for number, (before, after) in enumerate(zip(images, wrong)):
        here = [one for one in done if one.image == number]
        expected = set(before.boxes) - {one.true for one in here} | {one.false for one in here} - {None}
        assert set(after.boxes) == expected
        assert after.path == before.path


def test_what_each_kind_does():
    images = grid_images(20)
    _, done = corrupted(images)
    assert all(one.false is None for one in of_kind(done, "removed"))
    for one in of_kind(done, "class"):
        assert one.false[1:] == one.true[1:]
        assert one.false[0] != one.true[0]
    for one in of_kind(done, "moved"):
        assert one.false[0] == one.true[0]
        assert 0.3 <= iou_of(one.false, one.true) <= 0.6
    for one in of_kind(done, "added"):
        assert one.true is None
        assert max(iou_of(one.false, box) for box in images[one.image].boxes) < 0.1
        _, x1, y1, x2, y2 = one.false
        assert 0 <= x1 <= x2 < HW[1]
        assert 0 <= y1 <= y2 < HW[0]


def test_the_seed_decides():
    images = grid_images(20)
    assert corrupted(images) == corrupted(images)
    assert corrupted(images)[1] != corrupted(images, seed=1)[1]


def test_a_single_class_is_never_changed_and_the_others_share_the_number():
    _, done = corrupted(grid_images(15, names=("cat",)), share=0.2)
    assert {kind: len(of_kind(done, kind)) for kind in KINDS} == {"removed": 10, "class": 0, "moved": 10, "added": 10}


@pytest.mark.parametrize("images", [[], [AnnotatedImage(Path("a.jpg"))]])
def test_without_labels_nothing_is_wrong(images: list[AnnotatedImage]):
    assert corrupted(images) == (images, [])


def test_in_a_full_image_a_label_finds_no_place():
    """Of four kinds two labels each are wanted, but none can be added."""
    full = AnnotatedImage(Path("a.jpg"), tuple(("ab"[x % 2], 30 * x, 0, 30 * x + 29, 199) for x in range(10)))
    wrong, done = corrupt_labels([full], [HW], 0.8, 0)
    assert of_kind(done, "added") == []
    assert len(wrong[0].boxes) == 8
