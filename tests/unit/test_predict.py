"""Images on disk through a detector of coloured rectangles: order, tiles, damaged files, chunks, whole pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.platform_reader import MOST_BOXES_BEFORE_2_1, RELEASES, read_infer_result
from tests.rectangle_detector import BLUE, CLASS_NAMES, RED, RectangleDetector, draw
from ymir_detectron2.contract.infer_result import InferResultWriter
from ymir_detectron2.detections import Detections
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.inference import prefetch
from ymir_detectron2.inference.predict import BLOCK, ImagePrediction, PredictionHooks, pixel_boxes, predict_images
from ymir_detectron2.inference.tiling import merge_tiles
from ymir_detectron2.tile_windows import Tiling, Window


def save(folder: Path, name: str, image_bgr: np.ndarray) -> Path:
    Image.fromarray(np.ascontiguousarray(image_bgr[:, :, ::-1])).save(folder / name)
    return folder / name


def boxes_of(image) -> list[tuple]:
    detections = image.detections
    return [(*map(int, box), int(class_id)) for box, class_id in zip(detections.boxes_xyxy, detections.classes)]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """The n-th has a blue rectangle at x = 2n; number 3 is text, number 5 is missing."""
    paths = [
        save(tmp_path, f"{n}.png", draw((2 * n, 10, 2 * n + 20, 30, BLUE, 200), height=60 + n % 3, width=120))
        for n in range(40)
    ]
    paths[3].write_text("no image")
    paths[5].unlink()
    return paths


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_results_come_in_input_order_with_unreadable_ones_among_them(
    images: list[Path], workers: int, chunk_size: int
):
    predictions = list(predict_images(RectangleDetector(chunk_size), iter(images), num_workers=workers))
    assert [image.path for image in predictions] == images
    for number, image in enumerate(predictions):
        if number in (3, 5):
            assert image.detections is None
            assert image.image_hw is None
            assert image.result_boxes(CLASS_NAMES) == []
            assert f"{number}.png" in str(image.error)
        else:
            assert image.error is None
            assert image.image_hw == (60 + number % 3, 120)
            assert boxes_of(image) == [(2 * number, 10, 2 * number + 20, 30, BLUE)]
            (box,) = image.result_boxes(CLASS_NAMES)
            assert (box.x, box.y, box.w, box.h, box.class_name) == (2 * number, 10, 20, 20, "blue")


def test_no_images():
    assert list(predict_images(RectangleDetector(), [])) == []


def test_chunks_end_where_a_block_ends(images: list[Path]):
    """A run that resumes at a block forms the same chunks as one from the start: 30 readable images, then 8."""
    detector = RectangleDetector(20)
    list(predict_images(detector, images))
    assert detector.chunks == [20, 10, 8]
    again = RectangleDetector(20)
    list(predict_images(again, images[BLOCK:]))
    assert again.chunks == [8]


def test_images_are_read_a_few_at_a_time(images: list[Path]):
    taken = []

    def paths():
        for path in images * 5:
            taken.append(path)
            yield path

    next(predict_images(RectangleDetector(2), paths(), num_workers=1))
    assert len(taken) <= BLOCK + 4 + 1


def test_a_stop_is_obeyed_between_two_chunks(images: list[Path]):
    detector = RectangleDetector(4)
    with pytest.raises(StoppedError, match="before all images were processed"):
        list(predict_images(detector, images, stop_requested=lambda: len(detector.chunks) == 2))
    assert len(detector.chunks) == 2


@pytest.mark.parametrize("large", [False, True], ids=["prefetched", "read when its turn comes"])
def test_tiles_find_what_is_too_small_in_the_whole_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
):
    """At half the size a thin line of one pixel is too dark to be detected; in a tile of 64, not resized, it is not."""
    if large:
        monkeypatch.setattr(prefetch, "LARGE", 1000)

    class KeepsTilesAsTheyAre(RectangleDetector):
        def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
            return image_hw if max(image_hw) <= 64 else super().network_hw(image_hw)

    image = draw((20, 20, 21, 60, RED, 90), (40, 40, 120, 90, BLUE, 200), height=128, width=160)
    path = save(tmp_path, "a.png", image)
    (whole,) = predict_images(KeepsTilesAsTheyAre(), [path])
    assert boxes_of(whole) == [(40, 40, 120, 90, BLUE)]
    detector = KeepsTilesAsTheyAre()
    (tiled,) = predict_images(detector, [path], tiling=Tiling(64, 16))
    assert sorted(boxes_of(tiled)) == [(20, 20, 21, 60, RED), (40, 40, 120, 90, BLUE)]
    assert sum(detector.chunks) == 1 + 3 * 3


def test_without_a_word_images_are_cut_as_in_the_training_of_the_model(tmp_path: Path):
    class TrainedOnTiles(RectangleDetector):
        tiling = Tiling(64, 16)

    path = save(tmp_path, "a.png", draw((40, 40, 120, 90, BLUE, 200), height=128, width=160))
    passes = []
    for given in ({}, {"tiling": Tiling(64, 16)}, {"tiling": Tiling()}):
        detector = TrainedOnTiles()
        list(predict_images(detector, [path], **given))
        passes.append(sum(detector.chunks))
    assert passes == [1 + 3 * 3, 1 + 3 * 3, 1]


def test_a_large_image_that_breaks_off_is_counted_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prefetch, "LARGE", 1000)
    good, cut = (save(tmp_path, name, draw((10, 10, 40, 40, BLUE, 200))) for name in ("good.png", "cut.png"))
    cut.write_bytes(cut.read_bytes()[:200])
    predictions = list(predict_images(RectangleDetector(), [good, cut, good]))
    assert [image.error is None for image in predictions] == [True, False, True]
    assert "cut.png" in str(predictions[1].error)
    assert boxes_of(predictions[2]) == [(10, 10, 40, 40, BLUE)]


def test_hooks_get_name_pixels_detections_and_extracted_outputs_of_each_tile(tmp_path: Path):
    seen = []

    def score(names, tiles, detections, extracted) -> list:
        seen.extend(zip(names, (tile.shape[:2] for tile in tiles), map(len, detections), extracted))
        return [name[-2:] for name in names]

    path = save(tmp_path, "a.png", draw((10, 10, 40, 40, BLUE, 200), height=64, width=100))
    hooks = PredictionHooks(extract=lambda outputs: int(outputs.image_bgr.max()), score=score)
    (image,) = predict_images(RectangleDetector(), [path], tiling=Tiling(64, 0), hooks=hooks)
    assert seen == [(f"{path}", (32, 50), 1, 200), (f"{path}#2", (32, 32), 1, 200), (f"{path}#3", (32, 32), 1, 200)]
    assert image.tile_scores == ["ng", "#2", "#3"]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((10, 20, 30, 40), (10, 20, 20, 20), id="whole"),
        pytest.param((10.4, 19.6, 30.4, 40.6), (10, 20, 20, 21), id="rounded"),
        pytest.param((-5, -5, 200, 200), (0, 0, 96, 64), id="over every edge"),
        pytest.param((10.1, 10.1, 10.3, 10.3), (10, 10, 1, 1), id="less than a pixel"),
        pytest.param((95.9, 63.9, 96, 64), (95, 63, 1, 1), id="in the last corner"),
        pytest.param((200, 200, 300, 300), (95, 63, 1, 1), id="outside"),
        pytest.param((30, 30, 10, 10), (30, 30, 1, 1), id="swapped corners"),
    ],
)
def test_result_boxes_are_whole_pixels_inside_and_at_least_one_wide(box: tuple, expected: tuple):
    """In an image of 96 by 64."""
    detections = Detections(np.array([box], np.float32), np.array([0.5], np.float32), np.array([1]))
    (result,) = pixel_boxes(detections, (64, 96), ("cat", "dog"))
    assert (result.x, result.y, result.w, result.h) == expected
    assert (result.class_name, result.score) == ("dog", 0.5)
    assert all(type(value) is int for value in result[:4])


def test_above_a_threshold_are_the_boxes_that_a_detector_with_it_would_have_found(tmp_path: Path):
    """The box of the whole image is weak and whole, and covers a strong one that a tile cuts: with the lower threshold
    it takes the other's place, so that the boxes must be merged again."""
    window = [Window(0, 0, 100, 50), Window(0, 0, 50, 50), Window(50, 0, 50, 50)]
    whole = Detections(np.array([[10.0, 10, 90, 40]], np.float32), np.array([0.1], np.float32), np.array([0]))
    half = Detections(np.array([[10.0, 10, 50, 40]], np.float32), np.array([0.9], np.float32), np.array([0]))
    other = Detections(np.array([[60.0, 10, 70, 20]], np.float32), np.array([0.5], np.float32), np.array([1]))
    tiles = tuple(zip(window, (whole, half, other)))
    merged = merge_tiles([whole, half, other], window, (50, 100))
    image = ImagePrediction(Path("a"), (50, 100), merged, ["kept"], None, (), tiles)
    assert image.detections is not None
    assert image.detections.scores.tolist() == [0.5, np.float32(0.1)]
    above = image.above(0.2)
    assert above.detections is not None
    assert above.detections.scores.tolist() == [np.float32(0.9), 0.5]
    assert above.tile_scores == ["kept"]
    assert image.above(0.9).result_boxes("ab") == [], "a score equal to the threshold is not above it"


