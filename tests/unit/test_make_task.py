"""make_task: the options of the command, from a dataset to a task folder, and one sentence per mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.annotated_sets import write_coco, write_voc
from tests.platform_reader import read_env
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.make_task import main, parse_config_values
from ymir_detectron2.tools.task_folder import asset_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two training images and one for validation; a stem with a blank; class names in both cases."""
    return write_voc(
        tmp_path / "voc",
        {"first one": [("WBC", 1, 2, 10, 12), ("RBC", 5, 5, 5, 4)], "empty": [], "third": [("rbc", 3, 3, 8, 9)]},
        {"train.txt": ["first one", "empty", ""], "val.txt": ["third"]},
    )


def voc_arguments(voc: Path, out: Path, *more: str) -> list[str]:
    return ["--voc", str(voc), "--split", "train.txt", "val.txt", "--out", str(out), *more]


def load_config(out: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((out / "in" / "config.yaml").read_text()))


def index_rows(out: Path, name: str) -> list[list[str]]:
    return [line.split("\t") for line in (out / "in" / f"{name}-index.tsv").read_text().splitlines()]


def annotation_text(out: Path, row: list[str]) -> str:
    return (out / row[1].lstrip("/")).read_text()


# --- the command as a process


def test_command_writes_a_training_folder_from_voc(voc: Path, tmp_path: Path) -> None:
    out = tmp_path / "task"
    command = [
        sys.executable, "-m", "ymir_detectron2.tools.make_task", *voc_arguments(voc, out, "--config", "max_iter=5")
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"{voc}: a Pascal VOC dataset, 2 training images and 1 validation images\n"
        "2 training and 1 validation images, 3 boxes, 2 classes: rbc, wbc\n"
        f"next: python3 start.py --env {out}/in/env.yaml\n"
    )
    assert done.stderr == (
        "WARNING  1 x class with boxes in one of the two sets only, e.g. 'wbc' is not in the validation set\n"
    )
    assert read_env(out / "in" / "env.yaml")["run_training"] is True
    config = load_config(out)
    assert (config["class_names"], config["max_iter"]) == (["rbc", "wbc"], 5)
    assert "gpu_id" not in config, "a GPU if there is one"
    assert [Path(row[0]).name for row in index_rows(out, "train")] == ["first one.jpg", "empty.jpg"]


def test_command_ends_with_one_sentence_and_1_for_a_mistake(voc: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ymir_detectron2.tools.make_task", *voc_arguments(voc, tmp_path / "task")]
    command[command.index("val.txt")] = "absent.txt"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"make_task: absent.txt: no such split file, neither below {voc} nor as a path\n"


# --- options


def test_classes_are_lower_case_in_the_order_given_and_boxes_of_others_are_dropped(voc: Path, tmp_path: Path) -> None:
    assert main(voc_arguments(voc, tmp_path / "both", "--classes", "wbc, RBC")) == 0
    assert load_config(tmp_path / "both")["class_names"] == ["wbc", "rbc"]
    assert main(voc_arguments(voc, tmp_path / "one", "--classes", "WBC")) == 0
    assert load_config(tmp_path / "one")["class_names"] == ["wbc"]
    assert annotation_text(tmp_path / "one", index_rows(tmp_path / "one", "val")[0]) == ""


def test_coco_is_the_other_source(tmp_path: Path) -> None:
    jsons = [str(write_coco(tmp_path / "coco", split)) for split in ("train", "val")]
    out = tmp_path / "task"
    assert main(["--coco", str(tmp_path / "coco" / "images"), "--coco-json", *jsons, "--out", str(out)]) == 0
    assert load_config(out)["class_names"] == ["cat", "dog"]
    (row,) = index_rows(out, "train")
    assert annotation_text(out, row) == "0, 4, 5, 13, 10, -1.0, 0.0\n1, 0, 0, 3, 3, -1.0, 0.0\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--gpu-id", "0,1"], {"gpu_id": "0,1", "gpu_count": 2}, id="two GPUs"),
        pytest.param(["--gpu-id", "none"], {"gpu_id": None, "gpu_count": 0}, id="no key"),
        pytest.param(["--gpu-id", "cpu"], {"gpu_id": "", "gpu_count": 0}, id="the CPU"),
        pytest.param(["--gpu-id", ""], {"gpu_id": "", "gpu_count": 0}, id="the CPU as the platform writes it"),
        pytest.param(["--release", "1.1.0"], {"object_type": None}, id="release"),
        pytest.param(["--export-format", "voc"], {"export_format": "voc:raw"}, id="export format"),
        pytest.param(["--config", "a=1", "b=x", "--config", "c=2"], {"a": 1, "b": "x", "c": 2}, id="two of --config"),
    ],
)
def test_options_reach_config_yaml(voc: Path, tmp_path: Path, options: list[str], expected: dict[str, Any]) -> None:
    assert main(voc_arguments(voc, tmp_path / "task", *options)) == 0
    config = load_config(tmp_path / "task")
    assert {key: config.get(key) for key in expected} == expected


