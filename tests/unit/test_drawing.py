"""Charts and sheets come out with the right size and something on them, whatever there is to show."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.judged_pictures import BOX, FAR, judged_picture
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.evaluation.curves import RECALLS, confidence_curve
from ymir_detectron2.evaluation.drawing import (
    _loss_scale,
    draw_ap_by_class,
    draw_confidence,
    draw_confusion,
    draw_losses,
    draw_precision_recall,
)
from ymir_detectron2.evaluation.lettering import drawable_names, letters_wide
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.matching import best_f1, match_set
from ymir_detectron2.evaluation.metrics import ImageResult, evaluate
from ymir_detectron2.evaluation.picture_sheet import draw_worst
from ymir_detectron2.evaluation.report import FILE_NAMES, draw_report
from ymir_detectron2.evaluation.sheet import new_sheet
from ymir_detectron2.evaluation.worst import worst_pictures

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
UNKNOWN = "\U0010fffd"
"""A letter that no font has."""
NAMES = {
    "one class": ["cat"],
    "Chinese": ["红细胞", "白细胞 WBC", "a$b$"],
    "80 classes": [f"a rather long name of a class {i}" for i in range(80)],
}
MISSED, FALSE, RIGHT = (255, 212, 0), (255, 59, 107), (46, 230, 166)

all_names = pytest.mark.parametrize("names", list(NAMES.values()), ids=list(NAMES))


def pixels(png: bytes) -> np.ndarray:
    """(H, 800, 3); something is drawn."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert image.shape[1] == 800
    assert (image != 255).any(axis=2).mean() > 0.002
    return image


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(image.astype(int) - colour).max(axis=2) < 12).any())


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        pytest.param("cat", "cat", id="as it is"),
        pytest.param(" two\nlines\t", "two lines", id="one line"),
        pytest.param("$x^2$", r"\$x^2\$", id="no formula"),
        pytest.param(UNKNOWN, "#1", id="a letter that no font has"),
        pytest.param(f"{UNKNOWN} RBC", "#1 RBC", id="and others that it has"),
        pytest.param("", "#1", id="nothing"),
        pytest.param("a" * 24, "a" * 24, id="just short enough"),
        pytest.param("a" * 25, "a" * 23 + "…", id="too long"),
    ],
)
def test_names_as_they_are_drawn(name: str, drawn: str):
    assert drawable_names(["first", name])[1] == drawn


def test_names_that_are_the_same_once_they_are_cut_are_told_apart_by_their_positions():
    long = "a" * 30
    assert drawable_names([f"{long}0", "cat", f"{long}1"]) == ["#0 " + "a" * 20 + "…", "cat", "#2 " + "a" * 20 + "…"]


def test_chinese_letters_take_twice_the_room():
    assert letters_wide("红细胞 RBC") == 10


@all_names
def test_precision_and_recall(names: list[str]):
    curves = {index: np.clip(1 - RECALLS * (index + 1) / 40, 0, 1) for index in range(len(names))}
    assert pixels(draw_precision_recall(curves, names)).shape[0] == 520


def test_precision_and_recall_without_objects():
    assert pixels(draw_precision_recall({}, ["cat"])).shape[0] == 520


def test_confidence():
    matches = match_set([judged_picture([(0, BOX)], [(0, 0.8, BOX), (0, 0.4, FAR)])], 1)
    with_curve = pixels(draw_confidence(confidence_curve(matches), best_f1(matches)))
    nothing = match_set([judged_picture([(0, BOX)], [])], 1)
    without = pixels(draw_confidence(confidence_curve(nothing), best_f1(nothing)))
    recall = (0xD5, 0x5E, 0x00)
    assert (has_colour(with_curve, recall), has_colour(without, recall)) == (True, False)


@all_names
def test_confusion(names: list[str]):
    matrix = np.full((len(names) + 1,) * 2, 12_345_678)
    matrix[-1, -1] = 0
    assert pixels(draw_confusion(matrix, names, 0.2)).shape[0] == 720


