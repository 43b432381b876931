"""The command line as a person meets it: help, version, and one sentence for every mistake."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Sequence

import pytest
import yaml

from tests.annotated_sets import grey_image, write_coco, write_text, write_voc
from ymir_detectron2 import __version__
from ymir_detectron2.cli.main import COMMANDS, PROGRAM, main, parser_for

PROJECT_DIR = Path(__file__).resolve().parents[2]


def run_command(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """Run the command line as a process, from another folder than the project."""
    variables = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "ymir_detectron2", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


# --- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_are_understood(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    shown = capsys.readouterr().out
    examples = [line.strip() for line in shown.split("examples:")[1].splitlines() if line.strip()]
    assert ended.value.code == 0
    assert len(examples) >= 2
    for example in examples:
        program, *arguments = shlex.split(example)
        assert (program, arguments[0]) == (PROGRAM, command)
        parser_for(arguments).parse_args(arguments)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str):
    """What takes its time: torch 3 s, NumPy and Pillow 0.2 s."""
    code = (
        "import atexit, sys; atexit.register(lambda: print('modules', *sys.modules));"
        "from ymir_detectron2.cli.main import main; main([*sys.argv[1:], '--help'])"
    )
    asked = [sys.executable, "-c", code, *filter(None, [command])]
    shown = subprocess.run(asked, cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout
    modules = {name.split(".")[0] for name in shown.split("modules ")[-1].split()}
    assert not modules & {"torch", "numpy", "PIL", "cv2", "matplotlib", "pydantic", "tensorboard"}


def test_version(tmp_path: Path):
    done = run_command("--version", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"ymir-detectron2 {__version__} (")


# --- mistakes of the command line itself: status 2, as everywhere


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "ymir-detectron2: the following arguments are required: COMMAND; see ymir-detectron2 --help"),
        (["trian", "x"], "ymir-detectron2: argument COMMAND: invalid choice: 'trian'"),
        (["train", "--epochs", "x"], "ymir-detectron2 train: argument --epochs: invalid float value: 'x'"),
        (["train", "--val-share", "2"], "--val-share: must be between 0 and 1; see ymir-detectron2 train --help"),
        (["convert", "x", "--to", "voc", "--threshold", "2"], "argument --threshold: must be between 0 and 1"),
        (["convert", "x"], "the following arguments are required: --to"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    arguments: Sequence[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in error
    assert error.count("\n") == 1


# --- mistakes of a user: status 1, one sentence in English and one in Chinese


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a dataset `voc`, images without labels, and what is no model."""
    write_voc(tmp_path / "voc", {str(n): [("Dog", 1, 2, 10, 12)] for n in range(4)}, {})
    grey_image(tmp_path / "unlabelled" / "a.png", 1)
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "notes.txt", "hello")
    write_text(tmp_path / "weights.pth", "no weights")
    write_text(tmp_path / "wrong" / "data.yaml", "train: images\nval: nowhere\nnames: [cat]\n")
    grey_image(tmp_path / "wrong" / "images" / "a.png", 1)
    write_text(tmp_path / "stopped" / "in" / "env.yaml", yaml.safe_dump({"task_id": "t"}))
    (tmp_path / "stopped" / "out" / "models").mkdir(parents=True)
    write_coco(tmp_path / "coco", "train")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = {
    "a folder that does not exist": (["train", "gone"], "train: gone: no such file or folder; give a folder with"),
    "no data": (["train"], "train: give one source: a folder, or --voc DIR, --coco DIR or --yolo DIR"),
    "images without labels": (["train", "unlabelled"], "unlabelled: no labels in Pascal VOC, COCO JSON or YOLO form"),
    "a wrong data.yaml": (["train", "wrong"], "wrong/data.yaml: val: 'nowhere' is neither in wrong nor beside the"),
    "a folder in use": (["train", "voc", "--out", "unlabelled"], "unlabelled: is in use by something else; choose"),
    "a file for a folder": (["train", "voc", "--out", "notes.txt"], "notes.txt: is a file; choose a folder with --out"),
    "a run that was stopped": (
        ["train", "voc", "--out", "stopped"],
        "stopped: holds an unfinished run; go on with train --resume --out stopped, or choose another",
    ),
    "--set without =": (["train", "voc", "--set", "max_iter"], "train: --set 'max_iter': expected key=value"),
    "--set that is no YAML": (["train", "voc", "--set", "a=[1"], "train: --set 'a=[1': the value is no YAML"),
    "--set of a wrong type": (
        ["train", "voc", "--set", "max_iter=abc"], "max_iter: expected a whole number, found 'abc'"
    ),
    "--set of what a flag decides": (["train", "voc", "--set", "gpu_id=0"], "--set gpu_id: --device decides this key"),
    "a flag and its key": (
        ["train", "voc", "--epochs", "3", "--set", "max_epochs=4"], "--epochs and --set max_epochs mean the same"
    ),
    "no device": (["train", "voc", "--device", "gpu"], "--device 'gpu': give cpu, or GPU numbers such as 0 or 0,1"),
    "a model that is not there": (["train", "voc", "--device", "cpu", "--model", "gone"], "gone: no such model"),
    "nothing to go on with": (["train", "--resume"], "runs/train: holds no run that could go on; leave --resume out"),
    "data for a run that goes on": (["train", "voc", "--resume"], "--resume goes on with the images and the model"),
    "no model": (["predict", "gone", "unlabelled"], "predict: gone: no such model; give a run, its out/models"),
    "a model that is none": (["predict", "empty", "unlabelled"], "predict: empty: holds no model: neither result.yaml"),
    "a training without a stage": (["predict", "stopped", "unlabelled"], "predict: stopped: holds no model"),
    "a text file for a model": (["predict", "notes.txt", "unlabelled"], "predict: notes.txt: neither weights nor a"),
    "no images": (["predict", "weights.pth", "empty"], "predict: empty: lists no images; give a folder of images"),
    "images that do not exist": (["predict", "weights.pth", "gone"], "predict: gone: cannot be read (No such file"),
    "neither": (["predict"], "predict: give MODEL and IMAGES: a run, and a folder of images for example"),
    "a threshold of 2": (["predict", "weights.pth", "unlabelled", "--threshold", "2"], "conf_threshold: must be"),
    "no such algorithm": (["mine", "weights.pth", "unlabelled", "--set", "mining_algorithm=x"], "must be one of cald"),
    "no report": (["report", "empty"], "report: empty: holds no output of a task; give a task folder, its out"),
    "no predictions": (["convert", "stopped", "--to", "voc"], "convert: stopped: holds no output of a task"),
    "weights without a config": (["export", "weights.pth", "--to", "onnx"], "has no .yaml or .yml file; give a"),
    "weights of no such name": (["weights", "fetch", "--into", "x", "y"], "weights: there are no weights called 'y'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    arguments, sentence = MISTAKES[mistake]
    if arguments[0] == "train" and "--device" not in arguments:
        arguments = [*arguments, "--device", "cpu"]  # saves the seconds in which torch is asked for a GPU
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 1
    english, chinese = capsys.readouterr().err.splitlines()
    assert english.startswith(f"ymir-detectron2 {arguments[0]}: ")
    assert sentence in english
    assert chinese.startswith("错误 ")
    left = [path for path in sorted(folder.rglob("*")) if path not in before]
    assert left in ([], [folder / "runs"]), "nothing half made stays"


def test_a_mistake_as_a_process(folder: Path):
    done = run_command("train", "unlabelled", folder=folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 2)
    assert done.stderr.startswith("ymir-detectron2 train: unlabelled: no labels in Pascal VOC, COCO JSON or YOLO form;")


def test_names_from_data_do_not_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "a\x1b[2Jb\nc"]) == 1
    english, _ = capsys.readouterr().err.splitlines()
    assert "a\\x1b[2Jb c" in english
