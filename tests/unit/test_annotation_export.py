"""Predictions as annotations: read back, box for box, by this project's readers and by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from pycocotools.coco import COCO

from tests.annotated_sets import grey_image, marked_image
from tests.predicted_task import write_predicted_task
from ymir_detectron2.cli.convert import FORMATS
from ymir_detectron2.cli.main import main
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.infer_result import ResultBox
from ymir_detectron2.sources.recognise import recognise

SCRIPT = "<script>alert(1)</script>"
CLASSES = ("big dog", "猫", SCRIPT, 'quoted "x" & \'y\'')
IMAGES = (
    "line1/a.jpg", "line2/a.jpg", f"line2/{SCRIPT.replace('/', '')}.jpg", "line2/\"b\" 'c'.png", "line2/血 细胞.png",
)  # fmt: skip
TURNED = "turned.jpg"
"""Stored as 96 x 64; upright, it is 64 x 96."""

BOXES = {
    "line1_a.jpg": [ResultBox(0, 0, 1, 1, "猫", 0.9), ResultBox(3, 4, 33, 25, "big dog", 0.3)],
    "line2_a.jpg": [ResultBox(5, 6, 7, 8, SCRIPT, 0.25), ResultBox(5, 6, 7, 8, CLASSES[3], 0.2)],
    TURNED: [ResultBox(10, 60, 50, 36, "big dog", 0.75)],
    "血 细胞.png": [ResultBox(39, 29, 1, 1, "big dog", 0.5)],
}
"""By the names in the task; the other images have none."""
Found = "dict[str, list[tuple[str, int, int, int, int]]]"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of six images in three folders, one of them turned by EXIF, with hostile names and names in Chinese."""
    paths = [grey_image(tmp_path / "pool" / name, 10 * number) for number, name in enumerate(IMAGES, start=1)]
    paths.append(marked_image(tmp_path / "pool" / TURNED, orientation=6))
    return write_predicted_task(tmp_path / "run", paths, BOXES, CLASSES)


def expected(threshold: float = 0.0) -> Found:
    """The boxes by the user's own names: class and inclusive corners."""
    own = {**{f"line{n}_a.jpg": f"line{n}/a.jpg" for n in (1, 2)}, TURNED: TURNED, "血 细胞.png": "line2/血 细胞.png"}
    found = {name: [] for name in (*IMAGES, TURNED)}
    for name, boxes in BOXES.items():
        found[own[name]] = sorted(
            (box.class_name, box.x, box.y, box.x + box.w - 1, box.y + box.h - 1)
            for box in boxes
            if box.score > threshold
        )
    return found


def read_back(folder: Path, images: str) -> Found:
    """Read a dataset of any format by its content."""
    issues = DataIssues()
    source = recognise(folder, (), issues)
    read = [image for name in source.sets for image in source.read(name, issues)]
    assert issues.as_dict() == {}
    return {str(image.path.relative_to(folder / images)): sorted(image.boxes) for image in read}


def xml_of(file: Path) -> ElementTree.Element:
    return ElementTree.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - of this project


@pytest.mark.parametrize(("format_name", "images"), [("coco", "images"), ("voc", "JPEGImages"), ("yolo", "images")])
@pytest.mark.parametrize("given", ["run", "out"])
def test_the_data_reader_finds_the_same_boxes(run: Path, format_name: str, images: str, given: str):
    assert main(["convert", str(run if given == "run" else run / "out"), "--to", format_name]) == 0
    assert read_back(run / format_name, images) == expected()


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_threshold_leaves_boxes_out_and_no_image(run: Path, format_name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(run), "--to", format_name, "--threshold", "0.3"]) == 0
    assert capsys.readouterr().out.startswith("3 boxes of 6 images: ")
    if format_name == "coco":
        assert read_back(run / "coco", "images") == expected(0.3)


