"""make_task: the real command on small Pascal VOC and COCO sets, judged by what the platform itself would write."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Sequence, Tuple

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.platform_reader import read_env
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.tools.make_task import main, parse_config_values
from ymir_detectron2.tools.releases import RELEASES
from ymir_detectron2.tools.task_folder import LabelledPicture, asset_name, write_task_folder

ROOT = Path(__file__).resolve().parents[2]
Objects = Sequence[Tuple[str, int, int, int, int]]


def draw_image(path: Path, shade: int, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8)).save(path)
    return path


def write_voc(
    folder: Path, pictures: dict[str, Objects], annotations: str = "annotations", images: str = "images"
) -> None:
    (folder / annotations).mkdir(parents=True)
    for number, (stem, objects) in enumerate(pictures.items()):
        draw_image(folder / images / f"{stem}.jpg", 10 * number + 10)
        nodes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for name, x1, y1, x2, y2 in objects
        )
        (folder / annotations / f"{stem}.xml").write_text(f"<annotation>{nodes}</annotation>")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two training pictures and one for validation; stems with a blank; a degenerate box."""
    folder = tmp_path / "voc"
    pictures: dict[str, Objects] = {
        "first one": [("WBC", 1, 2, 10, 12), ("RBC", 5, 5, 5, 4)],
        "empty": [],
        "third": [("rbc", 3, 3, 8, 9)],
    }
    write_voc(folder, pictures)
    (folder / "train.txt").write_text("first one\nempty\n\n")
    (folder / "val.txt").write_text("third\n")
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """One picture each for training and validation, with a crowd region."""
    folder = tmp_path / "coco"
    for number, split in enumerate(("train", "val")):
        draw_image(folder / "images" / f"{split}.png", 40 * number + 40)
        content = {
            "images": [{"id": 7, "file_name": f"{split}.png", "width": 40, "height": 30}],
            "categories": [{"id": 3, "name": "Dog"}, {"id": 9, "name": "cat"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 9, "bbox": [4.0, 5.0, 10.0, 6.0]},
                {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 3.6, 4.4], "iscrowd": 0},
                {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1},
            ],
        }
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def voc_arguments(voc: Path, out: Path, *more: str) -> list[str]:
    return ["--voc", str(voc), "--split", "train.txt", "val.txt", "--out", str(out), *more]


def load_config(out: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((out / "in" / "config.yaml").read_text()))


def read_index(out: Path, name: str) -> list[list[str]]:
    return [line.split("\t") for line in (out / "in" / name).read_text().splitlines()]


def on_disk(out: Path, container_path: str) -> Path:
    return out / Path(container_path).relative_to("/")


def write_training_result(out: Path, result: dict[str, Any], files: Sequence[str]) -> Path:
    models = out / "out" / "models"
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(f"content of {name}")
    (models / "result.yaml").write_text(yaml.safe_dump(result))
    return models


def stages_of(*names: str) -> dict[str, Any]:
    return {
        name: {"stage_name": name, "files": [f"{name}.pth", f"{name}.yaml"], "timestamp": 1600000000, "mAP": 0.25}
        for name in names
    }


# --- the command as a process


