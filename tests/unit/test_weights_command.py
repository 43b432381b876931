"""The command `weights`: files from a local TLS server that stands at the true addresses, one sentence per fault."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.platform_reader import import_model
from tests.tls_server import Page, Server
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.tools.published_weights import COCO_CLASSES, PUBLISHED
from ymir_detectron2.tools.weights import main
from ymir_detectron2.version import PROJECT_DIR

BACKBONE = PUBLISHED["imagenet-R-50"]
DETECTOR = PUBLISHED["coco-R-101-3x"]
CAFFE2_BRANCHES = {"shortcut": "1", "conv1": "2a", "conv2": "2b", "conv3": "2c"}


def pages_of(server: Server, place: str, *pages: Page) -> None:
    server.pages[f"/detectron2/{place}"] = list(pages)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list_names_quality_pin_and_place(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "COCO", "AP", "pinned", "place", "below", "a", "weights", "folder"]
    assert [line.split()[0] for line in lines[1:6]] == list(PUBLISHED)
    assert re.fullmatch(rf"coco-R-101-3x +40\.4 +(yes|no) +{DETECTOR.place}", lines[5])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fetch", "--into", "{folder}", "R-18"], "there are no weights called 'R-18'; choose all, none, or of"),
        (["verify", "--from", "{folder}"], "{folder}: holds no published weights; fetch them with --into {folder}"),
        (["verify", "--from", "{folder}", "coco-R-50-1x"], "coco-R-50-1x: is not in {folder}; fetch it with --into"),
        (["pack", "--from", "{folder}", "--into", "{folder}"], "{folder}: holds no published weights"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, capsys, arguments, sentence):
    assert main([argument.format(folder=tmp_path) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"weights: {sentence.format(folder=tmp_path)}")
    assert error.count("\n") == 1


def test_none_is_fetched_on_purpose(server, tmp_path):
    assert main(["fetch", "--into", str(tmp_path / "weights"), "none"]) == 0
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "page", "sentence"),
    [
        ("imagenet-R-50", Page(b"no", status=404), r"cannot be downloaded \(HTTP 404 Not Found\)"),
        ("imagenet-R-50", Page(b"<html>Log in</html>"), "what came: "),
        ("coco-R-50-3x", Page(b"anything"), "what came: is damaged: its MD5 begins f0e166, expected 5bd44e"),
        (
            "imagenet-R-50", Page(pickle.dumps({"stem.conv1.weight": np.zeros((2, 2), np.float32)})),
            "what came: no tensor fits the backbone",
        ),
    ],
)  # fmt: skip
def test_what_is_not_the_file_never_gets_its_name(server, tmp_path, capsys, name, page, sentence):
    pages_of(server, PUBLISHED[name].place, page)
    assert main(["fetch", "--into", str(tmp_path / "weights"), name]) == 1
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert re.match(f"weights: https://dl.fbaipublicfiles.com/detectron2/.*: {sentence}", last_line)
    assert files_in(tmp_path / "weights") == []


def test_a_file_that_is_there_is_checked_and_not_fetched(server, tmp_path, capsys):
    (tmp_path / "R-50.pkl").write_bytes(b"weights")
    assert main(["fetch", "--into", str(tmp_path), "imagenet-R-50"]) == 1
    assert capsys.readouterr().err.startswith(f"weights: {tmp_path / 'R-50.pkl'}: ")
    assert server.requests == []


def caffe2_backbone(path: Path) -> Path:
    """Write ResNet-50 as MSRA's file has it: Caffe2's names, no statistics, and the classifier of ImageNet."""
    state = build_retinanet(BACKBONE.read_config(), len(COCO_CLASSES)).state_dict()
    blobs = {"fc1000_w": np.zeros((1000, 2048), np.float32), "fc1000_b": np.zeros(1000, np.float32)}
    parameters = {"weight": "w", "norm.weight": "bn_s", "norm.bias": "bn_b"}
    for name, tensor in state.items():
        tail = name.replace("backbone.bottom_up.", "")
        match = re.match(r"(?:stem|res(\d)\.(\d+))\.(\w+)\.(weight|norm\.weight|norm\.bias)$", tail)
        if match:
            stage, block, layer, parameter = match.groups()
            blob = parameters[parameter]
            stem = "conv1_w" if blob == "w" else f"res_conv1_{blob}"
            blobs[f"res{stage}_{block}_branch{CAFFE2_BRANCHES[layer]}_{blob}" if stage else stem] = tensor.numpy()
    path.write_bytes(pickle.dumps({"blobs": blobs}))
    return path


def zoo_detector(path: Path) -> Path:
    state = build_retinanet(DETECTOR.read_config(), len(COCO_CLASSES)).state_dict()
    content = {"model": {name: tensor.numpy() for name, tensor in state.items()}, "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.slow
def test_files_of_true_names_and_sizes_from_the_first_fetch_to_the_platform(server, tmp_path):
    """In a copy of the project, whose pins may change; R-50 has 102 MB, the detector 228 MB."""
    project, folder = tmp_path / "project", tmp_path / "weights"
    for name in ("ymir_detectron2", "configs"):
        shutil.copytree(PROJECT_DIR / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))

    def weights(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ymir_detectron2.tools.weights", *arguments]
        return subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, timeout=600)

    torch.manual_seed(0)
    backbone, detector = caffe2_backbone(tmp_path / "R-50.pkl"), zoo_detector(tmp_path / "detector.pkl")
    half = backbone.stat().st_size // 2
    assert 100_000_000 < backbone.stat().st_size < 105_000_000
    assert 220_000_000 < detector.stat().st_size < 235_000_000

    # fetched in two parts, and honest about what was not checked
    pages_of(server, BACKBONE.place, Page(backbone, broken_after=half), Page(backbone))
    run = weights("fetch", "--into", str(folder), "imagenet-R-50")
    assert run.returncode == 0, run.stderr
    assert "no SHA-256 is pinned, so that nobody vouches for its values" in run.stdout
    assert f"broke off after {half} of {backbone.stat().st_size} bytes; trying again in 1 s" in run.stderr
    assert [headers.get("range") for _, headers in server.requests] == [None, f"bytes={half}-"]
    assert (folder / BACKBONE.place).read_bytes() == backbone.read_bytes()

    # pinned, so that from now on it has to be this file
    run = weights("pin", "imagenet-R-50")
    assert run.returncode == 0, run.stderr
    pins = project / "ymir_detectron2" / "retinanet" / "weights.sha256"
    assert pins.read_text().splitlines()[-1] == f"{sha256(backbone)}  {BACKBONE.place}"
    run = weights("verify", "--from", str(folder))
    assert (run.returncode, "checked: the pinned SHA-256 and its" in run.stdout) == (0, True), run.stdout + run.stderr
    with (folder / BACKBONE.place).open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"\1")
    run = weights("verify", "--from", str(folder))
    assert run.returncode == 1
    assert f"is damaged or was changed: its SHA-256 is {sha256(folder / BACKBONE.place)}, pinned is" in run.stderr

    # the digits in the name are not those of this stand-in; with its pin it is the published file
    pages_of(server, DETECTOR.place, Page(detector))
    run = weights("fetch", "--into", str(folder), "coco-R-101-3x")
    assert (run.returncode, "expected 971ab9" in run.stderr) == (1, True), run.stdout + run.stderr
    with pins.open("a") as file:
        file.write(f"{sha256(detector)}  {DETECTOR.place}\n")
    run = weights("fetch", "--into", str(folder), "coco-R-101-3x")
    assert run.returncode == 0, run.stderr

    run = weights("pack", "--from", str(folder), "--into", str(tmp_path / "packages"), "coco-R-101-3x")
    assert run.returncode == 0, run.stderr
    assert files_in(tmp_path / "packages") == ["coco-R-101-3x.tar"]
    paths, info = import_model(tmp_path / "packages" / "coco-R-101-3x.tar", tmp_path / "models")
    assert paths[0] == f"/in/models/retinanet_R_101_FPN_3x/{Path(DETECTOR.place).name}"
    assert info["task_context"]["mAP"] == 0.404
