"""From the options of make_task to the images and classes of a task: what a newcomer tries first."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.annotated_sets import corners_xml, marked_image, voc_xml, write_text
from ymir_detectron2.tools.make_task import main

BOX = corners_xml(20, 10, 60, 50)
YOLO_LINE = f"0 {40.5 / 96} {30.5 / 64} {41 / 96} {41 / 64}\n"
STORED = "0, 20, 10, 60, 50, -1.0, 0.0\n"


def voc(root: Path) -> Path:
    for number in range(5):
        marked_image(root / f"p{number}.png", shade=number)
        write_text(root / f"p{number}.xml", voc_xml(BOX, wh=(96, 64)))
    return root


def coco(root: Path, *, labelled: bool = True) -> Path:
    images = [{"id": n, "file_name": f"p{n}.png", "width": 96, "height": 64} for n in range(5)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [20, 10, 41, 41]} for n in range(5)]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "cat"}],
        **({"annotations": boxes} if labelled else {}),
    }
    for number in range(5):
        marked_image(root / "images" / f"p{number}.png", shade=number)
    write_text(root / "annotations" / "instances_default.json", json.dumps(content))
    return root


def yolo(root: Path) -> Path:
    for number in range(5):
        marked_image(root / "images" / f"p{number}.png", shade=number)
        write_text(root / "labels" / f"p{number}.txt", YOLO_LINE)
    write_text(root / "classes.txt", "cat\n")
    return root


DATASETS = {"voc": voc, "coco": coco, "yolo": yolo}


def listed(out: Path, name: str) -> list[str]:
    lines = (out / "in" / f"{name}-index.tsv").read_text().splitlines()
    return [Path(line.split("\t")[0]).name for line in lines]


def classes(out: Path) -> list[str]:
    return list(yaml.safe_load((out / "in" / "config.yaml").read_text())["class_names"])


@pytest.mark.parametrize("form", DATASETS)
@pytest.mark.parametrize("how", ["{root}", "--data {root}", "--{form} {root}"])
def test_a_folder_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, how: str):
    root, out = DATASETS[form](tmp_path / "ds"), tmp_path / "task"
    assert main([*how.format(root=root, form=form).split(), "--out", str(out)]) == 0
    train, val = listed(out, "train"), listed(out, "val")
    assert (len(train), len(val)) == (4, 1)
    assert sorted(train + val) == [f"p{number}.png" for number in range(5)]
    assert {file.read_text() for file in (out / "in" / "annotations").rglob("*.txt")} == {STORED}
    assert classes(out) == ["cat"]
    assert "dataset, 5 images\n4 training and 1 validation images, 5 boxes" in capsys.readouterr().out


def test_without_out_the_folder_is_called_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(voc(tmp_path))
    assert main(["."]) == 0
    # the images of that task are no images of the dataset
    assert main([".", "--out", "again", "--val-share", "0.4", "--seed", "1"]) == 0
    assert (len(listed(tmp_path / "task", "train")), len(listed(tmp_path / "again", "val"))) == (4, 2)


def test_lists_and_json_files_go_with_a_folder_of_any_option(tmp_path: Path):
    root = voc(tmp_path / "voc")
    write_text(root / "t.txt", "p0\np1\n")
    write_text(root / "v.txt", "p4\n")
    assert main([str(root), "--split", "t.txt", "v.txt", "--out", str(tmp_path / "a")]) == 0
    assert (listed(tmp_path / "a", "train"), listed(tmp_path / "a", "val")) == (["p0.png", "p1.png"], ["p4.png"])
    assert main(["--voc", str(root), "--split", "t.txt", "--out", str(tmp_path / "b")]) == 0
    assert len(listed(tmp_path / "b", "train")) == len(listed(tmp_path / "b", "val")) == 1
    root = coco(tmp_path / "coco")
    json_file = str(root / "annotations" / "instances_default.json")
    assert main(["--coco", str(root / "images"), "--coco-json", json_file, "--out", str(tmp_path / "c")]) == 0
    assert len(listed(tmp_path / "c", "train")) == 4


@pytest.mark.parametrize("form", DATASETS)
def test_all_images_of_an_undivided_source_are_candidates(tmp_path: Path, form: str):
    root, out = DATASETS[form](tmp_path / "ds"), tmp_path / "task"
    assert main([str(root), "--task", "mining", "--out", str(out)]) == 0
    assert listed(out, "candidate") == [f"p{number}.png" for number in range(5)]
    assert classes(out) == ["cat"]


def test_unlabelled_candidates(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = marked_image(tmp_path / "pool" / "b" / "1.png").parent.parent
    for number, source in enumerate(([str(folder)], ["--candidates", str(folder)])):
        out = tmp_path / f"task{number}"
        assert main([*source, "--task", "infer", "--classes", "cat", "--out", str(out)]) == 0
        assert listed(out, "candidate") == ["1.png"]
        assert (out / "in" / "assets" / "1.png").samefile(folder / "b" / "1.png"), "linked, which takes no space"
    capsys.readouterr()
    assert main([str(folder), "--task", "infer", "--out", str(tmp_path / "none")]) == 1
    assert "no class names: give --model or --classes a,b,c" in capsys.readouterr().err


def test_a_coco_file_without_annotations_lists_candidates(tmp_path: Path):
    root = coco(tmp_path / "ds", labelled=False)
    json_file = root / "annotations" / "instances_default.json"
    for number, source in enumerate(
        ([str(root)], [str(json_file)], ["--candidates", str(json_file), "--classes", "cat"])
    ):
        out = tmp_path / f"task{number}"
        assert main([*source, "--task", "mining", "--out", str(out)]) == 0
        assert (len(listed(out, "candidate")), classes(out)) == (5, ["cat"])


def test_boxes_of_classes_that_are_not_named_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert main([str(voc(tmp_path / "ds")), "--classes", "dog", "--out", str(tmp_path / "task")]) == 0
    assert any(line.startswith("5 x box of a class that --classes does not name") for line in caplog.messages)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    os.mkfifo(voc(tmp_path / "ds") / "notes.json")
    assert main([str(tmp_path / "ds"), "--out", str(tmp_path / "task")]) == 1
    assert "notes.json: cannot be read (Not a regular file); correct it" in capsys.readouterr().err


def test_findings_are_said_before_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    root = voc(tmp_path / "ds")
    (root / "p0.xml").unlink()
    write_text(root / "p4.xml", "<annotation>")
    assert main([str(root), "--out", str(tmp_path / "task")]) == 1
    assert caplog.messages[0].startswith("1 x image without an annotation file")
    error = capsys.readouterr().err
    assert f"make_task: {root / 'p4.xml'}: is not valid XML" in error
    assert not (tmp_path / "task").exists()


def test_coco_files_are_found_in_their_dataset(tmp_path: Path):
    root = coco(tmp_path / "coco")
    file = root / "annotations" / "instances_default.json"
    file.rename(root / "all.json")
    arguments = ["--coco", str(root), "--coco-json", "all.json", "all.json", "--out", str(tmp_path / "task")]
    assert main(arguments) == 0
    assert len(listed(tmp_path / "task", "train")) == 5


def test_a_model_that_does_not_say_its_classes_is_asked_by_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The classes may be in the weights, which are not read here."""
    weights = write_text(tmp_path / "w.pth", "x")
    images = str(coco(tmp_path / "coco") / "images")
    task = ["--task", "infer", "--candidates", images]
    assert main([*task, "--model", str(weights), "--out", str(tmp_path / "task")]) == 0
    assert classes(tmp_path / "task") == []
    assert main([*task, "--out", str(tmp_path / "other")]) == 1
    assert "give one source" in capsys.readouterr().err


def test_where_candidates_came_from_is_kept(tmp_path: Path):
    voc(tmp_path / "a")
    voc(tmp_path / "b")
    arguments = ["--task", "infer", "--classes", "cat", "--candidates", str(tmp_path), "--out", str(tmp_path / "task")]
    assert main(arguments) == 0
    sources = json.loads((tmp_path / "task" / "in" / "candidate-sources.json").read_text())
    assert set(sources) == set(listed(tmp_path / "task", "candidate"))
    assert sources["a_p0.png"] == str(tmp_path / "a" / "p0.png")
