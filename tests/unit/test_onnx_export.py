"""An ONNX file that onnxruntime runs finds the boxes that torch finds, and what differs is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tests.training_parts import CLASSES, build, config
from ymir_detectron2.export.onnx_check import Agreement, Found, _session, compare, count_unmatched, edges_of, to_input
from ymir_detectron2.export.onnx_model import TESTED_OPSET, OnnxRetinaNet, describe, write_onnx
from ymir_detectron2.retinanet.decoding import DecodingRules
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet

INPUT_HW = (72, 104)  # no multiples of the pyramid's step
RULES = DecodingRules(0.05, 0.5, 1000, 100)


def talkative(**values: Any) -> RetinaNet:
    """A network whose boxes are many, all over the picture and under both names."""
    model = build(config(**values)).eval()
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.3)
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.05)
    torch.nn.init.constant_(model.head.cls_score.bias, -2.0)
    return model


def exported(folder: Path, model: RetinaNet, opset: int = 0) -> Path:
    file = folder / "model.onnx"
    metadata = describe(CLASSES, INPUT_HW, RULES, edges_of(model))
    write_onnx(file, OnnxRetinaNet(model, INPUT_HW, RULES), INPUT_HW, opset, metadata)
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wide, upright, small, and larger than the input."""
    generator, folder = np.random.default_rng(1), tmp_path_factory.mktemp("pictures")
    paths = []
    for number, hw in enumerate([(64, 96), (90, 60), (20, 30), (300, 400)]):
        paths.append(folder / f"{number}.png")
        Image.fromarray(generator.integers(0, 255, (*hw, 3)).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize(
    ("values", "opset"),
    [
        pytest.param({}, 0, id="group normalisation, the tested opset"),
        pytest.param({}, 11, id="the oldest opset"),
        pytest.param({"MODEL__RESNETS__NORM": "BN", "INPUT__FORMAT": "RGB"}, 0, id="folded normalisation, RGB"),
    ],
)
def test_onnxruntime_finds_what_torch_finds(tmp_path: Path, pictures: list[Path], values: dict, opset: int):
    model = talkative(**values)
    agreement = compare(exported(tmp_path, model, opset), model, RULES, INPUT_HW, pictures)
    assert agreement.unmatched == 0
    assert agreement.pictures == 4
    assert agreement.boxes > 100


def test_another_network_is_noticed(tmp_path: Path, pictures: list[Path]):
    model = talkative()
    file = exported(tmp_path, model)
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.2)
    assert compare(file, model, RULES, INPUT_HW, pictures).unmatched > 10


def test_a_picture_that_cannot_be_read_is_no_obstacle(tmp_path: Path):
    model = talkative()
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    file = exported(tmp_path, model)
    assert compare(file, model, RULES, INPUT_HW, [tmp_path / "torn.png"]) == Agreement(0, 0, 0)


def test_the_file_says_what_goes_in_and_what_the_numbers_mean(tmp_path: Path):
    model = onnx.load(str(exported(tmp_path, talkative())))
    metadata = {item.key: item.value for item in model.metadata_props}
    assert json.loads(metadata["class_names"]) == list(CLASSES)
    assert json.loads(metadata["input_hw"]) == [72, 104]
    assert (metadata["min_size"], metadata["max_size"]) == ("64", "96")
    assert "its shorter side at 64 pixels, or its longer one at 96 where that is less" in metadata["input"]
    assert "uint8, BGR" in metadata["input"]
    assert [value.name for value in model.graph.input] == ["image", "image_hw"]
    assert [value.name for value in model.graph.output] == ["boxes", "scores", "classes"]
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [TESTED_OPSET]


@pytest.mark.parametrize("image_hw", [(1, 1), (30, 40), INPUT_HW])
def test_boxes_have_an_area_within_the_picture(tmp_path: Path, image_hw: tuple[int, int]):
    session = _session(exported(tmp_path, talkative()))
    canvas = np.full((1, *INPUT_HW, 3), 200, dtype=np.uint8)
    boxes, scores, classes = session.run(None, {"image": canvas, "image_hw": np.array(image_hw, dtype=np.int64)})
    assert len(boxes) == len(scores) == len(classes) > 0
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= image_hw[::-1]).all()
    assert (np.diff(scores) <= 0).all()


