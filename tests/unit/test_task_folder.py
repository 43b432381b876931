"""Task folders, judged by what the platform itself would write in each of its releases."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.annotated_sets import grey_image
from tests.platform_reader import read_env
from ymir_detectron2.contract.annotations import AnnotationReader, Box
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.releases import RELEASES
from ymir_detectron2.tools.task_folder import TASKS, asset_name, write_task_folder

CLASS_NAMES = ["rbc", "wbc"]


@pytest.fixture
def train(tmp_path: Path) -> list[AnnotatedImage]:
    """An image with two boxes, one of which has no height, and an image without boxes."""
    return [
        AnnotatedImage(grey_image(tmp_path / "a b.jpg", 10), (("wbc", 1, 2, 10, 12), ("rbc", 5, 5, 5, 4))),
        AnnotatedImage(grey_image(tmp_path / "empty.jpg", 20)),
    ]


@pytest.fixture
def val(tmp_path: Path) -> list[AnnotatedImage]:
    return [AnnotatedImage(grey_image(tmp_path / "c.jpg", 30), (("rbc", 3, 3, 8, 9),))]


def index_rows(root: Path, name: str) -> list[list[str]]:
    return [line.split("\t") for line in (root / "in" / f"{name}.tsv").read_text().splitlines()]


def config_of(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "in" / "config.yaml").read_text()))


def real(root: Path, container_path: str) -> Path:
    return root / Path(container_path).relative_to("/")


def write(root: Path, train: list[AnnotatedImage], val: list[AnnotatedImage], **changes: Any) -> Path:
    """Write a training task."""
    given = {"task": "train", "class_names": CLASS_NAMES, "train": train, "val": val, **changes}
    return write_task_folder(root, **given)


def test_a_training_task_of_the_newest_release(tmp_path: Path, train: list[AnnotatedImage], val: list[AnnotatedImage]):
    root = tmp_path / "task"
    env_file = write(root, train, val, config={"max_iter": 5, "class_names": ["ignored"]})
    assert env_file == root / "in" / "env.yaml"
    assert read_env(env_file)["run_training"] is True
    assert not list((root / "out").iterdir())
    assert config_of(root) == {
        "class_names": ["rbc", "wbc"], "export_format": "ark:raw", "gpu_count": 0, "gpu_id": "", "max_iter": 5,
        "object_type": 2, "task_id": read_env(env_file)["task_id"],
    }  # fmt: skip
    (asset, annotation), (_, empty) = index_rows(root, "train-index")
    name = asset_name(train[0].path)
    sha1 = name.split(".")[0]
    assert (asset, annotation) == (f"/in/assets/{sha1[-2:]}/{name}", f"/in/annotations/{sha1[-2:]}/{sha1}.txt")
    assert real(root, asset).read_bytes() == train[0].path.read_bytes()
    assert real(root, annotation).read_text() == "1, 1, 2, 10, 12, -1.0, 0.0\n0, 5, 5, 5, 4, -1.0, 0.0\n"
    assert real(root, empty).read_text() == ""
    assert index_rows(root, "idx-gt") == index_rows(root, "train-index") + index_rows(root, "val-index")
    assert index_rows(root, "test-index") == []


def test_release_1_1_has_five_columns_dotted_paths_and_format_names(
    tmp_path: Path, train: list[AnnotatedImage], val: list[AnnotatedImage]
):
    root = tmp_path / "task"
    write(root, train, val, release="1.1.0", annotation_format="voc")
    asset, annotation = index_rows(root, "train-index")[0]
    assert asset.startswith("/in/assets/./")
    assert asset.endswith(".jpeg")
    assert annotation.startswith("/in/annotations/./")
    text = real(root, annotation).read_text()
    assert text == "1, 1, 2, 10, 12\n0, 5, 5, 5, 4\n", "1.1 writes ark whatever export_format is"
    assert "object_type" not in config_of(root)
    assert sorted(file.name for file in (root / "in").glob("*.tsv")) == ["train-index.tsv", "val-index.tsv"]


@pytest.mark.parametrize("release", sorted(RELEASES))
@pytest.mark.parametrize("task", sorted(TASKS))
def test_env_has_the_keys_of_its_release(
    tmp_path: Path, train: list[AnnotatedImage], val: list[AnnotatedImage], release: str, task: str
):
    env_file = write(tmp_path / "task", train, val, task=task, release=release)
    env = read_env(env_file, release)
    assert (env["run_mining"], env["run_infer"]) == ("mining" in task, "infer" in task)


def test_voc_annotations_are_xml(tmp_path: Path, train: list[AnnotatedImage], val: list[AnnotatedImage]):
    root = tmp_path / "task"
    write(root, train, val, annotation_format="voc")
    asset, annotation = index_rows(root, "train-index")[0]
    assert annotation.endswith(".xml")
    xml = ElementTree.parse(real(root, annotation)).getroot()  # noqa: S314 - written by the test
    assert xml.findtext("filename") == asset
    assert [node.findtext("name") for node in xml.findall("object")] == ["wbc", "rbc"]


def test_an_image_with_the_same_bytes_is_listed_once_with_the_boxes_of_the_first(
    tmp_path: Path, val: list[AnnotatedImage]
):
    first, copy = (grey_image(tmp_path / name, 9) for name in ("a.png", "b.png"))
    train = [AnnotatedImage(first, (("wbc", 1, 1, 5, 5),)), AnnotatedImage(copy)]
    write(tmp_path / "task", train, val)
    ((_, annotation),) = index_rows(tmp_path / "task", "train-index")
    assert real(tmp_path / "task", annotation).read_text() == "1, 1, 1, 5, 5, -1.0, 0.0\n"


@pytest.mark.parametrize("release", ["1.1.0", "2.5.0"])
@pytest.mark.parametrize("annotation_format", ["ark", "voc"])
def test_own_names_are_unique_and_each_set_has_its_annotations(
    tmp_path: Path, train: list[AnnotatedImage], release: str, annotation_format: str
):
    other = AnnotatedImage(grey_image(tmp_path / "line3" / "empty.jpg", 40))
    again = AnnotatedImage(train[0].path, (("rbc", 3, 3, 8, 9),))  # in both sets, with other boxes
    write(
        tmp_path / "task", train, [other, again], own_names=True, release=release, annotation_format=annotation_format
    )
    rows = [index_rows(tmp_path / "task", f"{name}-index") for name in ("train", "val")]
    names = [[Path(asset).name for asset, _ in some] for some in rows]
    assert names == [["a b.jpg", f"{tmp_path.name}_empty.jpg"], ["line3_empty.jpg", "a b.jpg"]]
    assert real(tmp_path / "task", rows[1][0][0]).read_bytes() == other.path.read_bytes()
    issues = DataIssues()
    reader = AnnotationReader(CLASS_NAMES, issues)
    read_back = [[reader.read(real(tmp_path / "task", annotation)) for _, annotation in some] for some in rows]
    assert [[len(labels.boxes) if labels else None for labels in some] for some in read_back][1] == [0, 1]
    assert read_back[0][0] is not None
    assert read_back[0][0].boxes[0][1] == Box(1, 1, 2, 11, 13)


def test_candidates_are_listed_without_annotations(tmp_path: Path):
    images = [grey_image(tmp_path / f"{number}.png", number) for number in (2, 1)]
    root = tmp_path / "task"
    write_task_folder(root, task="mining+infer", class_names=CLASS_NAMES, candidates=images)
    assert [Path(row[0]).name for row in index_rows(root, "candidate-index")] == list(map(asset_name, images))
    assert sorted(file.name for file in (root / "in").glob("*.tsv")) == ["candidate-index.tsv"]
    config = config_of(root)
    assert (config["run_mining"], config["run_infer"]) == (True, True)
    assert "model_params_path" not in config, "the platform removes the key when no model was chosen"


@pytest.mark.parametrize(
    ("gpu_id", "expected"),
    [("", {"gpu_id": "", "gpu_count": 0}), ("0,1", {"gpu_id": "0,1", "gpu_count": 2}), (None, {"gpu_count": 0})],
)
def test_gpu_keys_are_those_of_the_form(
    tmp_path: Path, val: list[AnnotatedImage], gpu_id: str | None, expected: dict[str, Any]
):
    write(tmp_path / "task", val, val, gpu_id=gpu_id)
    config = config_of(tmp_path / "task")
    assert {key: value for key, value in config.items() if key.startswith("gpu")} == expected


def test_asset_names_are_those_of_the_release(tmp_path: Path):
    jpeg, bitmap = grey_image(tmp_path / "a.jpg", 5), grey_image(tmp_path / "b.bmp", 5)
    assert [asset_name(jpeg)[40:], asset_name(jpeg, "1.1.0")[40:], asset_name(bitmap)[40:]] == [".jpg", ".jpeg", ".bmp"]
    with pytest.raises(ConfigError, match=r"b\.bmp: YMIR 1\.1\.0 lists JPEG and PNG images only"):
        asset_name(bitmap, "1.1.0")


def test_a_folder_in_use_is_left_alone(tmp_path: Path, train: list[AnnotatedImage], val: list[AnnotatedImage]):
    (tmp_path / "task" / "out").mkdir(parents=True)
    (tmp_path / "task" / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="out: is in use already; choose another folder or remove it"):
        write(tmp_path / "task", train, val)
    assert [path.name for path in (tmp_path / "task").rglob("*")] == ["out", "thesis.txt"]


def test_a_missing_image_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"absent\.jpg: cannot be read"):
        write_task_folder(tmp_path / "task", task="infer", class_names=["a"], candidates=[tmp_path / "absent.jpg"])


@pytest.mark.parametrize("change", [{"task": "segment"}, {"release": "3.0.0"}, {"annotation_format": "yolo"}])
def test_an_unknown_word_is_an_error_that_lists_the_known_ones(tmp_path: Path, change: dict[str, Any]):
    with pytest.raises(ConfigError, match="is not known; choose"):
        write(tmp_path / "task", [], [], **change)
    assert not (tmp_path / "task").exists()
