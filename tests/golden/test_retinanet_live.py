"""The real detectron2 next to this project's RetinaNet: every number in full, and each reads what the other writes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from tests.golden import torch_engine_side
from tests.golden.agreement import assert_same_detections, assert_same_losses, assert_same_norms
from tests.golden.retinanet_cases import (
    BASE,
    CASES,
    FILE_THRESHOLDS,
    NUM_CLASSES,
    ROOT,
    SCORE_THRESHOLDS,
    SOLVER_CASES,
    Case,
    as_arrays,
    images,
    single_thread,
)
from ymir_detectron2.config.defaults import ADDED_AFTER_0_6, DEFAULTS, is_never_read
from ymir_detectron2.config.engine_config import flatten
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.engines.zoo import zoo_folders
from ymir_detectron2.retinanet.checkpoint import load_weights, read_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.retinanet.weight_names import caffe2_name

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
    from detectron2.config import get_cfg
    from detectron2.engine import DefaultPredictor
    from detectron2.modeling import build_model

    from tests.golden import detectron2_side

CONFIGS = ("retinanet_R_50_FPN_1x", "retinanet_R_50_FPN_3x", "retinanet_R_101_FPN_3x")
PHOTOS = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.name)
    return torch_engine_side.measure(request.param, folder), detectron2_side.measure(request.param)


def test_input_and_anchors_are_identical(pair):
    ours, theirs = pair
    assert np.array_equal(ours.batch, theirs.batch)
    assert all(np.array_equal(a, b) for a, b in zip(ours.anchors, theirs.anchors))


def test_logits_and_deltas_agree_within_1e_4(pair):
    ours, theirs = pair
    for a, b in zip([*ours.logits, *ours.deltas], [*theirs.logits, *theirs.deltas]):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_detections_agree(pair):
    ours, theirs = pair
    for threshold in SCORE_THRESHOLDS:
        assert_same_detections(ours.detections[threshold], theirs.detections[threshold])
    for threshold in FILE_THRESHOLDS:
        assert_same_detections(ours.detections_alone[threshold], theirs.detections_alone[threshold])


def test_losses_gradients_and_ten_steps_agree(pair):
    ours, theirs = pair[0].trained, pair[1].trained
    assert ours.losses[0] == pytest.approx(theirs.losses[0], rel=1e-5)
    assert_same_norms(ours.gradient_norms, theirs.gradient_norms, rel=1e-4)
    assert_same_losses(ours.losses, theirs.losses, rel=1e-3)
    expected = without_counters(theirs.state_norms)
    assert without_counters(ours.state_norms) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert ours.loss_normalizer == theirs.loss_normalizer


@pytest.mark.parametrize("case", SOLVER_CASES, ids=lambda case: case.name)
def test_the_solver_takes_the_same_steps(case, tmp_path):
    ours, theirs = torch_engine_side.measure_training(case, tmp_path), detectron2_side.measure_training(case)
    assert ours.learning_rates == pytest.approx(theirs.learning_rates, rel=1e-9)
    assert_same_losses(ours.losses, theirs.losses, rel=1e-5)
    assert_same_norms(ours.update_norms, theirs.update_norms, rel=1e-4)
    assert ours.loss_normalizer == theirs.loss_normalizer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_seed_gives_both_the_same_initial_weights(case):
    torch.manual_seed(7)
    theirs = without_counters(build_model(detectron2_side.config_of(case)).state_dict())
    torch.manual_seed(7)
    ours = without_counters(build_retinanet(torch_engine_side.config_of(case), NUM_CLASSES).state_dict())
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs are not next to the checkout")
@pytest.mark.parametrize("short_edge", [160, 224])
@single_thread()
def test_photographs_give_the_same_detections(short_edge, tmp_path):
    cv2 = pytest.importorskip("cv2")
    case = Case("photos", {"MODEL.RETINANET.NUM_CLASSES": NUM_CLASSES, "INPUT.MIN_SIZE_TEST": short_edge})
    files = [*sorted((PHOTOS / "photos").rglob("*.jpg"))[:2], *sorted((PHOTOS / "bccd").rglob("*.jpg"))[:2]]
    originals = [cv2.imread(str(path)) for path in files]
    ours, theirs = torch_engine_side.build(case), detectron2_side.build(case).eval()
    paths = torch_engine_side.write_images(tmp_path, originals, ours.cfg)  # JPEG decoders may differ by a grey level
    for threshold in SCORE_THRESHOLDS:
        detector = torch_engine_side.load_detector(ours, tmp_path, threshold)
        expected = detectron2_side.detect_alone(theirs, detectron2_side.config_of(case), originals, threshold)
        assert_same_detections(torch_engine_side.detect_files(detector, paths), expected)


def test_every_key_of_detectron2_is_known_with_its_default():
    theirs = dict(flatten(get_cfg()))
    for key, value in DEFAULTS.items():
        if key in theirs:
            assert as_tuple(theirs[key]) == value, key
            assert type(as_tuple(theirs[key])) is type(value), key
        else:
            assert key in ADDED_AFTER_0_6, key
    assert [key for key in theirs if key not in DEFAULTS and not is_never_read(key)] == []


@pytest.mark.parametrize("name", CONFIGS)
def test_our_configs_hold_the_values_of_detectron2(name):
    if not zoo_folders():
        pytest.skip("this detectron2 was installed without its configs")
    theirs, ours = get_cfg(), get_cfg()
    theirs.merge_from_file(str(zoo_folders()[0] / "COCO-Detection" / f"{name}.yaml"))
    ours.merge_from_file(str(BASE.with_name(f"{name}.yaml")))
    assert ours == theirs
    loaded = load_config(BASE.with_name(f"{name}.yaml"))
    flat = dict(flatten(theirs))
    assert all(as_tuple(flat[key]) == value for key, value in loaded.items() if key in flat)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_saved_config_means_the_same_to_both(case, tmp_path):
    ours, theirs = tmp_path / "ours.yaml", tmp_path / "theirs.yaml"
    cfg = torch_engine_side.config_of(case)
    ours.write_text(cfg.to_yaml(), encoding="utf-8")
    read = get_cfg()
    read.merge_from_file(str(ours))
    theirs.write_text(read.dump(), encoding="utf-8")
    assert dict(load_config(theirs)) == dict(cfg) == dict(load_config(ours))


@single_thread()
def test_what_we_write_loads_in_the_default_predictor_unchanged(tmp_path):
    case = CASES[0]
    detector = torch_engine_side.load_detector(torch_engine_side.build(case), tmp_path, 0.05)
    paths = torch_engine_side.write_images(tmp_path, images()[:1], torch_engine_side.config_of(case))
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "config.yaml"))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", str(tmp_path / "model.pth")
    theirs = DefaultPredictor(cfg)(images()[0])["instances"]
    expected = as_arrays(theirs.pred_boxes.tensor, theirs.scores, theirs.pred_classes)
    assert_same_detections(torch_engine_side.detect_files(detector, paths), [expected])


@pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.name)
def test_what_detectron2_writes_loads_here(case, tmp_path):
    model = detectron2_side.build(case)
    DetectionCheckpointer(model, str(tmp_path)).save("model_final", iteration=9, best=np.float64(0.5))
    checkpoint = read_checkpoint(tmp_path / "model_final.pth")
    ours = build_retinanet(torch_engine_side.config_of(case), NUM_CLASSES)
    report = load_weights(ours, checkpoint.state_dict)
    assert not report.missing
    assert not report.unexpected
    assert checkpoint.metadata["iteration"] == 9
    expected, loaded = without_counters(model.state_dict()), without_counters(ours.state_dict())
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.items())


def test_caffe2_names_become_what_detectron2_makes_of_them():
    norms = ["s", "b", "beta", "gamma", "running_mean", "running_var", "rm", "riv"]
    blobs = ["conv1_w", "conv1_b", "fpn_inner_res5_2_sum_w", "fpn_inner_res4_22_sum_lateral_b", "fpn_res3_3_sum_w"]
    blobs += [f"res{s}_{b}_branch{p}_w" for s, b, p in [(2, 0, "1"), (4, 22, "2a"), (5, 2, "2b"), (3, 1, "2c")]]
    single = [*blobs, "conv1_gn_s", "conv1_gn_b", "res2_0_branch2a_gn_s", "res2_0_branch2a_gn_b"]
    single += [f"res_conv1_bn_{part}" for part in norms] + [f"res3_0_branch2b_bn_{part}" for part in norms]
    for blob in single:
        renamed, _ = convert_c2_detectron_names({blob: torch.zeros(1)})
        assert caffe2_name(blob) == next(iter(renamed)), blob


def test_an_imagenet_file_of_caffe2_gives_both_the_same_weights(tmp_path):
    import pickle

    case = CASES[0]
    blobs = {"conv1_w": np.full((64, 3, 7, 7), 0.5, np.float32), "fc1000_w": np.zeros((1000, 2048), np.float32)}
    blobs.update({f"res_conv1_bn_{part}": np.full(64, 1.5, np.float32) for part in ("s", "b")})
    blobs["res2_0_branch2a_w"] = np.full((64, 64, 1, 1), 0.25, np.float32)
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(blobs, protocol=2))
    torch.manual_seed(1)
    theirs = build_model(detectron2_side.config_of(case))
    DetectionCheckpointer(theirs).load(str(path))
    torch.manual_seed(1)
    ours = build_retinanet(torch_engine_side.config_of(case), NUM_CLASSES)
    load_weights(ours, read_checkpoint(path).state_dict)
    expected = theirs.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())


def test_defaults_survive_a_round_trip_through_detectron2(tmp_path):
    path = tmp_path / "dump.yaml"
    path.write_text(get_cfg().dump(), encoding="utf-8")
    assert dict(load_config(path)) == dict(RetinaNetConfig.default())


def without_counters(state):
    """Leave out the step counters of frozen layers, which detectron2 0.6 does not keep."""
    return {name: value for name, value in state.items() if not name.endswith(".num_batches_tracked")}


def as_tuple(value):
    return tuple(as_tuple(item) for item in value) if isinstance(value, (list, tuple)) else value