def test_what_lies_beside_the_picture_changes_nothing(tmp_path: Path):
    session, found = _session(exported(tmp_path, talkative())), []
    for value in (0, 255):
        canvas = np.full((1, *INPUT_HW, 3), value, dtype=np.uint8)
        canvas[0, :30, :40] = np.random.default_rng(0).integers(0, 255, (30, 40, 3))
        found.append(session.run(None, {"image": canvas, "image_hw": np.array([30, 40])}))
    for here, there in zip(*found):
        np.testing.assert_array_equal(here, there)


def test_a_network_that_finds_nothing_gives_empty_arrays(tmp_path: Path, pictures: list[Path]):
    model = talkative()
    torch.nn.init.constant_(model.head.cls_score.bias, -50.0)
    file = exported(tmp_path, model)
    canvas = np.zeros((1, *INPUT_HW, 3), dtype=np.uint8)
    boxes, scores, classes = _session(file).run(None, {"image": canvas, "image_hw": np.array(INPUT_HW)})
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))
    assert compare(file, model, RULES, INPUT_HW, pictures) == Agreement(4, 0, 0)


@pytest.mark.parametrize("num_classes", [1, 80])
def test_any_number_of_classes(tmp_path: Path, pictures: list[Path], num_classes: int):
    torch.manual_seed(0)
    model = build_retinanet(config(), num_classes).eval()
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.02)
    torch.nn.init.constant_(model.head.cls_score.bias, -2.0)
    file = exported(tmp_path, model)
    agreement = compare(file, model, RULES, INPUT_HW, pictures)
    assert agreement.unmatched == 0
    assert agreement.boxes > 20


def test_the_network_itself_stays_as_it_was(tmp_path: Path):
    model = talkative(MODEL__RESNETS__NORM="BN")
    names = list(model.state_dict())
    exported(tmp_path, model)
    assert list(model.state_dict()) == names


def found(*rows: tuple[tuple[float, float, float, float], float, int]) -> Found:
    boxes, scores, classes = zip(*rows) if rows else ((), (), ())
    return Found(np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(scores), np.array(classes))


BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param([], [], 0, id="nothing"),
        pytest.param([(BOX, 0.9, 0)], [(BOX, 0.9, 0)], 0, id="the same"),
        pytest.param([((10.4, 10, 20, 20), 0.9, 0)], [(BOX, 0.9, 0)], 0, id="0.4 pixels"),
        pytest.param([((10.6, 10, 20, 20), 0.9, 0)], [(BOX, 0.9, 0)], 2, id="0.6 pixels: neither has its like"),
        pytest.param([(BOX, 0.898, 0)], [(BOX, 0.9, 0)], 2, id="another score"),
        pytest.param([(BOX, 0.9, 1)], [(BOX, 0.9, 0)], 2, id="another class"),
        pytest.param([(BOX, 0.9, 0), (BOX, 0.9, 0)], [(BOX, 0.9, 0)], 1, id="each counts once"),
        pytest.param([], [(BOX, 0.0505, 0)], 0, id="at the threshold either may be right"),
        pytest.param([], [(BOX, 0.06, 0)], 1, id="above it not"),
        pytest.param([], [((96, 10, 96, 20), 0.9, 0)], 0, id="beside the picture"),
    ],
)
def test_what_has_no_counterpart(here: list, there: list, expected: int):
    assert count_unmatched(found(*here), found(*there), RULES) == expected


def test_the_weakest_of_a_full_list_may_be_another():
    rules = RULES._replace(max_detections=2)
    first, second, third = (BOX, 0.9, 0), ((30, 30, 40, 40), 0.5, 0), ((50, 50, 60, 60), 0.4995, 0)
    assert count_unmatched(found(first, third), found(first, second), rules) == 0
    assert count_unmatched(found(second, third), found(first, second), rules) == 1


@pytest.mark.parametrize(
    ("image_hw", "expected"),
    [
        pytest.param((64, 96), (64, 96), id="fits as it is"),
        pytest.param((32, 40), (64, 80), id="to the size of inference"),
        pytest.param((640, 480), (72, 54), id="an upright one shrinks until it fits"),
        pytest.param((100, 1000), (10, 96), id="a long one as in inference"),
    ],
)
def test_a_picture_lies_in_the_upper_left_corner(image_hw: tuple[int, int], expected: tuple[int, int]):
    canvas, hw = to_input(np.full((*image_hw, 3), 200, dtype=np.uint8), INPUT_HW, 64, 96)
    assert (canvas.shape, hw) == ((72, 104, 3), expected)
    assert (canvas[: hw[0], : hw[1]] == 200).all()
    assert canvas.sum() == 200 * 3 * hw[0] * hw[1]
