"""The drawn long-tail set: its shares, its near copies, and that it is the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Sequence

import numpy as np
import pytest
from PIL import Image

from benchmarks.long_tail import SIDE, draw_common, draw_pool, draw_val
from benchmarks.near_copies import NearCopies
from ymir_detectron2.sources.labelled_image import AnnotatedImage

COUNT = 200


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedImage]:
    return draw_pool(tmp_path_factory.mktemp("pool"), COUNT)


def images_by_class(images: Sequence[AnnotatedImage]) -> Counter[str]:
    return Counter(name for image in images for name in {box[0] for box in image.boxes})


def test_shares_of_the_pool(pool: list[AnnotatedImage]) -> None:
    """160 scenes, 1 % and 5 % of them are 2 and 8; the 40 copies may show a few more."""
    assert len(pool) == len({image.path for image in pool}) == COUNT
    shown = images_by_class(pool)
    assert set(shown) == {"disc", "bar", "triangle", "cross", "star"}
    assert 2 <= shown["cross"] <= 5
    assert 8 <= shown["star"] <= 16
    assert min(shown["disc"], shown["bar"], shown["triangle"]) > 30
    assert 0.4 < sum(not image.boxes for image in pool) / COUNT < 0.6


def test_rare_classes_are_measurable_in_the_validation_images(tmp_path: Path) -> None:
    val = draw_val(tmp_path, 40)
    shown = images_by_class(val)
    assert shown["cross"] == shown["star"] == 6  # 15 %
    assert sum(not image.boxes for image in val) == 20


def test_scenes_for_a_start_show_the_common_classes_only_and_none_of_the_pool(
    pool: list[AnnotatedImage], tmp_path: Path
) -> None:
    common = draw_common(tmp_path, 30)
    assert set(images_by_class(common)) == {"disc", "bar", "triangle"}
    assert sum(not image.boxes for image in common) == 15
    paths = [image.path for image in pool]
    copies = [path.rename(path.with_name(f"start-{path.name}")) for path in (image.path for image in common)]
    together = [*paths, *copies]
    alone = NearCopies(paths).count([path.name for path in paths])
    assert NearCopies(together).count([path.name for path in together]) == alone


def test_a_fifth_of_the_pool_are_near_copies(pool: list[AnnotatedImage]) -> None:
    paths = [image.path for image in pool]
    assert 35 <= NearCopies(paths).count([path.name for path in paths]) <= 55


def test_same_boxes_and_pixels_every_time(tmp_path: Path) -> None:
    first, second = (draw_pool(tmp_path / name, 12) for name in ("a", "b"))
    assert [image.boxes for image in first] == [image.boxes for image in second]
    assert [image.path.read_bytes() for image in first] == [image.path.read_bytes() for image in second]


def test_boxes_are_in_the_image_and_around_their_objects(pool: list[AnnotatedImage]) -> None:
    """Stars and discs are more colourful than the background: the box has a pixel near its middle that says so."""
    checked = 0
    for image in pool:
        with Image.open(image.path) as file:
            assert file.size == (SIDE, SIDE)
            saturation = np.asarray(file.convert("HSV"))[..., 1].astype(int)
        for name, x1, y1, x2, y2 in image.boxes:
            assert 0 <= x1 < x2 < SIDE
            assert 0 <= y1 < y2 < SIDE
            if name == "disc" and min(x2 - x1, y2 - y1) > 24:
                middle = saturation[(y1 + y2) // 2 - 4 : (y1 + y2) // 2 + 4, (x1 + x2) // 2 - 4 : (x1 + x2) // 2 + 4]
                checked += bool(middle.mean() > saturation.mean())
                assert middle.mean() > saturation.mean()
    assert checked > 10