def test_confusion_of_nothing():
    assert pixels(draw_confusion(np.zeros((2, 2), dtype=np.int64), ["cat"], 0.2)).shape[0] == 720


@all_names
def test_ap_by_class_grows_with_the_classes(names: list[str]):
    ap50 = {name: index / len(names) for index, name in enumerate(names)}
    height = pixels(draw_ap_by_class({name: value / 2 for name, value in ap50.items()}, ap50, names)).shape[0]
    assert height == {1: 210, 3: 238, 80: 1570}[len(names)]


def test_ap_of_more_classes_than_have_room_and_of_none():
    many = {f"class {i}": i / 500 for i in range(500)}
    assert pixels(draw_ap_by_class(many, many, list(many))).shape[0] == 1570
    assert pixels(draw_ap_by_class({}, {}, ["cat"])).shape[0] == 210


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"loss_cls": LossCurve([], [])}, {}, id="no step"),
        pytest.param({"loss_cls": LossCurve([1], [float("nan")])}, {}, id="not a number"),
        pytest.param({"loss_cls": LossCurve([1], [0.5])}, {"loss_cls": LossCurve([1], [0.7])}, id="one step"),
        pytest.param({"loss_cls": LossCurve([1, 2, 3], [0.0, 0.0, 0.0])}, {}, id="zero"),
        pytest.param({"loss_cls": LossCurve(range(1, 1001), np.linspace(900, 0.1, 1000))}, {}, id="thousandfold"),
        pytest.param({}, {"红细胞": LossCurve([10, 20], [1.0, -1.0])}, id="of validation alone"),
        pytest.param({f"loss {i}": LossCurve([1, 2], [i, 1]) for i in range(30)}, {}, id="thirty"),
    ],
)
def test_losses(training, validation):
    assert pixels(draw_losses(training, validation)).shape[0] == 460


def test_worst_pictures_show_what_is_wrong(tmp_path: Path):
    """Black pictures; the second is broken, but its place is there. Two rows of two: 40 + 2 * (24 + 388 + 8)."""
    good, broken = str(tmp_path / "红 a.png"), str(tmp_path / "b.png")
    Image.new("RGB", (100, 100)).save(good)
    missed = judged_picture([(0, BOX)], [])._replace(path=good)
    false = judged_picture([], [(0, 0.9, BOX)])._replace(path=good)
    right = judged_picture([(0, BOX), (0, FAR)], [(0, 0.9, BOX)])._replace(path=good)
    unreadable = judged_picture([(0, BOX)], [])._replace(path=broken)
    for pictures, colours, height in (
        ([missed], {MISSED}, 460),
        ([false], {FALSE}, 460),
        ([right], {MISSED, RIGHT}, 460),
        ([missed, unreadable, false], {MISSED, FALSE}, 880),
        ([unreadable], set(), 40 + 24 + 194 + 8),
        ([], set(), 140),
    ):
        bad = worst_pictures(pictures, match_set(pictures, 1))
        image = pixels(draw_worst(bad, pictures, ["红细胞"]))
        assert image.shape[0] == height
        below_the_legend = image[40:]
        assert {colour for colour in (MISSED, FALSE, RIGHT) if has_colour(below_the_legend, colour)} == colours


def test_labels_of_one_place_do_not_cover_each_other(tmp_path: Path):
    """Of two objects on one spot the first is named alone, whatever the other is called."""
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    pictures = [judged_picture([(0, BOX), (1, BOX)], [])._replace(path=str(tmp_path / "a.png"))]
    bad = worst_pictures(pictures, match_set(pictures, 2))
    short, long = (pixels(draw_worst(bad, pictures, ["cat", other])) for other in ("dog", "hippopotamus"))
    np.testing.assert_array_equal(short, long)


