"""The drawn set: its boxes fit its pixels, and it holds what the demo promises."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, draw_pictures
from ymir_detectron2.tools.task_folder import LabelledPicture

ORIENTATION_TAG = 0x0112
COUNT = 120


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledPicture]:
    return draw_pictures(tmp_path_factory.mktemp("drawn"), COUNT, seed=5)


def read_orientation(path: Path) -> int:
    with Image.open(path) as picture:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))


def read_upright(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB as a person sees it."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        assert upright is not None
        return np.asarray(upright.convert("RGB"))


def test_same_seed_draws_the_same_bytes_and_boxes(tmp_path: Path) -> None:
    first, second = (draw_pictures(tmp_path / name, 4, seed=1) for name in ("a", "b"))
    assert [picture.boxes for picture in first] == [picture.boxes for picture in second]
    assert [p.image.read_bytes() for p in first] == [p.image.read_bytes() for p in second]


def test_longer_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short, long = draw_pictures(tmp_path / "short", 2, seed=1), draw_pictures(tmp_path / "long", 5, seed=1)
    assert [picture.boxes for picture in long[:2]] == [picture.boxes for picture in short]


def test_other_seed_draws_another_set(tmp_path: Path) -> None:
    first, second = (draw_pictures(tmp_path / str(seed), 4, seed=seed) for seed in (1, 2))
    assert [picture.boxes for picture in first] != [picture.boxes for picture in second]


def test_about_a_seventh_of_the_pictures_has_no_object(pictures: list[LabelledPicture]) -> None:
    empty = sum(not picture.boxes for picture in pictures)
    assert 0.07 * COUNT <= empty <= 0.25 * COUNT


def test_every_class_and_both_small_and_large_objects_occur(pictures: list[LabelledPicture]) -> None:
    boxes = [box for picture in pictures for box in picture.boxes]
    assert {box[0] for box in boxes} == set(CLASS_NAMES)
    longer_sides = [max(x2 - x1, y2 - y1) + 1 for _, x1, y1, x2, y2 in boxes]
    assert min(longer_sides) < 24
    assert max(longer_sides) > 80


def test_formats_and_orientations_are_mixed(pictures: list[LabelledPicture]) -> None:
    assert {picture.image.suffix for picture in pictures} == {".jpg", ".png"}
    assert {read_orientation(picture.image) for picture in pictures} == {1, 3, 6, 8}


def test_upright_pictures_come_in_several_sizes_and_both_orientations(pictures: list[LabelledPicture]) -> None:
    shapes = {read_upright(picture.image).shape[:2] for picture in pictures}
    assert len(shapes) > 6
    assert {height > width for height, width in shapes} == {True, False}


def test_boxes_lie_inside_the_upright_picture(pictures: list[LabelledPicture]) -> None:
    for picture in pictures:
        height, width = read_upright(picture.image).shape[:2]
        for _, x1, y1, x2, y2 in picture.boxes:
            assert 0 <= x1 < x2 < width
            assert 0 <= y1 < y2 < height


def test_opencv_sees_the_same_upright_picture(pictures: list[LabelledPicture]) -> None:
    rotated = next(picture.image for picture in pictures if read_orientation(picture.image) in (6, 8))
    image = cv2.imread(str(rotated), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == read_upright(rotated).shape


def test_objects_are_hardly_covered_by_others(pictures: list[LabelledPicture]) -> None:
    for picture in pictures:
        for index, one in enumerate(picture.boxes):
            for other in picture.boxes[index + 1 :]:
                width = min(one[3], other[3]) - max(one[1], other[1]) + 1
                height = min(one[4], other[4]) - max(one[2], other[2]) + 1
                areas = [(box[3] - box[1] + 1) * (box[4] - box[2] + 1) for box in (one, other)]
                assert max(width, 0) * max(height, 0) <= 0.1 * min(areas)


def test_middle_of_a_disc_is_red_in_files_stored_rotated(pictures: list[LabelledPicture]) -> None:
    """Boxes are those of the upright picture: in the stored frame they would point at background."""
    checked = 0
    for picture in pictures:
        if len(picture.boxes) != 1 or picture.boxes[0][0] != "disc" or read_orientation(picture.image) == 1:
            continue
        _, x1, y1, x2, y2 = picture.boxes[0]
        image = read_upright(picture.image).astype(int)
        inside = image[(y1 + y2) // 2 - 2 : (y1 + y2) // 2 + 3, (x1 + x2) // 2 - 2 : (x1 + x2) // 2 + 3]
        assert inside[..., 0].mean() > inside[..., 1].mean() + 15  # discs are red to orange
        checked += 1
    assert checked


def test_sides_can_be_chosen(tmp_path: Path) -> None:
    for picture in draw_pictures(tmp_path, 3, seed=0, image_sides=(64,)):
        assert read_upright(picture.image).shape == (64, 64, 3)
