"""Formats are recognised by content; where none or several are found, the message says what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.annotated_sets import corners_xml, marked_image, voc_xml, write_coco, write_text
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.recognise import UnlabelledError, describe_content, read_coco_folder, recognise
from ymir_detectron2.sources.source import UNDIVIDED

VOC = voc_xml(corners_xml(20, 10, 60, 50))
YOLO = "0 0.5 0.5 0.1 0.1\n"


def format_of(path: Path) -> str:
    return recognise(path, ("cat",), DataIssues()).format_name


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.xml": VOC}, "Pascal VOC"), ({"Annotations/a.XML": VOC}, "Pascal VOC"),
        ({"a.txt": YOLO, "classes.txt": "cat\n"}, "YOLO"), ({"labels/a.txt": YOLO}, "YOLO"),
        ({"data.yaml": "train: images\nnames: [cat]"}, "YOLO"),
        ({"a.json": '{"shapes": []}', "a.xml": VOC}, "Pascal VOC"),
        ({"readme.txt": "5 images of 4 cats, 3 dogs", "b.xml": "<html/>", "annotations/a.xml": VOC}, "Pascal VOC"),
        ({"settings.json": '{"version": 1}', "settings.yaml": "names: [x]", "labels/a.txt": YOLO}, "YOLO"),
    ],
)  # fmt: skip
def test_folders(tmp_path: Path, files: dict[str, str], expected: str):
    marked_image(tmp_path / "images" / "a.png")
    for name, content in files.items():
        write_text(tmp_path / (f"images/{name}" if name in ("a.xml", "a.txt", "a.json") else name), content)
    assert format_of(tmp_path) == expected


def test_coco_in_a_folder_and_as_a_file(tmp_path: Path):
    json_file = write_coco(tmp_path, "train")
    assert format_of(tmp_path) == format_of(json_file) == read_coco_folder(tmp_path).format_name == "COCO JSON"
    moved = tmp_path / "annotations" / "instances.json"
    moved.parent.mkdir()
    json_file.rename(moved)
    assert format_of(moved) == "COCO JSON"


def test_one_coco_file_is_for_training_whatever_it_is_called(tmp_path: Path):
    source = recognise(write_coco(tmp_path, "val"), (), DataIssues())
    assert source.sets == {UNDIVIDED: [tmp_path / "images" / "val.png"]}


def test_a_data_yaml_as_a_file(tmp_path: Path):
    marked_image(tmp_path / "images" / "a.png")
    assert format_of(write_text(tmp_path / "x.yml", "train: images\nnames: [cat]")) == "YOLO"


def test_several_formats_are_not_chosen_from(tmp_path: Path):
    write_coco(tmp_path, "train")
    write_text(tmp_path / "annotations" / "train.xml", VOC)
    write_text(tmp_path / "labels" / "train.txt", YOLO)
    with pytest.raises(ConfigError, match="holds labels in several formats; choose by --coco or --voc or --yolo"):
        format_of(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_damaged_descriptions_are_named_and_not_passed_over(tmp_path: Path, encoding: str):
    val = write_coco(tmp_path, "val")
    train = write_coco(tmp_path, "train")
    train.write_bytes(train.read_text()[:-2].encode(encoding))
    with pytest.raises(ConfigError, match=r"train\.json: is no JSON"):
        format_of(tmp_path)
    for file in (train, val):
        file.unlink()
    write_text(tmp_path / "data.yaml", "train: images\nnames: [cat".encode(encoding))
    with pytest.raises(ConfigError, match=r"data\.yaml: cannot be read as YAML"):
        format_of(tmp_path)


def test_labels_of_many_images_without_objects(tmp_path: Path):
    for number in range(30):
        marked_image(tmp_path / f"p{number:02}.png", shade=number)
        write_text(tmp_path / f"p{number:02}.txt", YOLO if number == 29 else "")
    assert format_of(tmp_path) == "YOLO"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "found 1 images"),
        ({"a.json": '{"shapes": []}'}, "JSON of labelme or X-AnyLabeling"),
        ({"via.json": '{"_via_img_metadata": {}}'}, "JSON of VIA"),
        ({"a-asset.json": '{"asset": {}, "regions": []}'}, "JSON of VoTT"),
        ({"export.json": '[{"id": 1, "data": {}}]'}, "JSON of Label Studio"),
        ({"annotations.xml": '<annotations><image name="a.png"/></annotations>'}, r"XML of CVAT \(for images\)"),
        ({"a.xml": "<html>502</html>"}, "1 .xml files, XML of another kind"),
        ({"a.txt": "a photo of a cat", "cut.json": "{"}, "1 .json files, 1 .txt files"),
    ],
)  # fmt: skip
def test_what_was_found_instead_is_named(tmp_path: Path, files: dict[str, str], words: str):
    marked_image(tmp_path / "a.png")
    for name, content in files.items():
        write_text(tmp_path / name, content)
    with pytest.raises(UnlabelledError, match=f"no labels in Pascal VOC, COCO JSON or YOLO form; .*{words}"):
        format_of(tmp_path)


def test_paths_that_are_no_dataset(tmp_path: Path):
    with pytest.raises(ConfigError, match="gone: no such file or folder"):
        format_of(tmp_path / "gone")
    with pytest.raises(UnlabelledError, match=r"list\.txt: is neither COCO JSON nor a data\.yaml"):
        format_of(write_text(tmp_path / "list.txt", "a.png"))
    with pytest.raises(ConfigError, match="needs the lists images and categories"):
        format_of(write_text(tmp_path / "a.json", json.dumps({"shapes": []})))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty: holds no COCO JSON; name the files with --coco-json"):
        read_coco_folder(tmp_path / "empty")
    assert describe_content(tmp_path / "empty") == "0 images"
