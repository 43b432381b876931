"""The comparison of onnxruntime with torch: equal networks agree, and what differs is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_export import INPUT_HW, POSTPROCESS, detecting, exported
from tests.tiny_training import config
from ymir_detectron2.detections import Detections
from ymir_detectron2.export.onnx_check import Agreement, compare, count_unmatched, edges_of, to_input
from ymir_detectron2.retinanet.model import build_retinanet

RGB_WITH_BN = {"MODEL__RESNETS__NORM": "BN", "INPUT__FORMAT": "RGB"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wide, upright, small, and larger than the input."""
    generator, folder = np.random.default_rng(1), tmp_path_factory.mktemp("images")
    paths = []
    for number, hw in enumerate([(64, 96), (90, 60), (20, 30), (300, 400)]):
        paths.append(folder / f"{number}.png")
        Image.fromarray(generator.integers(0, 255, (*hw, 3)).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of `detecting()`."""
    return exported(tmp_path_factory.mktemp("exported"), detecting())


def test_onnxruntime_detects_what_torch_detects(file: Path, images: list[Path]):
    """Group normalisation, the tested opset."""
    agreement = compare(file, detecting(), POSTPROCESS, INPUT_HW, images)
    assert (agreement.images, agreement.unmatched) == (4, 0)
    assert agreement.boxes > 100


@pytest.mark.parametrize(
    ("values", "opset"),
    [pytest.param({}, 11, id="the oldest opset"), pytest.param(RGB_WITH_BN, 0, id="folded normalisation, RGB")],
)
def test_other_networks_and_opsets_agree_as_well(tmp_path: Path, images: list[Path], values: dict, opset: int):
    model = detecting(**values)
    agreement = compare(exported(tmp_path, model, opset), model, POSTPROCESS, INPUT_HW, images)
    assert (agreement.images, agreement.unmatched) == (4, 0)
    assert agreement.boxes > 100


@pytest.mark.parametrize("num_classes", [1, 80])
def test_any_number_of_classes(tmp_path: Path, images: list[Path], num_classes: int):
    torch.manual_seed(0)
    model = build_retinanet(config(), num_classes).eval()
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.02)
    torch.nn.init.constant_(model.head.cls_score.bias, -2.0)
    agreement = compare(exported(tmp_path, model), model, POSTPROCESS, INPUT_HW, images)
    assert agreement.unmatched == 0
    assert agreement.boxes > 20


def test_another_network_is_noticed(file: Path, images: list[Path]):
    model = detecting()
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.2)
    assert compare(file, model, POSTPROCESS, INPUT_HW, images).unmatched > 10


def test_an_image_that_cannot_be_read_is_left_out(file: Path, images: list[Path], tmp_path: Path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    assert compare(file, detecting(), POSTPROCESS, INPUT_HW, [tmp_path / "torn.png"]) == Agreement(0, 0, 0)
    assert compare(file, detecting(), POSTPROCESS, INPUT_HW, [tmp_path / "torn.png", images[0]]).images == 1


def test_edges_are_those_of_inference():
    assert edges_of(detecting(INPUT__MIN_SIZE_TEST=0, INPUT__MAX_SIZE_TEST=500)) == (0, 500)


def boxes(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    corners, scores, classes = zip(*rows) if rows else ((), (), ())
    return Detections(np.array(corners, dtype=np.float32).reshape(-1, 4), np.array(scores), np.array(classes))


BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param([], [], 0, id="nothing"),
        pytest.param([(BOX, 0.9, 0)], [(BOX, 0.9, 0)], 0, id="the same"),
        pytest.param([((10.4, 10, 20, 20), 0.9, 0)], [(BOX, 0.9, 0)], 0, id="0.4 pixels"),
        pytest.param([((10.6, 10, 20, 20), 0.9, 0)], [(BOX, 0.9, 0)], 2, id="0.6 pixels: neither has a counterpart"),
        pytest.param([(BOX, 0.898, 0)], [(BOX, 0.9, 0)], 2, id="another score"),
        pytest.param([(BOX, 0.9, 1)], [(BOX, 0.9, 0)], 2, id="another class"),
        pytest.param([(BOX, 0.9, 0), (BOX, 0.9, 0)], [(BOX, 0.9, 0)], 1, id="each counts once"),
        pytest.param([], [(BOX, 0.0505, 0)], 0, id="at the threshold either may have it"),
        pytest.param([], [(BOX, 0.06, 0)], 1, id="above it not"),
        pytest.param([], [((96, 10, 96, 20), 0.9, 0)], 0, id="outside the image"),
    ],
)
def test_boxes_without_a_counterpart_are_counted(here: list, there: list, expected: int):
    assert count_unmatched(boxes(*here), boxes(*there), POSTPROCESS) == expected


def test_the_weakest_of_a_full_list_may_be_another():
    postprocess = POSTPROCESS._replace(max_detections=2)
    first, second, third = (BOX, 0.9, 0), ((30, 30, 40, 40), 0.5, 0), ((50, 50, 60, 60), 0.4995, 0)
    assert count_unmatched(boxes(first, third), boxes(first, second), postprocess) == 0
    assert count_unmatched(boxes(second, third), boxes(first, second), postprocess) == 1


@pytest.mark.parametrize(
    ("image_hw", "expected"),
    [
        pytest.param((64, 96), (64, 96), id="fits as it is"),
        pytest.param((32, 40), (64, 80), id="to the size of inference"),
        pytest.param((640, 480), (72, 54), id="an upright one shrinks until it fits"),
        pytest.param((100, 1000), (10, 96), id="a long one as in inference"),
    ],
)
def test_an_image_is_put_into_the_upper_left_corner(image_hw: tuple[int, int], expected: tuple[int, int]):
    canvas, hw = to_input(np.full((*image_hw, 3), 200, dtype=np.uint8), INPUT_HW, 64, 96)
    assert (canvas.shape, hw) == ((72, 104, 3), expected)
    assert (canvas[: hw[0], : hw[1]] == 200).all()
    assert canvas.sum() == 200 * 3 * hw[0] * hw[1]
