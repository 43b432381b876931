"""Published and trained models as packages for YMIR's model import: read as each release does, used by real tasks."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import CLASS_NAMES, MakeTree, Trained
from tests.platform_reader import (
    RELEASES,
    import_model,
    read_infer_result,
    read_mining_result,
    read_training_result,
)
from tests.running import TINY_CONFIG, run_steps
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.checkpoint import read_checkpoint, write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.tools import model_import
from ymir_detectron2.tools.model_import import write_import_package, write_model_package
from ymir_detectron2.tools.packed_model import PackedStage, pack_best_stage, pack_stages
from ymir_detectron2.tools.published_weights import COCO_CLASSES, PUBLISHED, PublishedWeights

TINY = PublishedWeights("tiny", "https://example.com/model_final.pkl", str(TINY_CONFIG), 0.5)
IMPORTING = [release for release in RELEASES if release >= "2.0.0"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detector of COCO's classes in the form of the model zoo's files."""
    torch.manual_seed(0)
    state = build_retinanet(load_config(TINY_CONFIG), len(COCO_CLASSES)).state_dict()
    path = tmp_path_factory.mktemp("published") / "model_final.pkl"
    content = {"model": {name: tensor.numpy() for name, tensor in state.items()}, "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(content))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


@pytest.mark.parametrize("release", IMPORTING)
def test_every_release_that_imports_models_takes_the_package(published, tmp_path, release):
    package = write_import_package(TINY, published, tmp_path)
    assert package == tmp_path / "tiny.tar"
    paths, info = import_model(package, tmp_path / "models", release)
    assert paths == ["/in/models/tiny/model_final.pkl", "/in/models/tiny/config.yaml"]
    assert (tmp_path / "models" / "tiny" / "model_final.pkl").read_bytes() == published.read_bytes()
    assert info["executor_config"] == {"class_names": list(COCO_CLASSES)}
    stage = info["stages"]["tiny"]
    assert (stage["mAP"], stage["timestamp"]) == (0.5, 1_600_000_000)


def test_the_config_in_it_is_complete_and_names_the_weights(published, tmp_path):
    package = write_import_package(TINY, published, tmp_path)
    with tarfile.open(package) as archive:
        archive.extract("tiny/config.yaml", tmp_path)
    cfg = load_config(tmp_path / "tiny" / "config.yaml")
    assert cfg["MODEL.WEIGHTS"] == published.name, "as detectron2 opens it, in the folder of both files"
    assert {**cfg, "MODEL.WEIGHTS": ""} == {**load_config(TINY_CONFIG), "MODEL.WEIGHTS": ""}
    assert "_BASE_" not in yaml.safe_load((tmp_path / "tiny" / "config.yaml").read_text())


def test_the_same_file_gives_the_same_bytes_for_everybody(published, tmp_path):
    (tmp_path / "a").mkdir()
    one = write_import_package(TINY, published, tmp_path / "a").read_bytes()
    umask = os.umask(0o077)
    try:
        assert write_import_package(TINY, published, tmp_path / "b").read_bytes() == one
    finally:
        os.umask(umask)
    with tarfile.open(tmp_path / "b" / "tiny.tar") as archive:
        assert {(member.mode, member.uid, member.uname) for member in archive} == {(0o644, 0, "")}


@pytest.mark.parametrize("name", ["imagenet-R-50", "COCO-Detection/faster_rcnn_R_50_FPN_3x"])
def test_what_is_no_retinanet_is_refused_with_the_other_way(published, tmp_path, name):
    weights = PUBLISHED.get(name, PublishedWeights(name, f"detectron2://{name}/1/model_final_000000.pkl"))
    with pytest.raises(ConfigError, match=f"^{name}: is not a RetinaNet with classes.*put the file into /weights"):
        write_import_package(weights, published, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_imported_detector_infers_and_is_fine_tuned(published, tmp_path, ymir_tree: MakeTree):
    package = write_import_package(TINY, published, tmp_path)

    infer = ymir_tree("infer", folder="infer", class_names=COCO_CLASSES)
    paths, _ = import_model(package, infer.in_dir / "models")
    infer.edit("config.yaml", model_params_path=paths)
    outcome = run_steps(infer.env_file)
    assert outcome.status == 0, outcome.output
    read_infer_result(infer.out_dir / "infer-result.json", infer.candidates(), COCO_CLASSES)
    assert json.loads((infer.out_dir / "infer-result.json").read_text())["detection"]

    train = ymir_tree("train", folder="train")
    paths, _ = import_model(package, train.in_dir / "models")
    train.edit("config.yaml", pretrained_model_params=paths)
    outcome = run_steps(train.env_file)
    assert outcome.status == 0, outcome.output
    assert "was trained for person, bicycle" in outcome.output
    assert read_training_result(train.out_dir / "models").stages


# --- a model that was trained here


@pytest.mark.parametrize("release", IMPORTING)
def test_the_best_stage_of_a_run_becomes_a_model_of_another_site(trained: Trained, tmp_path: Path, release: str):
    best = read_training_result(trained.models_dir).best
    package = write_model_package([pack_best_stage(trained.models_dir)], tmp_path / "own.tar")
    paths, info = import_model(package, tmp_path / "models", release)
    names = [f"{best.name}.pth", "config.yaml", "training-statistics.json"]
    assert paths == [f"/in/models/{best.name}/{name}" for name in names]
    for name, file in best.files.items():
        assert (tmp_path / "models" / best.name / name).read_bytes() == file.read_bytes()
    assert info["executor_config"]["class_names"] == list(CLASS_NAMES)
    assert info["executor_config"]["max_iter"] == 6, "the settings of the training, as in the platform's own packages"
    entry = info["stages"][best.name]
    assert (entry["mAP"], entry["timestamp"]) == (best.m_ap, best.timestamp)
    assert {key: entry[key] for key in ("mAR", "boxAP", "tp", "fp", "fn")} == best.metrics


def test_all_stages_with_the_best_one_recommended(trained: Trained, tmp_path: Path):
    stages = pack_stages(trained.models_dir / "result.yaml")
    package = write_model_package(stages, tmp_path / "own.tar")
    _, info = import_model(package, tmp_path / "models")
    packed = read_training_result(trained.models_dir)
    assert info["best_stage_name"] == packed.best_stage_name == next(iter(info["stages"]))
    assert set(info["stages"]) == set(packed.stages)
    with tarfile.open(package) as archive:
        names = [f"{stage.name}/{name}" for stage in stages for name, _ in stage.files]
        assert archive.getnames() == ["ymir-info.yaml", *names]


def test_the_same_run_gives_the_same_bytes(trained: Trained, tmp_path: Path):
    stages = pack_stages(trained.models_dir / "result.yaml")
    one, two = (write_model_package(stages, tmp_path / name).read_bytes() for name in ("a.tar", "b.tar"))
    assert one == two


def test_stages_that_would_make_it_too_large_are_left_out_and_named(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    stages = pack_stages(trained.models_dir / "result.yaml")
    assert len(stages) == 3
    all_bytes = write_model_package(stages, tmp_path / "all.tar").stat().st_size
    monkeypatch.setattr(model_import, "IMPORT_LIMIT_BYTES", all_bytes)
    with caplog.at_level("INFO"):
        package = write_model_package(stages, tmp_path / "own.tar")
    assert package.stat().st_size < all_bytes
    assert list(import_model(package, tmp_path / "models")[1]["stages"]) == [stage.name for stage in stages[:2]]
    assert caplog.messages == [
        f"{package}: without {stages[2].name}, since YMIR imports a file of less than 1,024 MB"
    ]  # fmt: skip


def test_one_stage_that_is_too_large_is_refused_before_anything_is_written(tmp_path: Path):
    (tmp_path / "huge.pth").touch()
    os.truncate(str(tmp_path / "huge.pth"), 1_100_000_000)  # sparse
    stage = PackedStage("huge", (("huge.pth", tmp_path / "huge.pth"),), 0.5, 1, {"class_names": ["cat"]}, tmp_path)
    with pytest.raises(ConfigError, match="files of huge have 1100 MB, and YMIR imports a file of less than 1,024 MB"):
        write_model_package([stage], tmp_path / "own.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["huge.pth"]


def test_weights_alone_have_the_class_names_of_their_checkpoint_or_those_given(trained: Trained, tmp_path: Path):
    checkpoint = read_checkpoint(trained.models_dir / f"{read_training_result(trained.models_dir).best_stage_name}.pth")
    write_checkpoint(tmp_path / "named.pth", checkpoint.state_dict, {"class_names": ["cat", "dog"]})
    _, info = import_model(write_model_package([pack_best_stage(tmp_path / "named.pth")], tmp_path / "a.tar"), tmp_path)
    assert info["executor_config"] == {"class_names": ["cat", "dog"]}
    assert info["stages"]["default_best_stage"]["timestamp"] == int((tmp_path / "named.pth").stat().st_mtime)
    write_checkpoint(tmp_path / "bare.pth", checkpoint.state_dict, {})
    stage = pack_best_stage(tmp_path / "bare.pth")
    with pytest.raises(ConfigError, match=r"bare\.pth: tells no class names; give --classes a,b,c"):
        write_model_package([stage], tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    _, info = import_model(write_model_package([stage], tmp_path / "b.tar", ["owl", "cat"]), tmp_path / "b")
    assert info["executor_config"] == {"class_names": ["owl", "cat"]}


@pytest.mark.slow
def test_a_run_elsewhere_mines_infers_and_is_fine_tuned_from_the_package(
    trained: Trained, tmp_path: Path, ymir_tree: MakeTree
):
    package = write_model_package([pack_best_stage(trained.models_dir)], tmp_path / "own.tar")
    round_0 = ymir_tree("mining+infer", folder="round 0")
    paths, _ = import_model(package, round_0.in_dir / "models")
    round_0.edit("config.yaml", model_params_path=paths)
    outcome = run_steps(round_0.env_file)
    assert outcome.status == 0, outcome.output
    assert len(read_mining_result(round_0.out_dir / "result.tsv", round_0.candidates())) == len(round_0.candidates())
    read_infer_result(round_0.out_dir / "infer-result.json", round_0.candidates(), CLASS_NAMES)

    train = ymir_tree("train", folder="train", config={"learning_rate": 1e-9, "max_iter": 1, "eval_period": 1})
    paths, _ = import_model(package, train.in_dir / "models")
    train.edit("config.yaml", pretrained_model_params=paths)
    outcome = run_steps(train.env_file)
    assert outcome.status == 0, outcome.output
    best = read_training_result(trained.models_dir).best
    before = read_checkpoint(best.files[f"{best.name}.pth"]).state_dict
    after = read_checkpoint(train.out_dir / "models" / "iter_0000001.pth").state_dict
    # one tiny step: whatever the optimizer moves is where it was, the statistics of BN are not
    moved = {name for name, tensor in before.items() if not torch.allclose(after[name], tensor, atol=1e-4)}
    assert {name for name in moved if name.endswith((".weight", ".bias"))} == set()
