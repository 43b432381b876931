"""YOLO labels: boxes, polygons and key points, in pixels of the upright image, and every bad line by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import marked_image, write_text
from ymir_detectron2.contract.data_issues import TWICE, DataIssues
from ymir_detectron2.contract.index_file import LISTED_TWICE
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.labelled_image import UNREADABLE, AnnotatedImage
from ymir_detectron2.sources.source import TRAIN, UNDIVIDED, UNLABELLED
from ymir_detectron2.sources.yolo import POLYGON, YoloSource, label_file

# of the box 20,10,60,50 with inclusive corners in 96x64: centre 40.5 and 30.5, sides 41
LINE = f"0 {40.5 / 96} {30.5 / 64} {41 / 96} {41 / 64}\n"


def read(
    root: Path, labels: str | bytes, issues: DataIssues, *, yaml: str = "", orientation: int = 1
) -> AnnotatedImage:
    marked_image(root / "images" / "a.png", orientation=orientation)
    write_text(root / "labels" / "a.txt", labels)
    write_text(root / "data.yaml", f"train: images\nnames: [cat, dog]\n{yaml}")
    return YoloSource(root, (), issues).read(TRAIN, issues)[0]


@pytest.mark.parametrize(
    "labels",
    [
        LINE, LINE.replace("0 ", "0.0 ", 1), LINE.replace(" ", "\t"), f"\n{LINE}\r\n\r\n", LINE.encode("utf-8-sig"),
        LINE.encode("utf-16"),
    ],
)  # fmt: skip
def test_a_box(tmp_path: Path, labels: str | bytes):
    issues = DataIssues()
    assert read(tmp_path, labels, issues).boxes == (("cat", 20, 10, 60, 50),)
    assert not issues


def test_boxes_refer_to_the_upright_image(tmp_path: Path):
    # stored 96x64, upright 64x96
    assert read(tmp_path, "1 0.5 0.5 0.5 0.25", DataIssues(), orientation=6).boxes == (("dog", 16, 36, 47, 59),)


def test_an_empty_file_means_no_objects(tmp_path: Path):
    issues = DataIssues()
    assert read(tmp_path, "", issues).boxes == ()
    assert not issues


@pytest.mark.parametrize("polygon", ["0 0.25 0.25 0.75 0.25 0.5 0.75", "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"])
def test_polygons_and_rotated_boxes_become_the_rectangle_around_them(tmp_path: Path, polygon: str):
    issues = DataIssues()
    assert read(tmp_path, polygon, issues).boxes == (("cat", 24, 16, 71, 47),)
    assert issues.count(POLYGON) == 1


def test_key_points_are_not_polygons(tmp_path: Path):
    issues = DataIssues()
    line = LINE.strip() + " 0.9 0.9 2 640 5 2"  # two points of three numbers
    assert read(tmp_path, line, issues, yaml="kpt_shape: [2, 3]\n").boxes == (("cat", 20, 10, 60, 50),)
    assert not issues


def test_an_object_that_is_there_twice_counts_once(tmp_path: Path):
    issues = DataIssues()
    assert len(read(tmp_path, LINE + LINE, issues).boxes) == 1
    assert issues.count(TWICE) == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param("2 0.5 0.5 0.1 0.1", "class 2 is not one of the 2 class names", id="unknown class"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "class -1 is not one of", id="negative class"),
        pytest.param("0.5 0.5 0.5 0.1 0.1", "holds '0.5 0.5 0.5 0.1 0.1', expected numbers", id="half a class"),
        pytest.param("cat 0.5 0.5 0.1 0.1", "holds 'cat 0.5", id="a name"),
        pytest.param("0 0.5 nan 0.1 0.1", "holds '0 0.5 nan", id="NaN"),
        pytest.param("0 0.5 inf 0.1 0.1", "holds '0 0.5 inf", id="infinity"),
        pytest.param("1e300 0.5 0.5 0.1 0.1", "class 1000[0-9.]* is not one of", id="a huge class"),
        pytest.param("9" * 5000 + " 0.5 0.5 0.1 0.1", "holds '999", id="5000 digits"),
        pytest.param("0 " * 5000, "has 5000 columns|holds", id="5000 columns"),
        pytest.param("0,0.5,0.5,0.1,0.1", "holds '0,0.5", id="commas"),
        pytest.param("0 0.5 0.5 0.1", "has 4 columns, expected 5", id="a column too few"),
        pytest.param("0 0.5 0.5 0.1 0.1 0.9", "has 6 columns, expected 5", id="a score"),
        pytest.param("0 40 30 41 41", "holds .*, expected parts of the image, 0 to 1", id="pixels"),
        pytest.param("0 -0.2 0.5 0.1 0.1", "holds .*, expected parts of the image", id="outside"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, sentence: str):
    pattern = rf"^[^\n]*labels/a\.txt:2: ({sentence})[^\n]*; correct the (line|file)$"
    with pytest.raises(DatasetError, match=pattern) as error:
        read(tmp_path, LINE + line, DataIssues())
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"), ("train/images/a.b.jpg", "train/labels/a.b.txt"),
        ("a.jpg", "a.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"), ("obj_train_data/a.jpg", "obj_train_data/a.txt"),
    ],
)  # fmt: skip
def test_places_of_labels(tmp_path: Path, image: str, label: str):
    assert label_file(tmp_path / image) == tmp_path / label


def test_labels_beside_images_in_a_folder_called_images(tmp_path: Path):
    write_text(tmp_path / "images" / "a.txt", LINE)
    assert label_file(tmp_path / "images" / "a.jpg") == tmp_path / "images" / "a.txt"


def test_missing_labels_and_unreadable_images_are_counted(tmp_path: Path):
    for number, name in enumerate("abc"):
        marked_image(tmp_path / "images" / f"{name}.png", shade=number)
    write_text(tmp_path / "images" / "c.png", "text")
    for name in "ac":
        write_text(tmp_path / "labels" / f"{name}.txt", LINE)
    issues = DataIssues()
    read_images = YoloSource(tmp_path, ["cat"], issues).read(UNDIVIDED, issues)
    assert [len(image.boxes) for image in read_images] == [1, 0]
    assert (issues.count(UNLABELLED), issues.count(UNREADABLE)) == (1, 1)
    for name in "ac":
        (tmp_path / "labels" / f"{name}.txt").unlink()
    with pytest.raises(DatasetError, match=r"none of 3 images has an annotation file; expected .*labels/a\.txt"):
        YoloSource(tmp_path, ["cat"], issues).read(UNDIVIDED, issues)


def test_an_image_that_is_listed_twice_counts_once(tmp_path: Path):
    marked_image(tmp_path / "images" / "a.png")
    write_text(tmp_path / "t.txt", "images/a.png\nimages/a.png\n")
    write_text(tmp_path / "data.yaml", "train: t.txt\nnames: [cat]")
    issues = DataIssues()
    assert len(YoloSource(tmp_path, (), issues).sets[TRAIN]) == 1
    assert issues.count(LISTED_TWICE) == 1


def test_names_are_needed(tmp_path: Path):
    marked_image(tmp_path / "a.png")
    source = YoloSource(tmp_path, (), DataIssues())
    with pytest.raises(ConfigError, match=r"no class names: add a data\.yaml or classes\.txt, or give --classes"):
        source.read(UNDIVIDED, DataIssues())
    with pytest.raises(ConfigError, match="holds no images"):
        YoloSource(Path(__file__).parent, (), DataIssues())
