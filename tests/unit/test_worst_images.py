"""Which images are the worst, which of their boxes are wrong, and how they are drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluated_images import BOX, FAR, evaluated_image, has_colour, pixels_of
from tests.running import PROJECT_DIR
from ymir_detectron2.evaluation.matching import match_set
from ymir_detectron2.evaluation.worst_images import plot_worst_images, worst_images

FN, FP, TP = (255, 212, 0), (255, 59, 107), (46, 230, 166)
"""Colours of the boxes."""

NO_ERROR = evaluated_image([(0, BOX)], [(0, 0.9, BOX)])
EMPTY = evaluated_image([], [])
MISSED = evaluated_image([(0, BOX)], [])
TWO_FP = evaluated_image([(0, BOX)], [(0, 0.3, FAR), (0, 0.5, BOX), (1, 0.9, BOX)])  # 0.3 + 0.9
UNSURE = evaluated_image([(0, BOX)], [(0, 0.9, BOX), (1, 0.2, BOX)])  # not above the threshold
RENAMED = evaluated_image([(0, BOX)], [(1, 0.4, BOX)])  # one fn, and one fp of 0.4


def worst(images, **options):
    return worst_images(images, match_set(images, 2), **options)


@pytest.mark.parametrize("images", [[], [EMPTY], [NO_ERROR, EMPTY, UNSURE]])
def test_images_without_an_error_are_left_out(images):
    assert worst(images) == []


def test_worst_first():
    images = worst([NO_ERROR, MISSED, UNSURE, TWO_FP, RENAMED])
    assert [image.image_index for image in images] == [4, 3, 1]
    assert [image.error_score for image in images] == pytest.approx([1.4, 1.2, 1.0])


def test_of_equals_the_earlier_and_no_more_than_asked_for():
    assert [image.image_index for image in worst([MISSED, TWO_FP, MISSED, MISSED], count=3)] == [1, 0, 2]


def test_the_errors_of_an_image_are_indices_of_its_boxes():
    (errors,) = worst([TWO_FP])
    assert (errors.fn.tolist(), errors.fp.tolist(), errors.tp.tolist()) == ([], [2, 0], [1])
    (errors,) = worst([TWO_FP], score_threshold=0.6)
    assert (errors.fn.tolist(), errors.fp.tolist(), errors.tp.tolist()) == ([0], [2], [])


def plotted(images, class_names: list[str]) -> np.ndarray:
    """The pixels of the plot of all images with an error."""
    worst = worst_images(images, match_set(images, len(class_names)))
    return pixels_of(plot_worst_images(worst, images, class_names))


def test_boxes_are_drawn_in_the_colour_of_their_kind(tmp_path: Path):
    """Black images; the broken one leaves its place. Two rows of two: 40 + 2 * (24 + 388 + 8)."""
    good, broken = str(tmp_path / "红 a.png"), str(tmp_path / "b.png")
    Image.new("RGB", (100, 100)).save(good)
    fn = evaluated_image([(0, BOX)], [])._replace(path=good)
    fp = evaluated_image([], [(0, 0.9, BOX)])._replace(path=good)
    tp_and_fn = evaluated_image([(0, BOX), (0, FAR)], [(0, 0.9, BOX)])._replace(path=good)
    unreadable = evaluated_image([(0, BOX)], [])._replace(path=broken)
    for images, colours, height in (
        ([fn], {FN}, 460),
        ([fp], {FP}, 460),
        ([tp_and_fn], {FN, TP}, 460),
        ([fn, unreadable, fp], {FN, FP}, 880),
        ([unreadable], set(), 40 + 24 + 194 + 8),
        ([], set(), 140),
    ):
        pixels = plotted(images, ["红细胞"])
        assert pixels.shape[0] == height
        below_the_legend = pixels[40:]
        assert {colour for colour in (FN, FP, TP) if has_colour(below_the_legend, colour)} == colours


def test_labels_of_one_place_do_not_cover_each_other(tmp_path: Path):
    """Of two objects on one spot only the first is labelled, whatever the other is called."""
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    images = [evaluated_image([(0, BOX), (1, BOX)], [])._replace(path=str(tmp_path / "a.png"))]
    short, long = (plotted(images, ["cat", other]) for other in ("dog", "hippopotamus"))
    np.testing.assert_array_equal(short, long)


@pytest.mark.parametrize("name", ["W" * 30, "红细胞" * 10])
def test_long_names_stay_within_their_image(tmp_path: Path, name: str):
    """The object is at the right edge of the left one of two images; between them are eight white pixels."""
    file = tmp_path / f"{name}.png"
    Image.new("RGB", (100, 100)).save(file)
    image = evaluated_image([(0, (90, 40, 100, 50))] * 1000, [])._replace(path=str(file))
    assert (plotted([image, image], [name])[40:450, 8 + 388 + 3 : 8 + 388 + 8] == 255).all()


@pytest.mark.parametrize("wh", [(1, 1), (1, 3000), (3000, 1), (20, 10)])
def test_images_of_any_shape(tmp_path: Path, wh: tuple[int, int]):
    Image.new("L", wh).save(tmp_path / "a.png")
    images = [evaluated_image([(0, (0, 0, *wh))], [])._replace(path=str(tmp_path / "a.png"))]
    plotted(images, ["cat"])


PLOT_WITH_ANOTHER_FONT = """
import logging, sys
from pathlib import Path
import matplotlib
from matplotlib import font_manager
from PIL import Image
logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.captureWarnings(True)
# a font with one face, installed under the name of a Chinese one
files = Path(matplotlib.get_data_path(), "fonts", "ttf")
entry = font_manager.ttfFontProperty(font_manager.get_font(str(files / "DejaVuSansMono.ttf")))
font_manager.fontManager.ttflist.append(font_manager.FontEntry(
    fname=str(files / "DejaVuSansMono.ttf"), name="SimHei", style=entry.style, variant=entry.variant,
    weight=entry.weight, stretch=entry.stretch, size=entry.size))
from tests.evaluated_images import BOX, FAR, evaluated_image
from ymir_detectron2.evaluation.figure import font_families
from ymir_detectron2.evaluation.matching import match_set
from ymir_detectron2.evaluation.worst_images import plot_worst_images, worst_images
assert len(font_families()) == 2
Image.new("RGB", (100, 100)).save(sys.argv[1])
images = [evaluated_image([(0, BOX)], [(1, 0.9, FAR)])._replace(path=sys.argv[1])]
plot_worst_images(worst_images(images, match_set(images, 2)), images, ["cat", "\\u7ea2 cell"])
"""


def test_labels_need_no_bold_face_of_the_chinese_font(tmp_path: Path):
    """matplotlib warns about each font that has none; nobody who reads the log of a training could do anything."""
    run = subprocess.run(
        [sys.executable, "-c", PLOT_WITH_ANOTHER_FONT, str(tmp_path / "a.png")], cwd=PROJECT_DIR, text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert run.stdout == ""