@pytest.mark.parametrize("name", ["W" * 30, "红细胞" * 10])
def test_long_names_stay_within_their_picture(tmp_path: Path, name: str):
    """The object is at the right edge of the left one of two pictures; between them are eight white pixels."""
    file = tmp_path / f"{name}.png"
    Image.new("RGB", (100, 100)).save(file)
    missed = judged_picture([(0, (90, 40, 100, 50))] * 1000, [])._replace(path=str(file))
    pictures = [missed, missed]
    image = pixels(draw_worst(worst_pictures(pictures, match_set(pictures, 1)), pictures, [name]))
    assert (image[40:450, 8 + 388 + 3 : 8 + 388 + 8] == 255).all()


def test_the_title_of_a_matrix_stands_beside_no_edge():
    """Long names push the axes to the right, and the title does not follow."""
    names = [f"{index} {'W' * 22}" for index in range(9)]
    title = pixels(draw_confusion(np.ones((10, 10), dtype=np.int64), names, 0.2))[:30]
    drawn = np.flatnonzero((title < 128).any(axis=(0, 2)))
    assert 100 < drawn[0] < drawn[-1] < 700


def test_losses_below_one_are_written_as_plain_numbers():
    with new_sheet(100) as sheet:
        axes = sheet.figure.add_subplot()
        _loss_scale(axes, 0.02, 3)
        labels = {text.get_text() for text in axes.get_yticklabels(which="both")}
    assert {"0.1", "1"} <= labels
    assert not any("e" in label for label in labels)


@pytest.mark.parametrize("wh", [(1, 1), (1, 3000), (3000, 1), (20, 10)])
def test_pictures_of_any_shape(tmp_path: Path, wh: tuple[int, int]):
    Image.new("L", wh).save(tmp_path / "a.png")
    pictures = [judged_picture([(0, (0, 0, *wh))], [])._replace(path=str(tmp_path / "a.png"))]
    pixels(draw_worst(worst_pictures(pictures, match_set(pictures, 1)), pictures, ["cat"]))


@pytest.mark.parametrize("kind", ["everything found", "nothing found", "nothing labelled", "no picture"])
def test_the_whole_report(tmp_path: Path, kind: str):
    names = NAMES["Chinese"]
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg")
    boxes = np.array([[5, 5, 25, 25]] * len(names), dtype=np.float32)
    classes = np.arange(len(names))
    none = slice(0, 0) if kind in ("nothing labelled", "no picture") else slice(None)
    write_coco_json(
        tmp_path / "val.json",
        [Record(tmp_path / "a.jpg", 60, 40, boxes[none], classes[none].astype(np.int32))],
        names,
    )
    found = slice(0, 0) if kind == "nothing found" else slice(None)
    result = ImageResult(1, boxes[found], np.full(len(names), 0.5, np.float32)[found], classes[found])
    evaluation = evaluate(tmp_path / "val.json", [] if kind == "no picture" else [result], names)
    losses = {"loss_cls": LossCurve([1, 2], [1.0, 0.5])}
    drawn = {name: pixels(png) for name, png in draw_report(evaluation, losses, {})}
    assert tuple(drawn) == FILE_NAMES


def printed(code: str) -> str:
    """By a fresh interpreter."""
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_drawing_leaves_no_trace_in_matplotlib():
    """No pyplot, which keeps every figure, and no setting changed for others."""
    code = """
import sys, matplotlib
def settings():  # to look at the backend is to choose one, with pyplot
    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if "backend" not in key}
before = settings()
from ymir_detectron2.evaluation import drawing, report
drawing.draw_losses({}, {})
print(settings() == before, "matplotlib.pyplot" in sys.modules)
"""
    assert printed(code) == "True False"


def test_metrics_alone_need_no_matplotlib():
    assert printed("import sys, ymir_detectron2.evaluation.metrics; print('matplotlib' in sys.modules)") == "False"
