"""The drawn dataset: its boxes fit its pixels, and it contains what the demo needs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, DRAWN_SHAPES, draw_images, paint_shapes

ORIENTATION_TAG = 0x0112
COUNT = 120


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedImage]:
    return draw_images(tmp_path_factory.mktemp("drawn"), COUNT, seed=5)


def read_orientation(path: Path) -> int:
    with Image.open(path) as image:
        return int(image.getexif().get(ORIENTATION_TAG, 1))


def read_upright(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, with PIL alone: a check that does not depend on the project's own reader."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        assert upright is not None
        return np.asarray(upright.convert("RGB"))


def test_same_seed_draws_the_same_bytes_and_boxes(tmp_path: Path) -> None:
    first, second = (draw_images(tmp_path / name, 4, seed=1) for name in ("a", "b"))
    assert [image.boxes for image in first] == [image.boxes for image in second]
    assert [image.path.read_bytes() for image in first] == [image.path.read_bytes() for image in second]


def test_longer_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short, long = draw_images(tmp_path / "short", 2, seed=1), draw_images(tmp_path / "long", 5, seed=1)
    assert [image.boxes for image in long[:2]] == [image.boxes for image in short]


def test_other_seed_draws_another_set(tmp_path: Path) -> None:
    first, second = (draw_images(tmp_path / str(seed), 4, seed=seed) for seed in (1, 2))
    assert [image.boxes for image in first] != [image.boxes for image in second]


def test_about_a_seventh_of_the_images_has_no_object(images: list[AnnotatedImage]) -> None:
    empty = sum(not image.boxes for image in images)
    assert 0.07 * COUNT <= empty <= 0.25 * COUNT


def test_every_class_and_both_small_and_large_objects_occur(images: list[AnnotatedImage]) -> None:
    boxes = [box for image in images for box in image.boxes]
    assert {box[0] for box in boxes} == set(CLASS_NAMES)
    longer_sides = [max(x2 - x1, y2 - y1) + 1 for _, x1, y1, x2, y2 in boxes]
    assert min(longer_sides) < 24
    assert max(longer_sides) > 80


def test_formats_and_orientations_are_mixed(images: list[AnnotatedImage]) -> None:
    assert {image.path.suffix for image in images} == {".jpg", ".png"}
    assert {read_orientation(image.path) for image in images} == {1, 3, 6, 8}


def test_upright_images_come_in_several_sizes_and_both_orientations(images: list[AnnotatedImage]) -> None:
    shapes = {read_upright(image.path).shape[:2] for image in images}
    assert len(shapes) > 6
    assert {height > width for height, width in shapes} == {True, False}


def test_boxes_are_inside_the_upright_image(images: list[AnnotatedImage]) -> None:
    for image in images:
        height, width = read_upright(image.path).shape[:2]
        for _, x1, y1, x2, y2 in image.boxes:
            assert 0 <= x1 < x2 < width
            assert 0 <= y1 < y2 < height


def test_opencv_sees_the_same_upright_image(images: list[AnnotatedImage]) -> None:
    rotated = next(image.path for image in images if read_orientation(image.path) in (6, 8))
    pixels = cv2.imread(str(rotated), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == read_upright(rotated).shape


def test_objects_are_hardly_covered_by_others(images: list[AnnotatedImage]) -> None:
    for image in images:
        for index, one in enumerate(image.boxes):
            for other in image.boxes[index + 1 :]:
                width = min(one[3], other[3]) - max(one[1], other[1]) + 1
                height = min(one[4], other[4]) - max(one[2], other[2]) + 1
                areas = [(box[3] - box[1] + 1) * (box[4] - box[2] + 1) for box in (one, other)]
                assert max(width, 0) * max(height, 0) <= 0.1 * min(areas)


def test_middle_of_a_disc_is_red_in_files_stored_rotated(images: list[AnnotatedImage]) -> None:
    """Boxes are in pixels of the upright image: in the stored image they would contain background."""
    checked = 0
    for image in images:
        if len(image.boxes) != 1 or image.boxes[0][0] != "disc" or read_orientation(image.path) == 1:
            continue
        _, x1, y1, x2, y2 = image.boxes[0]
        pixels = read_upright(image.path).astype(int)
        inside = pixels[(y1 + y2) // 2 - 2 : (y1 + y2) // 2 + 3, (x1 + x2) // 2 - 2 : (x1 + x2) // 2 + 3]
        assert inside[..., 0].mean() > inside[..., 1].mean() + 15  # discs are red to orange
        checked += 1
    assert checked


def test_sides_can_be_chosen(tmp_path: Path) -> None:
    for image in draw_images(tmp_path, 3, seed=0, image_sides=(64,)):
        assert read_upright(image.path).shape == (64, 64, 3)


@pytest.mark.parametrize("class_name", DRAWN_SHAPES)
def test_every_shape_is_painted_within_its_box_and_to_all_its_sides(class_name: str) -> None:
    canvas = np.zeros((160, 160, 3))
    (shape,) = paint_shapes(np.random.default_rng(3), canvas, [class_name])
    rows, columns = np.nonzero(canvas.any(axis=2))
    assert shape.box == (class_name, columns.min(), rows.min(), columns.max(), rows.max())


def test_stars_and_crosses_fill_less_of_their_box_than_discs() -> None:
    """A disc fills pi / 4 of its box; a star with deep notches, and a cross of two bars, about half of that."""
    filled = {}
    for class_name in ("disc", "cross", "star"):
        rngs = map(np.random.default_rng, range(30))
        shapes = [paint_shapes(rng, np.zeros((160, 160, 3)), [class_name])[0] for rng in rngs]
        filled[class_name] = np.mean([one.mask.sum() / _area(one.box) for one in shapes])
    assert filled["disc"] > 0.75
    assert 0.25 < filled["star"] < 0.5
    assert 0.3 < filled["cross"] < 0.6


def _area(box: LabelledBox) -> int:
    return (box[3] - box[1] + 1) * (box[4] - box[2] + 1)
