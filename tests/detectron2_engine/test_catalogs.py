"""What other programs that use detectron2 find: packed models, class names, and the sets of a task."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import ymir_detectron2
from tests.conftest import CLASS_NAMES, MakeTree, Trained
from tests.platform_reader import read_training_result
from tests.running import PROJECT_DIR
from ymir_detectron2.config import retinanet_config
from ymir_detectron2.config.engine_config import as_tuples, flatten
from ymir_detectron2.config.packed_config import packed_yaml
from ymir_detectron2.engines.zoo import zoo_folders
from ymir_detectron2.errors import ConfigError, DatasetError, ModelError
from ymir_detectron2.retinanet.checkpoint import read_content

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.config import CfgNode, get_cfg
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.engine import DefaultPredictor
    from detectron2.structures import BoxMode

    from ymir_detectron2.engines.detectron2_engine import configuration

MODELS = ("trained", "trained_by_detectron2")
SETS = ("ymir_train", "ymir_val")


@pytest.fixture(autouse=True)
def empty_catalogs() -> None:
    for name in (*SETS, "other_train", "other_val"):
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog.list():
                catalog.remove(name)


@pytest.fixture(params=MODELS)
def stage_folders(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """The stages of a training of each engine, unpacked from what the platform packs."""
    trained: Trained = request.getfixturevalue(request.param)
    for stage in read_training_result(trained.models_dir).stages.values():
        folder = tmp_path / stage.name
        folder.mkdir()
        for name, path in stage.files.items():
            shutil.copyfile(path, folder / name)
    return sorted(tmp_path.iterdir())


def test_every_stage_opens_in_its_folder_without_a_change(stage_folders: list[Path], monkeypatch: pytest.MonkeyPatch):
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    assert len(stage_folders) == 3
    for folder in stage_folders:
        monkeypatch.chdir(folder)
        cfg = get_cfg()
        cfg.merge_from_file("config.yaml")
        predictor = DefaultPredictor(cfg)
        assert set(predictor(image)) == {"instances"}
        expected = read_content(folder / f"{folder.name}.pth")["model"]
        state_dict = predictor.model.state_dict()
        assert all(torch.equal(state_dict[name], value) for name, value in expected.items() if name in state_dict)
        # the two lines of docs/detectron2.md
        class_names = torch.load(cfg.MODEL.WEIGHTS, map_location="cpu")["class_names"]
        MetadataCatalog.get(cfg.DATASETS.TEST[0]).thing_classes = class_names
        assert predictor.metadata.thing_classes == list(CLASS_NAMES)


def test_a_model_opens_by_path_from_anywhere(stage_folders: list[Path]):
    for folder, path in zip(stage_folders, (stage_folders[0], os.fspath(stage_folders[1]), stage_folders[2])):
        cfg = ymir_detectron2.model_cfg(path)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        assert str(folder / f"{folder.name}.pth") == cfg.MODEL.WEIGHTS
        assert device == cfg.MODEL.DEVICE
        assert DefaultPredictor(cfg).metadata.thing_classes == list(CLASS_NAMES)
    again = ymir_detectron2.model_cfg(stage_folders[0] / "config.yaml")
    again.MODEL.DEVICE = "cpu"  # not frozen: a user may change it
    assert isinstance(again, CfgNode)


def test_what_is_no_packed_model_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(ModelError, match=r"config\.yaml: no such file; give the folder of a packed model"):
        ymir_detectron2.model_cfg(tmp_path)
    (tmp_path / "config.yaml").write_text("MODEL: {WEIGHTS: model_final.pth}\n")
    with pytest.raises(ModelError, match=r"model_final\.pth: no such file"):
        ymir_detectron2.model_cfg(tmp_path)
    torch.save({"model": {"x": torch.ones(1)}}, tmp_path / "model_final.pth")
    with pytest.raises(ModelError, match="holds no class_names, so it is no model of this project"):
        ymir_detectron2.model_cfg(tmp_path)
    (tmp_path / "config.yaml").write_text("MODEL: {WEIGHTS: !!python/object/apply:os.getcwd []}\n")
    with pytest.raises(ConfigError, match="tags can run code and are refused"):
        ymir_detectron2.model_cfg(tmp_path)


def test_a_model_of_other_classes_than_the_registered_set_is_refused(trained: Trained, ymir_tree: MakeTree):
    ymir_detectron2.register(ymir_tree(class_names=["sky", "leaf", "brick"]).root)
    with pytest.raises(ModelError, match="about brick, leaf, sky, in this order, but the set ymir_val about sky, leaf"):
        ymir_detectron2.model_cfg(trained.models_dir)


def test_the_sets_of_a_task_are_registered_with_class_names_and_evaluator(ymir_tree: MakeTree):
    tree = ymir_tree()
    ymir_detectron2.register(str(tree.root))
    counts = {}
    for name in SETS:
        metadata = MetadataCatalog.get(name)
        assert metadata.thing_classes == list(CLASS_NAMES)
        assert metadata.evaluator_type == "coco"
        records = DatasetCatalog.get(name)
        counts[name] = (len(records), sum(len(record["annotations"]) for record in records))
    assert counts == {"ymir_train": (6, 7), "ymir_val": (3, 4)}
    box = next(record for record in DatasetCatalog.get("ymir_train") if record["height"] == 80)["annotations"][0]
    # 20, 20 to 50, 60 with both corners inclusive
    assert (box["bbox"], box["bbox_mode"], box["category_id"]) == ([20, 20, 31, 41], BoxMode.XYWH_ABS, 0)
    assert not (tree.out_dir / "dataset-report.json").exists(), "that of a training is not touched"


def test_several_tasks_and_the_same_one_again(ymir_tree: MakeTree):
    first, second = ymir_tree(folder="first"), ymir_tree(folder="second", class_names=["sky"])
    ymir_detectron2.register(first.in_dir)
    ymir_detectron2.register(first.env_file)
    ymir_detectron2.register(second.root, "other")
    assert [MetadataCatalog.get(f"{prefix}_val").thing_classes for prefix in ("ymir", "other")] == [
        list(CLASS_NAMES), ["sky"],
    ]  # fmt: skip
    assert len(DatasetCatalog.get("other_train")) == 6


def test_what_has_no_sets_is_refused_in_one_sentence(ymir_tree: MakeTree, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no task folder: it has neither in/env\.yaml nor env\.yaml"):
        ymir_detectron2.register(tmp_path)
    with pytest.raises(DatasetError, match=r"env\.yaml names no training index file"):
        ymir_detectron2.register(ymir_tree("infer").root)


TRAIN_NET = """
import sys
import ymir_detectron2
ymir_detectron2.register(sys.argv[1])
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import COCOEvaluator

class Trainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, name):
        assert MetadataCatalog.get(name).evaluator_type == "coco"
        return COCOEvaluator(name, output_dir=cfg.OUTPUT_DIR, use_fast_impl=False)

cfg = get_cfg()
cfg.merge_from_file("config.yaml")
cfg.merge_from_list(sys.argv[2:])
cfg.freeze()
trainer = Trainer(cfg)
trainer.resume_or_load(resume=False)
trainer.train()
print(trainer.iter, "steps")
"""
"""What detectron2's tools/train_net.py does, behind the two lines of docs/detectron2.md."""


def test_detectron2_trains_a_packed_model_on_registered_sets(stage_folders: list[Path], ymir_tree: MakeTree):
    folder = stage_folders[-1]
    search = os.pathsep.join([str(PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])])
    options = ["SOLVER.MAX_ITER", "3", "DATALOADER.NUM_WORKERS", "0"]
    command = [sys.executable, "-W", "ignore", "-c", TRAIN_NET, str(ymir_tree().root), *options]
    environment = {**os.environ, "PYTHONPATH": search}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "3 steps"
    final = read_content(folder / "output" / "model_final.pth")["model"]
    start = read_content(folder / f"{folder.name}.pth")["model"]
    name = "head.cls_score.weight"
    # fine-tuned: near where it started, which random weights would not be
    assert 0 < float((final[name] - start[name]).norm()) < 0.2 * float(start[name].norm())


RETINANETS = ("retinanet_R_50_FPN_1x", "retinanet_R_50_FPN_3x", "retinanet_R_101_FPN_3x")


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        *(pytest.param(name, retinanet_config, id=f"{name}-torch") for name in RETINANETS),
        *(
            pytest.param(name, configuration, id=f"{name}-detectron2")
            for name in (*RETINANETS, "faster_rcnn_R_50_FPN_1x")
        ),
    ],
)
def test_detectron2_merges_the_packed_config_of_a_zoo_network(name: str, engine: Any, tmp_path: Path):
    if not zoo_folders():
        pytest.skip("this detectron2 was installed without its configs")
    theirs = get_cfg()
    theirs.merge_from_file(str(zoo_folders()[0] / "COCO-Detection" / f"{name}.yaml"))
    # as plain data: its own files have tags that run code, which only the detectron2 engine follows
    (tmp_path / "zoo.yaml").write_text(yaml.safe_dump(plain(theirs)))
    packed = packed_yaml(engine.load_config(tmp_path / "zoo.yaml"), "iter_0000120.pth")
    assert "!!" not in packed
    (tmp_path / "config.yaml").write_text(packed)
    ours = get_cfg()
    ours.merge_from_file(str(tmp_path / "config.yaml"), allow_unsafe=False)
    theirs.merge_from_list(
        [
            "MODEL.WEIGHTS", "iter_0000120.pth", "MODEL.DEVICE", "cpu", "OUTPUT_DIR", "./output",
            "DATASETS.TRAIN", ("ymir_train",), "DATASETS.TEST", ("ymir_val",),
        ]
    )  # fmt: skip
    assert {key: as_tuples(value) for key, value in flatten(ours)} == {
        key: as_tuples(value) for key, value in flatten(theirs)
    }
    # yacs keeps the type of the default on the outside
    assert {key: type(value) for key, value in flatten(ours)} == {key: type(value) for key, value in flatten(theirs)}


def plain(node: Any) -> Any:
    """Nested dictionaries and lists, which YAML has."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(item) for item in node] if isinstance(node, (list, tuple)) else node
