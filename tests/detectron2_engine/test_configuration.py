"""detectron2's configuration files: which are read, how far they are trusted, and which networks are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Mapping

import pytest

from tests.impossible_values import IN_COMBINATION, IN_PREDICTION, IN_TRAINING
from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2.config import retinanet_config as torch_config
from ymir_detectron2.engines.zoo import find_config_file, zoo_folders
from ymir_detectron2.errors import ConfigError

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from ymir_detectron2.engines.detectron2_engine.configuration import (
        Detectron2Config,
        check_supported,
        load_config,
    )

after_0_6 = pytest.mark.skipif(
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS" not in Detectron2Config.DEFAULTS, reason="this detectron2 has no such key"
)
ZOO = zoo_folders()
with_zoo = pytest.mark.skipif(not ZOO, reason="this detectron2 was installed without its configs")


def zoo_file(name: str) -> Path:
    return find_config_file(name, "detectron2")


@with_zoo
@pytest.mark.parametrize(
    "name",
    [
        "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
        "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
        "COCO-Detection/faster_rcnn_R_101_DC5_3x.yaml",
        "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x.yaml",
        "PascalVOC-Detection/faster_rcnn_R_50_FPN.yaml",
        "quick_schedules/retinanet_R_50_FPN_instant_test.yaml",
    ],
)
def test_box_detectors_of_the_zoo_are_read(name: str):
    check_supported(load_config(zoo_file(name)))


@with_zoo
def test_tags_are_followed_in_detectron2s_own_files_alone(tmp_path: Path):
    own = ZOO[0] / "Base-RetinaNet.yaml"
    assert "!!python" in own.read_text(encoding="utf-8")
    assert load_config(own)["MODEL.ANCHOR_GENERATOR.SIZES"][0][1] == pytest.approx(40.3175, abs=1e-3)
    copied = tmp_path / "copy.yaml"
    copied.write_text(own.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ConfigError, match="tags can run code"):
        load_config(copied)


@with_zoo
@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", "MODEL.MASK_ON is True"),
        ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml", "MODEL.KEYPOINT_ON is True"),
        ("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml", "MODEL.META_ARCHITECTURE is 'PanopticFPN'"),
        ("COCO-Detection/rpn_R_50_FPN_1x.yaml", "MODEL.META_ARCHITECTURE is 'ProposalNetwork'"),
        ("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", "MODEL.LOAD_PROPOSALS is True"),
        ("COCO-Detection/retinanet_R_50_FPN_1x.py", "a lazy config is Python code"),
    ],
)
def test_what_finds_more_or_less_than_boxes_is_refused_by_name(name: str, finding: str):
    with pytest.raises(ConfigError, match=finding):
        check_supported(load_config(zoo_file(name)))


@with_zoo
def test_a_network_with_masks_may_be_trained_without_them():
    cfg = load_config(zoo_file("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml"))
    check_supported(cfg.merged({"MODEL.MASK_ON": "False"}, "args_options"))


@with_zoo
def test_an_own_file_inherits_from_the_zoo_by_path_or_name(tmp_path: Path):
    own = tmp_path / "own.yaml"
    name = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
    inherited = ZOO[0] / name
    for base in (inherited, name, f"configs/{name}"):
        own.write_text(f"_BASE_: {base}\nSOLVER: {{BASE_LR: 0.005}}\n", encoding="utf-8")
        expected = load_config(inherited).merged({"SOLVER.BASE_LR": 0.005}, "test")
        assert dict(load_config(own)) == dict(expected)


@with_zoo
def test_a_base_of_the_zoo_is_trusted_and_its_child_is_not(tmp_path: Path):
    """Every file by where it lies: the formula of Base-RetinaNet.yaml is followed, a tag of its child is not."""
    victim = tmp_path / "created"
    own = tmp_path / "own.yaml"
    base = f"_BASE_: {ZOO[0] / 'COCO-Detection' / 'retinanet_R_50_FPN_1x.yaml'}\n"
    own.write_text(base, encoding="utf-8")
    assert load_config(own)["MODEL.ANCHOR_GENERATOR.SIZES"][0][1] == pytest.approx(40.3175, abs=1e-3)
    for text in (f"SEED: !!python/object/apply:os.system ['touch {victim}']\n", "SEED: !!python/tuple [1]\n"):
        own.write_text(base + text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"own\.yaml, line 2: .* tags can run code"):
            load_config(own)
    assert not victim.exists()


@with_zoo
def test_a_link_counts_by_what_it_leads_to(tmp_path: Path):
    link = tmp_path / "link.yaml"
    link.symlink_to(ZOO[0] / "Base-RetinaNet.yaml")
    assert load_config(link)["MODEL.META_ARCHITECTURE"] == "RetinaNet"


@pytest.mark.parametrize(("key", "value"), IN_PREDICTION.values(), ids=IN_PREDICTION)
def test_impossible_values_of_a_network_are_named(key: str, value: Any):
    cfg = load_config(TINY_CONFIG).merged({key: value}, "test")
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_supported(cfg)


@pytest.mark.parametrize(("key", "value"), IN_TRAINING.values(), ids=IN_TRAINING)
def test_impossible_values_of_a_training_are_named(key: str, value: Any):
    cfg = load_config(TINY_CONFIG).merged({key: value}, "test")
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_supported(cfg, training=True)


@pytest.mark.parametrize(("key", "values"), IN_COMBINATION.values(), ids=IN_COMBINATION)
def test_values_that_contradict_each_other_are_named(key: str, values: Mapping[str, Any]):
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_supported(load_config(TINY_CONFIG).merged(values, "test"), training=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
        ("MODEL.ROI_HEADS.NAME", "RROIHeads"),
        ("MODEL.RPN.BBOX_REG_LOSS_TYPE", "l2"),
        ("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "l2"),
        pytest.param("MODEL.ROI_BOX_HEAD.USE_FED_LOSS", True, marks=after_0_6),
        ("MODEL.RPN.NMS_THRESH", 1.5),
        ("MODEL.RPN.IOU_LABELS", [0, 1]),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.0]),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.5),
        ("MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", (10.0, 10.0, 5.0)),
    ],
)
def test_impossible_values_of_an_rcnn_are_named(key: str, value: Any):
    cfg = Detectron2Config.default()
    check_supported(cfg, training=True)
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_supported(cfg.merged({key: value}, "test"))


def test_an_rcnn_may_keep_all_of_its_detections():
    check_supported(Detectron2Config.default().merged({"TEST.DETECTIONS_PER_IMAGE": -1}, "test"), training=True)


def test_keys_that_this_project_reads_itself_work_with_every_release():
    """detectron2 0.6 knows none of these; `node` leaves them out there."""
    values = {
        "SOLVER.BASE_LR_END": 0.001, "SOLVER.NUM_DECAYS": 2, "SOLVER.RESCALE_INTERVAL": True,
        "FLOAT32_PRECISION": "high",
    }  # fmt: skip
    cfg = load_config(TINY_CONFIG).merged(values, "test")
    assert {key: cfg[key] for key in values} == values
    node = cfg.node()
    assert node.SOLVER.get("NUM_DECAYS", 2) == 2


def test_published_results_of_other_data_are_dropped():
    cfg = Detectron2Config.default().merged({"TEST.EXPECTED_RESULTS": [["bbox", "AP", 38.5, 0.2]]}, "test")
    assert dict(cfg) == dict(Detectron2Config.default())


def test_our_own_files_come_first_and_are_found_without_their_folder():
    name = "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    assert zoo_file(name) == zoo_file(f"configs/{name}") == PROJECT_DIR / "configs" / name


def test_a_number_may_stand_for_a_float_and_text_is_decoded():
    cfg = Detectron2Config.default().merged({"SOLVER.BASE_LR": "1", "SOLVER.STEPS": "(3, 5)"}, "here")
    assert (cfg["SOLVER.BASE_LR"], cfg["SOLVER.STEPS"]) == (1.0, (3, 5))
    assert cfg.node().SOLVER.STEPS == (3, 5)


def test_sequences_are_what_detectron2_expects():
    node = load_config(TINY_CONFIG).node()
    assert node.MODEL.RETINANET.IOU_THRESHOLDS == [0.4, 0.5]
    assert node.MODEL.ANCHOR_GENERATOR.SIZES == [[12], [24], [48], [96], [192]]
    assert node.is_frozen()


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        ("SOLVER.GAMA", "1", "here: unknown key 'SOLVER.GAMA'; did you mean 'SOLVER.GAMMA'"),
        ("MODEL.RPN", "1", "here: MODEL.RPN is a section"),
        ("SOLVER.MAX_ITER", "many", "here: SOLVER.MAX_ITER is 'many', expected a whole number"),
    ],
)
def test_what_makes_no_sense_is_named(key: str, value: str, finding: str):
    with pytest.raises(ConfigError, match=finding):
        Detectron2Config.default().merged({key: value}, "here")


def test_the_torch_engine_reads_what_is_saved_and_back(tmp_path: Path):
    saved = tmp_path / "config.yaml"
    ours = load_config(TINY_CONFIG)
    saved.write_text(ours.to_yaml(), encoding="utf-8")
    assert dict(load_config(saved)) == dict(ours)
    theirs = torch_config.load_config(saved)
    assert dict(theirs) == dict(torch_config.load_config(TINY_CONFIG))
    saved.write_text(theirs.to_yaml(), encoding="utf-8")
    assert dict(load_config(saved)) == dict(ours)
