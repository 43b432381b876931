"""COCO datasets: boxes become inclusive corners, images are found by the names in the file, and by no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.annotated_sets import grey_image, marked_image, write_coco, write_text
from ymir_detectron2.contract.data_issues import ROTATED, SCALED, TURNED, DataIssues
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.coco import MERGED, CocoSource, sets_of_files
from ymir_detectron2.sources.coco_file import CROWD, CocoFile
from ymir_detectron2.sources.labelled_image import RELATIVE, AnnotatedImage
from ymir_detectron2.sources.source import TEST, TRAIN, UNDIVIDED, VAL


def read_coco(images_dir: Path, json_file: Path, issues: DataIssues | None = None) -> list[AnnotatedImage]:
    source = CocoSource(images_dir, {TRAIN: CocoFile(json_file)}, images_dir)
    return source.read(TRAIN, DataIssues() if issues is None else issues)


def test_boxes_become_inclusive_corners_and_crowds_are_left_out(tmp_path: Path):
    json_file, issues = write_coco(tmp_path, "train"), DataIssues()
    (image,) = read_coco(tmp_path / "images", json_file, issues)
    assert image.path == tmp_path / "images" / "train.png"
    # x 4 + 10 - 1, y 5 + 6 - 1; 3.6 and 4.4 are rounded to 4
    assert image.boxes == (("cat", 4, 5, 13, 10), ("Dog", 0, 0, 3, 3))
    assert issues.as_dict() == {CROWD: {"count": 1, "first": [f"{json_file}: annotations, id 3"]}}


def test_neighbouring_boxes_stay_neighbours(tmp_path: Path):
    """x 0.4 + 1.2 = 1.6: rounded alone, the width of the first box would be 1 and leave a gap."""
    boxes = ([0.4, 0, 1.2, 5], [1.6, 0, 3, 5])
    annotations = [{"id": index, "image_id": 7, "category_id": 3, "bbox": box} for index, box in enumerate(boxes)]
    (image,) = read_coco(tmp_path / "images", write_coco(tmp_path, "train", annotations))
    assert [(x1, x2) for _, x1, _, x2, _ in image.boxes] == [(0, 1), (2, 4)]


@pytest.mark.parametrize(
    "name", ["/their/folder/train.png", "images\\train.png", "..\\..\\media\\upload\\4\\train.png", "./train.png"]
)
def test_folders_in_a_file_name_may_be_missing_here(tmp_path: Path, name: str):
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": name}])
    assert [image.path.name for image in read_coco(tmp_path / "images", json_file)] == ["train.png"]


@pytest.mark.parametrize("name", ["gone.png", "train", "train.jpg", "TRAIN.png"])
def test_an_image_that_does_not_exist(tmp_path: Path, name: str):
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": name}])
    with pytest.raises(DatasetError, match=r"train\.json: image '.*' is not in .*images; give the folder that holds"):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize("name", ["../secret.png", "link.png", "linked_folder/secret.png", "/secret.png", "..", "a\0b"])
def test_a_file_name_that_leads_out_of_the_folder_of_images(tmp_path: Path, name: str):
    """It was hard-linked into the task folder, whatever it was."""
    json_file = write_coco(tmp_path, "train", [], images=[{"id": 7, "file_name": name}])
    (tmp_path / "outside").mkdir()
    for place in (tmp_path / "secret.png", tmp_path / "outside" / "secret.png"):
        place.write_bytes(b"content")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "linked_folder").symlink_to(tmp_path / "outside")
    with pytest.raises(DatasetError, match=r"is not in .*images; give the folder that holds it"):
        read_coco(tmp_path / "images", json_file)


def test_the_boxes_of_all_entries_of_a_file_are_put_together(tmp_path: Path):
    entries = [{"id": number, "file_name": "train.png"} for number in (7, 8)]
    boxes = [{"id": n, "image_id": n, "category_id": 9, "bbox": [n, 0, 5, 5]} for n in (7, 8)]
    issues = DataIssues()
    (image,) = read_coco(tmp_path / "images", write_coco(tmp_path, "train", boxes, images=entries), issues)
    assert image.boxes == (("cat", 7, 0, 11, 4), ("cat", 8, 0, 12, 4))
    assert issues.count(MERGED) == 1


@pytest.mark.parametrize(
    ("entry", "annotation", "orientation", "reason", "expected"),
    [
        pytest.param({"width": 192, "height": 128}, {"bbox": [4, 4, 40, 40]}, 1, SCALED, (2, 2, 21, 21), id="size"),
        pytest.param(
            {"width": "96", "height": "64"}, {"bbox": [20, 10, 41, 41]}, 6, TURNED, (13, 20, 53, 60), id="EXIF"
        ),
        pytest.param(
            {}, {"bbox": [10, 25, 70, 10], "attributes": {"rotation": 90.0}}, 1, ROTATED, (40, 0, 49, 63), id="rotation"
        ),
        pytest.param({}, {"bbox": [0.25, 0.25, 0.5, 0.5]}, 1, RELATIVE, (24, 16, 71, 47), id="parts of the image"),
    ],
)
def test_boxes_of_other_frames_are_converted_and_counted(
    tmp_path: Path, entry: dict[str, Any], annotation: dict[str, Any], orientation: int, reason: str,
    expected: tuple[int, ...],
):  # fmt: skip
    boxes, issues = [{"id": 1, "image_id": 7, "category_id": 9, **annotation}], DataIssues()
    json_file = write_coco(tmp_path, "train", boxes, images=[{"id": 7, "file_name": "a.png", **entry}])
    marked_image(tmp_path / "images" / "a.png", orientation=orientation)
    assert read_coco(tmp_path / "images", json_file, issues)[0].boxes == (("cat", *expected),)
    assert list(issues.as_dict()) == [reason]


def test_another_size_is_refused_by_the_id_of_the_image(tmp_path: Path):
    json_file = write_coco(tmp_path, "train", images=[{"id": 7, "file_name": "train.png", "width": 64, "height": 64}])
    with pytest.raises(DatasetError, match=r"train\.json: images, id 7: states the size 64x64, but .* has 40x30"):
        read_coco(tmp_path / "images", json_file)


@pytest.mark.parametrize(
    ("json_name", "image"),
    [
        ("annotations/instances_default.json", "images/default/1.png"), ("result.json", "images/1.png"),
        ("train/_annotations.coco.json", "train/1.png"), ("annotations/instances_train2017.json", "train2017/1.png"),
        ("annotations.json", "1.png"), ("labels/train.json", "data/images/set1/1.png"),
    ],
)  # fmt: skip
def test_the_folder_of_the_images_is_found(tmp_path: Path, json_name: str, image: str):
    grey_image(tmp_path / image, 9)
    grey_image(tmp_path / "other" / "2.png", 8)
    content = {"images": [{"id": 1, "file_name": "1.png"}], "categories": [], "annotations": []}
    file = CocoFile(write_text(tmp_path / json_name, json.dumps(content)))
    assert CocoSource(tmp_path, {UNDIVIDED: file}).sets == {UNDIVIDED: [tmp_path / image]}


def listing(path: Path, *names: str) -> CocoFile:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    return CocoFile(write_text(path, json.dumps({"images": images, "categories": [], "annotations": []})))


def test_the_same_names_in_the_folders_of_two_sets(tmp_path: Path):
    for number, folder in enumerate(("images/train2017", "images/val2017", "valid")):
        grey_image(tmp_path / folder / "1.png", number)
    files = {name: listing(tmp_path / f"annotations/instances_{name}.json", "1.png") for name in (TRAIN, VAL, TEST)}
    assert CocoSource(tmp_path, {TRAIN: files[TRAIN]}).sets == {TRAIN: [tmp_path / "images/train2017/1.png"]}
    with pytest.raises(DatasetError, match=r"instances_test\.json: image '1\.png' is not in"):
        CocoSource(tmp_path, {TEST: files[TEST]})
    with pytest.raises(
        DatasetError, match=r"its images may be those of .*images/val2017 or of .*valid; give --coco IMAGES"
    ):
        CocoSource(tmp_path, {UNDIVIDED: files[VAL]})
    beside = listing(tmp_path / "valid/_annotations.coco.json", "1.png")
    assert CocoSource(tmp_path, {VAL: beside}).sets == {VAL: [tmp_path / "valid/1.png"]}
    assert CocoSource(tmp_path, {VAL: beside}, tmp_path).sets == {VAL: [tmp_path / "valid/1.png"]}


def test_two_folders_that_an_undivided_file_may_mean(tmp_path: Path):
    for number, folder in enumerate(("a", "b")):
        grey_image(tmp_path / folder / "1.png", number)
    with pytest.raises(DatasetError, match=r"its images may be those of .*a or of .*b; give --coco IMAGES"):
        CocoSource(tmp_path, {UNDIVIDED: listing(tmp_path / "all.json", "1.png")})
    file = listing(tmp_path / "all.json", "a/1.png", "b/1.png")
    assert CocoSource(tmp_path, {UNDIVIDED: file}).sets == {UNDIVIDED: [tmp_path / "a/1.png", tmp_path / "b/1.png"]}


def empty_coco(path: Path) -> CocoFile:
    return CocoFile(write_text(path, '{"images": [], "categories": [], "annotations": []}'))


def test_sets_are_told_by_the_names_of_files_and_folders(tmp_path: Path):
    names = (
        "annotations/instances_val2017.json",
        "annotations/instances_train2017.json",
        "annotations/person_train.json",
    )
    sets = sets_of_files([empty_coco(tmp_path / name) for name in names])
    assert {name: file.path.stem for name, file in sets.items()} == {
        TRAIN: "instances_train2017", VAL: "instances_val2017"
    }  # fmt: skip
    assert list(sets_of_files([empty_coco(tmp_path / name / "_a.json") for name in ("test", "valid")])) == [VAL, TEST]


def test_two_files_of_one_set_are_named(tmp_path: Path):
    files = [empty_coco(tmp_path / name) for name in ("a.json", "b.json")]
    with pytest.raises(ConfigError, match=r"a\.json and b\.json may both be the whole set; name them with --coco"):
        sets_of_files(files)