def test_command_writes_a_training_folder_from_voc(voc: Path, tmp_path: Path) -> None:
    out = tmp_path / "task"
    command = [
        sys.executable,
        "-m",
        "ymir_detectron2.tools.make_task",
        *voc_arguments(voc, out, "--config", "max_iter=5"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "2 training and 1 validation pictures, 3 boxes, 2 classes: rbc, wbc\n"
        f"next: python3 start.py --env {out}/in/env.yaml\n"
    )
    assert done.stderr == ""
    assert read_env(out / "in" / "env.yaml")["run_training"] is True
    assert not list((out / "out").iterdir())
    assert load_config(out) == {
        "class_names": ["rbc", "wbc"],
        "export_format": "ark:raw",
        "gpu_count": 0,
        "gpu_id": "",
        "max_iter": 5,
        "object_type": 2,
        "task_id": read_env(out / "in" / "env.yaml")["task_id"],
    }


def test_command_ends_with_one_sentence_and_1_for_a_mistake(voc: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ymir_detectron2.tools.make_task", *voc_arguments(voc, tmp_path / "task")]
    command[command.index("val.txt")] = "absent.txt"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"make_task: absent.txt: no such split file, neither below {voc} nor as a path\n"


# --- what lies in the folder


def test_ark_lines_keep_voc_corners_and_degenerate_boxes(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task")) == 0
    (asset, annotation), (_, empty) = read_index(tmp_path / "task", "train-index.tsv")
    assert on_disk(tmp_path / "task", asset).read_bytes() == (voc / "images" / "first one.jpg").read_bytes()
    assert (
        on_disk(tmp_path / "task", annotation).read_text() == "1, 1, 2, 10, 12, -1.0, 0.0\n0, 5, 5, 5, 4, -1.0, 0.0\n"
    )
    assert on_disk(tmp_path / "task", empty).read_text() == ""


def test_assets_are_named_by_their_sha1(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task")) == 0
    ((asset, annotation),) = read_index(tmp_path / "task", "val-index.tsv")
    name = asset_name(voc / "images" / "third.jpg")
    sha1 = name.split(".")[0]
    assert (asset, annotation) == (f"/in/assets/{sha1[-2:]}/{name}", f"/in/annotations/{sha1[-2:]}/{sha1}.txt")


def test_release_1_1_has_five_columns_dotted_paths_and_format_names(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--release", "1.1.0", "--export-format", "voc")) == 0
    asset, annotation = read_index(tmp_path / "task", "train-index.tsv")[0]
    assert asset.startswith("/in/assets/./")
    assert asset.endswith(".jpeg")
    assert annotation.startswith("/in/annotations/./")
    text = on_disk(tmp_path / "task", annotation).read_text()
    assert text == "1, 1, 2, 10, 12\n0, 5, 5, 5, 4\n", "1.1 writes ark whatever export_format says"
    assert "object_type" not in load_config(tmp_path / "task")


@pytest.mark.parametrize("release", sorted(RELEASES))
@pytest.mark.parametrize("task", ["train", "mining", "infer", "mining+infer"])
def test_env_has_the_keys_of_its_release(voc: Path, tmp_path: Path, release: str, task: str) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--release", release, "--task", task)) == 0
    env = read_env(tmp_path / "task" / "in" / "env.yaml", release)
    assert (env["run_mining"], env["run_infer"]) == ("mining" in task, "infer" in task)


def test_voc_export_is_the_platforms_xml(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--export-format", "voc")) == 0
    asset, annotation = read_index(tmp_path / "task", "train-index.tsv")[0]
    root = ElementTree.parse(on_disk(tmp_path / "task", annotation)).getroot()  # noqa: S314 - written by the test
    assert root.findtext("filename") == asset
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height", "depth")] == ["40", "30", "3"]
    whole, flat = root.findall("object")
    assert [whole.findtext(f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")] == ["1", "2", "10", "12"]
    assert whole.findtext("truncated") == "unknown"
    assert flat.find("bndbox") is None, "the platform writes none for a box without height"


def test_boxes_of_other_classes_are_dropped_and_their_pictures_stay(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--classes", "WBC")) == 0
    assert load_config(tmp_path / "task")["class_names"] == ["wbc"]
    assert on_disk(tmp_path / "task", read_index(tmp_path / "task", "val-index.tsv")[0][1]).read_text() == ""


def test_class_order_is_the_users(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--classes", "wbc, rbc")) == 0
    assert load_config(tmp_path / "task")["class_names"] == ["wbc", "rbc"]


def test_vocs_own_folder_names_are_found(tmp_path: Path) -> None:
    write_voc(tmp_path / "voc", {"a": [("cat", 1, 1, 5, 5)], "b": []}, "Annotations", "JPEGImages")
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "val.txt").write_text("b\n")
    splits = [str(tmp_path / "train.txt"), str(tmp_path / "val.txt")]
    assert main(["--voc", str(tmp_path / "voc"), "--split", *splits, "--out", str(tmp_path / "task")]) == 0


def test_coco_boxes_become_inclusive_corners(coco: Path, tmp_path: Path) -> None:
    jsons = [str(coco / "train.json"), str(coco / "val.json")]
    out = tmp_path / "task"
    assert main(["--coco", str(coco / "images"), "--coco-json", *jsons, "--out", str(out)]) == 0
    assert load_config(out)["class_names"] == ["cat", "dog"]
    ((_, annotation),) = read_index(out, "train-index.tsv")
    assert on_disk(out, annotation).read_text() == "0, 4, 5, 13, 10, -1.0, 0.0\n1, 0, 0, 3, 3, -1.0, 0.0\n"


def test_picture_with_the_same_bytes_is_listed_once(tmp_path: Path) -> None:
    first, copy = draw_image(tmp_path / "a.png", 9), draw_image(tmp_path / "b.png", 9)
    train = [LabelledPicture(first, (("cat", 1, 1, 5, 5),)), LabelledPicture(copy)]
    write_task_folder(tmp_path / "task", task="train", class_names=["cat"], train=train, val=train[:1])
    ((_, annotation),) = read_index(tmp_path / "task", "train-index.tsv")
    assert on_disk(tmp_path / "task", annotation).read_text() == "0, 1, 1, 5, 5, -1.0, 0.0\n"


def test_formats_are_told_by_content_and_some_left_out_by_1_1(tmp_path: Path) -> None:
    bitmap = draw_image(tmp_path / "really.bmp", 5).rename(tmp_path / "called.jpg")
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    tiff = draw_image(tmp_path / "a.tiff", 7)
    assert asset_name(bitmap).endswith(".bmp")
    assert asset_name(text).endswith(".jpg")
    assert asset_name(tiff).endswith(".unknown")
    candidates = [draw_image(tmp_path / "good.png", 6), bitmap, tiff]
    write_task_folder(tmp_path / "task", task="infer", class_names=["a"], candidates=candidates, release="1.1.0")
    assert [line[0][-4:] for line in read_index(tmp_path / "task", "candidate-index.tsv")] == [".png"]


# --- models between tasks


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("1.1.0", ["/in/models/s2.pth", "/in/models/s2.yaml"]),
        ("1.2.1dev", ["/in/models/s2.pth", "/in/models/s2.yaml"]),
        ("2.0.0", ["/in/models/s2/s2.pth", "/in/models/s2/s2.yaml"]),
        ("2.5.0", ["/in/models/s2/s2.pth", "/in/models/s2/s2.yaml"]),
    ],
)
def test_best_stage_goes_where_the_release_puts_it(
    voc: Path, tmp_path: Path, release: str, expected: list[str]
) -> None:
    trained, out = tmp_path / "trained", tmp_path / "mined"
    assert main(voc_arguments(voc, trained, "--classes", "wbc,rbc")) == 0
    result = {"best_stage_name": "s2", "model_stages": stages_of("s1", "s2")}
    models = write_training_result(trained, result, ["s1.pth", "s1.yaml", "s2.pth", "s2/s2.yaml", "s2.yaml"])
    arguments = voc_arguments(voc, out, "--task", "mining+infer", "--release", release, "--model", str(models))
    assert main(arguments) == 0
    config = load_config(out)
    assert config["model_params_path"] == expected
    assert config["class_names"] == ["wbc", "rbc"], "the order of the training, from its config.yaml"
    assert (config["run_mining"], config["run_infer"]) == (True, True)
    assert on_disk(out, expected[1]).read_text() == "content of s2/s2.yaml", "the stage's own folder is searched first"
    assert not list((out / "in" / "models").rglob("s1*"))
    info = yaml.safe_load((out / "in" / "models" / "ymir-info.yaml").read_text())
    assert info["executor_config"]["class_names"] == ["wbc", "rbc"]


def test_legacy_result_becomes_the_default_stage(voc: Path, tmp_path: Path) -> None:
    models = write_training_result(tmp_path / "trained", {"model": ["best.pth"], "map": 0.5}, ["best.pth"])
    assert main(voc_arguments(voc, tmp_path / "task", "--pretrained", str(models))) == 0
    assert load_config(tmp_path / "task")["pretrained_model_params"] == ["/in/models/default_best_stage/best.pth"]


def test_single_files_can_be_the_model(voc: Path, tmp_path: Path) -> None:
    files = [tmp_path / "w.pth", tmp_path / "c.yaml"]
    for file in files:
        file.write_text("x")
    assert main(voc_arguments(voc, tmp_path / "task", "--task", "infer", "--model", *map(str, files))) == 0
    folder = "/in/models/default_best_stage"
    assert load_config(tmp_path / "task")["model_params_path"] == [f"{folder}/w.pth", f"{folder}/c.yaml"]


def test_candidates_may_be_a_file_of_paths(voc: Path, tmp_path: Path) -> None:
    (voc / "pool.tsv").write_text("images/third.jpg\nimages/empty.jpg\tignored\n")
    out = tmp_path / "task"
    assert main(["--candidates", str(voc / "pool.tsv"), "--classes", "a", "--task", "mining", "--out", str(out)]) == 0
    names = [Path(line[0]).name for line in read_index(out, "candidate-index.tsv")]
    assert names == [asset_name(voc / "images" / f"{stem}.jpg") for stem in ("third", "empty")]
    assert sorted(file.name for file in (out / "in").glob("*.tsv")) == ["candidate-index.tsv"]


@pytest.mark.parametrize(
    ("gpu_id", "expected"),
    [("", {"gpu_id": "", "gpu_count": 0}), ("0,1", {"gpu_id": "0,1", "gpu_count": 2}), ("none", {"gpu_count": 0})],
)
def test_gpu_keys_are_those_of_the_form(voc: Path, tmp_path: Path, gpu_id: str, expected: dict[str, Any]) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", "--gpu-id", gpu_id)) == 0
    assert {key: value for key, value in load_config(tmp_path / "task").items() if key.startswith("gpu")} == expected


# --- mistakes


def test_config_values_are_typed_as_yaml_types_them() -> None:
    words = ["a=1", "b=0.5", "c=1e-4", "d=true", "e=", "f=x y=z", "g=[1, 2]"]
    expected = {"a": 1, "b": 0.5, "c": "1e-4", "d": True, "e": "", "f": "x y=z", "g": [1, 2]}
    assert parse_config_values(words) == expected


@pytest.mark.parametrize("word", ["max_iter", "=5", "a=[1"])
def test_config_word_that_is_no_pair_is_an_error(word: str) -> None:
    with pytest.raises(ConfigError, match="--config"):
        parse_config_values([word])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--task", "mining", "--model", "absent.pth"], "absent.pth: no such model file"),
        (["--task", "infer", "--model", "{voc}"], "result.yaml: cannot be read"),
        (["--config", "x"], "expected key=value"),
        (["--coco", "{voc}"], "give one source"),
        (["--task", "mining", "--candidates", "absent.tsv"], "give train, val or a file"),
    ],
)
def test_mistake_in_the_options_is_one_sentence(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    arguments = voc_arguments(voc, tmp_path / "task", *[word.format(voc=voc) for word in more])
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_one_split_is_too_few_for_training(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--voc", str(voc), "--split", "train.txt", "--out", str(tmp_path / "task")]) == 1
    assert "training needs two splits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        ("<annotation>", "is no XML"),
        ("<annotation><object><name> </name></object></annotation>", "has no <name>"),
        (
            "<annotation><object><name>a</name><bndbox><xmin>one</xmin></bndbox></object></annotation>",
            "<xmin> holds 'one'",
        ),
        (None, "cannot be read"),
    ],
)
def test_annotation_that_cannot_be_read_is_named(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], xml: Any, sentence: str
) -> None:
    file = voc / "annotations" / "third.xml"
    file.unlink() if xml is None else file.write_text(xml)
    assert main(voc_arguments(voc, tmp_path / "task")) == 1
    error = capsys.readouterr().err
    assert str(file) in error
    assert sentence in error


def test_split_line_without_a_picture_is_named(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (voc / "val.txt").write_text("third\nnobody\n")
    assert main(voc_arguments(voc, tmp_path / "task")) == 1
    assert f"{voc / 'val.txt'}:2: no picture named 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}'])
def test_file_that_is_no_coco_json_is_an_error(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (coco / "val.json").write_text(content)
    jsons = [str(coco / "train.json"), str(coco / "val.json")]
    assert main(["--coco", str(coco / "images"), "--coco-json", *jsons, "--out", str(tmp_path / "task")]) == 1
    assert "give a COCO JSON file" in capsys.readouterr().err


def test_folder_in_use_is_left_alone(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(voc_arguments(voc, tmp_path / "task")) == 0
    before = (tmp_path / "task" / "in" / "config.yaml").read_text()
    assert main(voc_arguments(voc, tmp_path / "task", "--classes", "wbc")) == 1
    assert "is in use already" in capsys.readouterr().err
    assert (tmp_path / "task" / "in" / "config.yaml").read_text() == before


def test_missing_picture_is_an_error_of_the_library(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"absent\.jpg: cannot be read"):
        write_task_folder(tmp_path / "task", task="infer", class_names=["a"], candidates=[tmp_path / "absent.jpg"])


@pytest.mark.parametrize("change", [{"task": "segment"}, {"release": "3.0.0"}, {"annotation_format": "yolo"}])
def test_unknown_word_is_an_error_that_lists_the_known_ones(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not known; choose"):
        write_task_folder(tmp_path / "task", **{"task": "train", "class_names": ["a"], **change})