def test_an_unreadable_image_has_nothing_above_a_threshold(tmp_path: Path):
    (tmp_path / "a.png").write_text("not an image")
    (image,) = predict_images(RectangleDetector(), [tmp_path / "a.png"])
    assert image.above(0.5) == image


def test_predictions_can_be_taken_above_a_threshold(images: list[Path]):
    """Of whole images and of tiles, from real files."""
    for image in predict_images(RectangleDetector(), images, tiling=Tiling.of_size(40)):
        if image.detections is not None:
            above = image.above(0.6).detections
            assert above is not None
            assert (above.scores > 0.6).all()
            assert image.above(0.0).detections is not None
            assert len(image.above(0.0).detections) == len(image.detections)  # type: ignore[arg-type]


def test_no_detections_are_no_result_boxes():
    assert list(pixel_boxes(Detections.empty(), (64, 96), ())) == []


@pytest.mark.parametrize("tiling", [Tiling(), Tiling(128, 40)], ids=["whole image", "tiles"])
@pytest.mark.parametrize("release", RELEASES)
def test_boxes_are_written_best_first(tmp_path: Path, tiling: Tiling, release: str):
    """Before 2.1 the platform keeps 50 of an image: the same ones whether it sorts them or takes the first."""
    order = np.random.default_rng(1).permutation(60)
    rectangles = [
        (24 * (n % 10), 24 * (n // 10), 24 * (n % 10) + 16, 24 * (n // 10) + 16, n % 3, 100 + 2 * int(brightness))
        for n, brightness in enumerate(order)
    ]
    path = save(tmp_path, "many.png", draw(*rectangles, height=144, width=240))
    (image,) = predict_images(RectangleDetector(), [path], tiling=tiling)
    key = "annotations" if release == "1.1.0" else "boxes"
    with InferResultWriter(tmp_path / "infer-result.json", writes_stages=key == "boxes") as writer:
        writer.add("many.png", image.result_boxes(CLASS_NAMES))
    (written,) = json.loads((tmp_path / "infer-result.json").read_text())["detection"].values()
    scores = [box["score"] for box in written[key]]
    assert len(scores) == 60
    assert scores == sorted(scores, reverse=True)
    kept = read_infer_result(tmp_path / "infer-result.json", ["many.png"], CLASS_NAMES, release)["many.png"]
    limit = MOST_BOXES_BEFORE_2_1 if release in RELEASES[: RELEASES.index("2.1.0")] else 60
    assert [box.score for box in kept] == scores[:limit]


def test_an_image_in_memory_has_the_boxes_of_its_file(tmp_path: Path):
    image_bgr = draw((10, 20, 40, 50, RED, 200), (60, 5, 90, 25, BLUE, 150))
    path = save(tmp_path, "a.png", image_bgr)
    from_file, from_memory = predict_images(RectangleDetector(), [path, image_bgr], tiling=Tiling(64, 16))
    assert boxes_of(from_file) == boxes_of(from_memory) != []
    assert from_memory.image_hw == (96, 128)
