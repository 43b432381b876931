"""Fine-tuning of models that this project did not train: saved by detectron2 itself, without ymir-info.yaml.

Whatever an untouched config_file says, a fine-tuning whose learning rate changes nothing gives back the same model.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import CLASS_NAMES, MakeTree, Trained, Tree
from tests.detectron2_engine.conftest import DETECTRON2
from tests.platform_reader import read_training_result
from tests.running import PROJECT_DIR, Outcome, run_steps
from ymir_detectron2.config.config_file import read_values

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

BASE_RETINANET = PROJECT_DIR / "configs" / "Base-RetinaNet.yaml"
SMALL = [
    "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.WIDTH_PER_GROUP",
    8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.FPN.OUT_CHANNELS", 16, "MODEL.BACKBONE.FREEZE_AT", 0,
    "MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53], "MODEL.PIXEL_STD", [58.0, 57.0, 57.0], "INPUT.FORMAT", "RGB",
    "INPUT.MIN_SIZE_TRAIN", (48, 64), "INPUT.MIN_SIZE_TRAIN_SAMPLING", "range", "INPUT.MAX_SIZE_TRAIN", 96,
    "INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 96, "INPUT.RANDOM_FLIP", "none",
    "TEST.DETECTIONS_PER_IMAGE", 15, "SOLVER.BASE_LR", 7.0, "SOLVER.MAX_ITER", 3,
]  # fmt: skip
NETWORKS = {
    "RetinaNet": ["MODEL.RETINANET.NUM_CLASSES", len(CLASS_NAMES), "MODEL.RETINANET.NUM_CONVS", 1],
    "GeneralizedRCNN": [
        "MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone",
        "MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"], "MODEL.FPN.IN_FEATURES",
        ["res2", "res3", "res4", "res5"], "MODEL.ANCHOR_GENERATOR.SIZES", [[8], [16], [32], [64], [128]],
        "MODEL.RPN.IN_FEATURES", ["p2", "p3", "p4", "p5", "p6"], "MODEL.ROI_HEADS.NAME", "StandardROIHeads",
        "MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3", "p4", "p5"], "MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead",
        "MODEL.ROI_BOX_HEAD.NUM_FC", 2, "MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7,
        "MODEL.ROI_HEADS.NUM_CLASSES", len(CLASS_NAMES),
    ],
}  # fmt: skip


def save_foreign_model(folder: Path, network: str) -> None:
    """Save what detectron2's trainer saves, model_final.pth and config.yaml, with keys of somebody's optimizer."""
    cfg = get_cfg()
    for key, value in read_values(BASE_RETINANET).items():
        cfg.merge_from_list([key, value])
    cfg.merge_from_list([*SMALL, *NETWORKS[network]])
    torch.manual_seed(0)
    DetectionCheckpointer(build_model(cfg), str(folder)).save("model_final", iteration=2)
    saved = yaml.safe_load(cfg.dump())
    saved["SOLVER"]["OPTIMIZER"] = "ADAMW"
    saved["FIND_UNUSED_PARAM"] = True
    (folder / "config.yaml").write_text(yaml.safe_dump(saved), encoding="utf-8")
    (folder / "last_checkpoint").unlink()


def foreign_task(ymir_tree: MakeTree, network: str, task: str, folder: str, **config: object) -> Tree:
    tree = ymir_tree(task, folder=folder, config={**DETECTRON2, **config})
    save_foreign_model(tree.in_dir / "models", network)
    key = "pretrained_model_params" if task == "train" else "model_params_path"
    tree.edit("config.yaml", **{key: ["/in/models/model_final.pth", "/in/models/config.yaml"]})
    return tree


def succeed(tree: Tree) -> Outcome:
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    return outcome


@pytest.mark.parametrize(
    ("network", "engine"),
    [("RetinaNet", "detectron2"), ("RetinaNet", "torch"), ("GeneralizedRCNN", "detectron2")],
)
def test_a_foreign_model_goes_on_with_its_own_network_and_images(ymir_tree: MakeTree, network: str, engine: str):
    form = {"engine": engine, "config_file": None, "max_iter": 1, "batch_size": 2, "learning_rate": 1e-12}
    second = foreign_task(ymir_tree, network, "train", "second", **form)
    outcome = succeed(second)
    files = read_training_result(outcome.out_dir / "models").best.files
    saved = yaml.safe_load(files["config.yaml"].read_text(encoding="utf-8"))
    assert saved["MODEL"]["META_ARCHITECTURE"] == network
    assert (saved["INPUT"]["FORMAT"], saved["INPUT"]["RANDOM_FLIP"]) == ("RGB", "none")
    assert (saved["INPUT"]["MIN_SIZE_TRAIN"], saved["INPUT"]["MIN_SIZE_TRAIN_SAMPLING"]) == ([48, 64], "range")
    assert (saved["SOLVER"]["MAX_ITER"], saved["SOLVER"]["BASE_LR"]) == (1, 1e-12)
    assert f"{second.in_dir}/models/config.yaml of the chosen model (VERSION, MODEL, INPUT" in outcome.output

    options = {"engine": engine, "conf_threshold": 0.005}
    old = succeed(foreign_task(ymir_tree, network, "mining+infer", "old", **options))
    tree = ymir_tree("mining+infer", folder="new", config=options)
    Trained(second, outcome).give_to(tree)
    new = succeed(tree)
    detection = old.json("infer-result.json")["detection"]
    assert max(len(entry["boxes"]) for entry in detection.values()) == 15
    assert new.json("infer-result.json")["detection"] == detection
    assert (new.out_dir / "result.tsv").read_text() == (old.out_dir / "result.tsv").read_text()


def test_the_torch_engine_names_the_engine_that_a_foreign_faster_rcnn_needs(ymir_tree: MakeTree):
    tree = foreign_task(ymir_tree, "GeneralizedRCNN", "train", "task", engine="torch", config_file=None, max_iter=1)
    run_steps(tree.env_file).require_failure(300001, "MODEL.META_ARCHITECTURE", "detectron2")