@pytest.mark.parametrize(("candidates", "stems"), [("val", ["third"]), ("train", ["first one", "empty"])])
def test_candidates_of_a_split(voc: Path, tmp_path: Path, candidates: str, stems: list[str]) -> None:
    out = tmp_path / "task"
    assert main(voc_arguments(voc, out, "--task", "infer", "--candidates", candidates)) == 0
    names = [Path(row[0]).name for row in index_rows(out, "candidate")]
    assert names == [f"{stem}.jpg" for stem in stems]
    assert load_config(out)["class_names"] == ["rbc", "wbc"]


def test_candidates_of_a_file_with_paths(voc: Path, tmp_path: Path) -> None:
    (voc / "pool.tsv").write_text("images/third.jpg\nimages/empty.jpg\tignored\n")
    out = tmp_path / "task"
    assert main(["--candidates", str(voc / "pool.tsv"), "--classes", "a", "--task", "mining", "--out", str(out)]) == 0
    names = [Path(row[0]).name for row in index_rows(out, "candidate")]
    assert names == ["third.jpg", "empty.jpg"]


def test_the_names_of_the_platform_on_request(voc: Path, tmp_path: Path) -> None:
    out = tmp_path / "task"
    assert main(voc_arguments(voc, out, "--names", "sha1")) == 0
    assert [Path(row[0]).name for row in index_rows(out, "val")] == [asset_name(voc / "images" / "third.jpg")]


def test_a_model_brings_the_class_names_of_its_training(voc: Path, tmp_path: Path) -> None:
    trained, out = tmp_path / "trained", tmp_path / "mined"
    assert main(voc_arguments(voc, trained, "--classes", "wbc,rbc")) == 0
    models = trained / "out" / "models"
    models.mkdir()
    (models / "best.pth").write_text("x")
    (models / "result.yaml").write_text("model: [best.pth]\nmap: 0.5\n")
    assert main(voc_arguments(voc, out, "--task", "mining+infer", "--model", str(models), "--classes", "other")) == 0
    config = load_config(out)
    assert config["class_names"] == ["wbc", "rbc"]
    assert config["model_params_path"] == ["/in/models/default_best_stage/best.pth"]
    assert main(voc_arguments(voc, tmp_path / "again", "--pretrained", str(models / "best.pth"))) == 0
    assert load_config(tmp_path / "again")["pretrained_model_params"] == ["/in/models/default_best_stage/best.pth"]


# --- mistakes


def test_config_values_are_typed_as_yaml_types_them() -> None:
    words = ["a=1", "b=0.5", "c=1e-4", "d=true", "e=", "f=x y=z", "g=[1, 2]", "h=@a.txt"]
    expected = {"a": 1, "b": 0.5, "c": "1e-4", "d": True, "e": "", "f": "x y=z", "g": [1, 2], "h": "@a.txt"}
    assert parse_config_values(words) == expected


@pytest.mark.parametrize("word", ["max_iter", "=5", "a=[1"])
def test_config_word_that_is_not_a_pair_is_an_error(word: str) -> None:
    with pytest.raises(ConfigError, match="--config"):
        parse_config_values([word])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--task", "mining", "--model", "absent.pth"], "absent.pth: no such model file"),
        (["--task", "infer", "--model", "{voc}"], "holds no model: neither result.yaml"),
        (["--config", "x"], "expected key=value"),
        (["--coco", "{voc}"], "give one source"),
        (["--data", "{voc}"], "give one source"),
        (["--classes", "a\nb"], r"--classes: 'a\nb' cannot be the name of a class; correct it"),
        (["--split", "a\nb", "train.txt"], r"a\nb: no such split file"),
        (["--split", "x" * 300, "train.txt"], "xxx: no such split file"),
        (["--config", "a=" + "[" * 60 + "]" * 5000], "...]]]"),
        (["--split", "a", "b", "c"], "take two files"),
        (["--coco-json", "a.json"], "--split is for Pascal VOC and --coco-json for COCO"),
        (["--split", "train.txt", "--task", "infer", "--candidates", "val"], "2 training images; it has no val set"),
        (["--task", "mining", "--candidates", "absent.tsv"], "give a folder of images, an image, a list"),
        (["--task", "mining", "--candidates", "{voc}/nothing.tsv"], "lists no images"),
        (["--split", "nothing.tsv", "nothing.tsv"], "none of them is for training"),
        (["--split", "empty.tsv", "empty.tsv"], "no class names: the source holds no boxes"),
        (["--out", "{voc}/train.txt/task"], "cannot be written"),
    ],
)
def test_mistake_in_the_options_is_one_sentence(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    (voc / "nothing.tsv").write_text("\n")
    (voc / "empty.tsv").write_text("empty\n")
    arguments = voc_arguments(voc, tmp_path / "task", *[word.format(voc=voc) for word in more])
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("make_task: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("share", ["0", "1", "2", "x"])
def test_a_share_that_leaves_a_set_empty_is_refused(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    with pytest.raises(SystemExit):
        main(voc_arguments(voc, tmp_path / "task", "--val-share", share))
    assert "--val-share" in capsys.readouterr().err