def test_pycocotools_loads_both_files(run: Path):
    assert main(["convert", str(run), "--to", "coco"]) == 0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(run / "coco" / "annotations.json"))
        detections = coco.loadRes(str(run / "coco" / "detections.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    names = {image["id"]: image["file_name"] for image in coco.loadImgs(coco.getImgIds())}
    assert set(names.values()) == {*IMAGES, TURNED}
    assert {(i["width"], i["height"]) for i in coco.dataset["images"] if i["file_name"] == TURNED} == {(64, 96)}
    wanted = sorted((*box[:4], box.score) for boxes in BOXES.values() for box in boxes)
    for loaded in (coco, detections):
        found = loaded.loadAnns(loaded.getAnnIds())
        assert sorted((*entry["bbox"], entry["score"]) for entry in found) == wanted


def test_label_studio_gets_percentages(run: Path):
    assert main(["convert", str(run), "--to", "labelstudio"]) == 0
    tasks = json.loads((run / "labelstudio" / "tasks.json").read_text(encoding="utf-8"))
    by_image = {task["data"]["image"]: task["predictions"][0] for task in tasks}
    prefix = "/data/local-files/?d="
    (region,) = by_image[f"{prefix}{TURNED}"]["result"]
    assert region["value"] == {
        "x": pytest.approx(100 * 10 / 64), "y": pytest.approx(100 * 60 / 96), "width": pytest.approx(100 * 50 / 64),
        "height": pytest.approx(100 * 36 / 96), "rotation": 0, "rectanglelabels": ["big dog"],
    }  # fmt: skip
    assert (region["original_width"], region["original_height"], region["score"]) == (64, 96, 0.75)
    assert by_image[f"{prefix}line1/a.jpg"]["score"] == pytest.approx(0.6)
    assert by_image[f"{prefix}line2/%E8%A1%80%20%E7%BB%86%E8%83%9E.png"]["model_version"] == "ymir-detectron2"
    interface = xml_of(run / "labelstudio" / "label-config.xml")
    assert [label.get("value") for label in interface.iter("Label")] == list(CLASSES)
    assert interface.find("RectangleLabels").get("toName") == interface.find("Image").get("name") == region["to_name"]


def test_an_address_before_the_names_for_label_studio(run: Path):
    assert main(["convert", str(run), "--to", "labelstudio", "--image-prefix", "s3://bucket/"]) == 0
    tasks = json.loads((run / "labelstudio" / "tasks.json").read_text(encoding="utf-8"))
    assert tasks[0]["data"]["image"] == "s3://bucket/line1/a.jpg"


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("task", ["infer", "mining+infer"])
def test_no_boxes_at_all(tmp_path: Path, format_name: str, task: str):
    run = write_predicted_task(tmp_path / "run", [grey_image(tmp_path / "a.png", 1)], {}, task=task)
    assert main(["convert", str(run), "--to", format_name]) == 0
    if format_name == "coco":
        content = json.loads((run / "coco" / "annotations.json").read_text())
        assert (len(content["images"]), content["annotations"]) == (1, [])
    if format_name == "yolo":
        assert (run / "yolo" / "labels" / "a.txt").read_text() == ""


def test_stems_that_two_images_share_keep_both(tmp_path: Path):
    paths = [grey_image(tmp_path / "pool" / name, 10 * n) for n, name in enumerate(("a.jpg", "a.png"), start=1)]
    boxes = {"a.jpg": [ResultBox(1, 2, 3, 4, "cat", 0.9)], "a.png": [ResultBox(5, 6, 7, 8, "dog", 0.9)]}
    run = write_predicted_task(tmp_path / "run", paths, boxes)
    assert main(["convert", str(run), "--to", "voc"]) == 0
    assert read_back(run / "voc", "JPEGImages") == {
        "a.jpg": [("cat", 1, 2, 3, 5)], "a_2.png": [("dog", 5, 6, 11, 13)],
    }  # fmt: skip


def test_yolo_numbers_the_classes_of_the_task(run: Path):
    assert main(["convert", str(run), "--to", "yolo"]) == 0
    text = (run / "yolo" / "data.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"train": "images", "names": dict(enumerate(CLASSES))}


def test_scores_are_in_voc_too(run: Path):
    assert main(["convert", str(run), "--to", "voc"]) == 0
    root = xml_of(run / "voc" / "Annotations" / "line1" / "a.xml")
    assert [float(node.text or "") for node in root.iter("confidence")] == [0.9, 0.3]
    assert [root.findtext(f"size/{name}") for name in ("width", "height", "depth")] == ["40", "30", "3"]


def test_annotations_without_images(run: Path):
    assert main(["convert", str(run), "--to", "voc", "--no-images"]) == 0
    assert [path.name for path in (run / "voc").iterdir()] == ["Annotations"]


# --- what is not there, or not as this project writes it


def test_an_output_folder_that_was_copied_without_its_task(run: Path, tmp_path: Path, capsys: Any):
    copied = (run / "out").rename(tmp_path / "copied")
    assert main(["convert", str(copied), "--to", "voc"]) == 1
    assert "copied: none of its 6 images is at hand; give --images FOLDER" in capsys.readouterr().err
    assert main(["convert", str(copied), "--to", "voc", "--images", str(tmp_path / "pool")]) == 0
    assert read_back(copied / "voc", "JPEGImages") == expected()


def test_images_that_are_gone_or_damaged_are_counted(run: Path, caplog: pytest.LogCaptureFixture):
    assets = run / "in" / "assets"
    (assets / "line1_a.jpg").unlink()
    (assets / "line2_a.jpg").unlink()
    (assets / "line2_a.jpg").write_text("no image")
    assert main(["convert", str(run), "--to", "coco"]) == 0
    assert "1 x image that is not at hand, left out, e.g. line1/a.jpg" in caplog.text
    assert "1 x image file that cannot be read, left out" in caplog.text
    assert len(json.loads((run / "coco" / "annotations.json").read_text())["images"]) == 4


def hostile_result(name: str, class_name: str = "cat") -> str:
    box = {"box": {"x": -5, "y": -5, "w": 10, "h": 10}, "class_name": class_name, "score": 0.5}
    outside = {**box, "box": {"x": 500, "y": 0, "w": 1, "h": 1}}
    return json.dumps({"detection": {name: {"boxes": [box, outside]}}})


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("class_name", ["a\nb", "\x00", " ", "</name><name>x", "\udcff"])
def test_a_result_of_strangers(tmp_path: Path, format_name: str, class_name: str, caplog: pytest.LogCaptureFixture):
    """Names of classes that no XML can hold; boxes that reach out of the image, or lie outside of it."""
    run = write_predicted_task(tmp_path / "run", [grey_image(tmp_path / "a.png", 1)], {})
    (run / "out" / "infer-result.json").write_text(hostile_result("a.png", class_name))
    assert main(["convert", str(run), "--to", format_name]) == 0
    assert "1 x box outside of its image, left out, e.g. a.png" in caplog.text
    if format_name != "labelstudio":
        images = {"voc": "JPEGImages"}.get(format_name, "images")
        ((_, *corners),) = read_back(run / format_name, images)["a.png"]
        assert corners == [0, 0, 4, 4]


@pytest.mark.parametrize("name", ["../../evil.png", "/tmp/evil.png", "..", "a\nb.png"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_names_of_strangers_lead_nowhere(tmp_path: Path, name: str, format_name: str):
    folder = tmp_path / "far" / "down"
    run = write_predicted_task(folder / "run", [grey_image(folder / "pool" / "a.png", 1)], {})
    (run / "out" / "infer-result.json").write_text(hostile_result(name))
    (run / "in" / "candidate-sources.json").write_text(json.dumps({name: "/../../../etc/x.png"}))
    before = set(tmp_path.rglob("*"))
    assert main(["convert", str(run), "--to", format_name, "--images", str(folder / "pool")]) == 1
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_in_use_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]):
    (run / "voc").mkdir()
    (run / "voc" / "mine.txt").touch()
    assert main(["convert", str(run), "--to", "voc"]) == 1
    assert "voc: is in use already; remove it, or choose another folder with --out" in capsys.readouterr().err
    assert [path.name for path in (run / "voc").iterdir()] == ["mine.txt"]
