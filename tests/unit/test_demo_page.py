"""The page of the demo: its table, and the grid of images with detections and ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.annotated_sets import grey_image
from tests.conftest import draw_image
from ymir_detectron2.contract.infer_result import ResultBox
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.demo_page import COLUMNS, MIN_SCORE_SHOWN, TILE_SIDE, write_contact_sheet, write_page
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES


def sheet(tmp_path: Path, image: AnnotatedImage, *detections: ResultBox) -> np.ndarray:
    """(H, W, 3) RGB of a sheet with one image."""
    write_contact_sheet(tmp_path / "sheet.png", [image], [detections], CLASS_NAMES)
    with Image.open(tmp_path / "sheet.png") as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def colourful(pixels: np.ndarray) -> np.ndarray:
    """(M, 2) rows and columns of pixels that are not grey."""
    return np.argwhere(pixels.max(axis=2) - pixels.min(axis=2) > 100)


def test_ground_truth_is_white_and_detections_have_colours(tmp_path: Path) -> None:
    image = AnnotatedImage(grey_image(tmp_path / "p.png", 128, (100, 50)), (("disc", 10, 10, 39, 39),))
    pixels = sheet(tmp_path, image, ResultBox(60, 10, 30, 30, "disc", 0.9))
    white = np.argwhere((pixels == 255).all(axis=2))
    tile = pixels.shape[1] / COLUMNS
    assert white[:, 1].max() < tile / 2 < colourful(pixels)[:, 1].min()
    assert colourful(pixels)[:, 1].max() < tile, "nothing is drawn outside the image"


def test_detections_below_the_score_that_the_page_states_are_not_drawn(tmp_path: Path) -> None:
    image = AnnotatedImage(grey_image(tmp_path / "p.png", 128))
    for score, drawn in ((MIN_SCORE_SHOWN, True), (MIN_SCORE_SHOWN - 0.01, False)):
        assert bool(len(colourful(sheet(tmp_path, image, ResultBox(5, 5, 20, 20, "bar", score))))) == drawn


def test_a_rotated_photograph_is_shown_upright_with_its_boxes(tmp_path: Path) -> None:
    box = ("brick", 10, 60, 40, 90)
    image = draw_image(tmp_path / "a.jpg", [box], wh=(64, 96), orientation=6)
    pixels = sheet(tmp_path, image)
    scale = TILE_SIDE / 96
    left = (pixels.shape[1] / COLUMNS - 64 * scale) / 2
    brick = colourful(pixels)
    np.testing.assert_allclose(brick.min(axis=0), [60 * scale + 3, left + 10 * scale], atol=5)
    np.testing.assert_allclose(brick.max(axis=0), [91 * scale + 3, left + 41 * scale], atol=5)


def test_page_shows_table_and_image(tmp_path: Path) -> None:
    write_page(tmp_path / "index.html", [("a < b", "1")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<tr><td>a &lt; b</td><td>1</td></tr>" in page
    assert 'src="detections.png"' in page
    assert f"(from {MIN_SCORE_SHOWN})" in page
