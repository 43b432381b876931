"""The ONNX file of a network: its metadata, its inputs and outputs, and that writing it leaves the network alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.tiny_export import INPUT_HW, POSTPROCESS, detecting, exported
from tests.tiny_training import CLASSES
from ymir_detectron2.dataset.bit_depth import STRETCH_RULE
from ymir_detectron2.errors import StorageError
from ymir_detectron2.export.onnx_check import open_session
from ymir_detectron2.export.onnx_model import TESTED_OPSET, OnnxRetinaNet, describe, write_onnx


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of `detecting()`."""
    return exported(tmp_path_factory.mktemp("exported"), detecting())


@pytest.fixture(scope="module")
def session(file: Path) -> Any:
    return open_session(file)


def run(session: Any, canvas: np.ndarray, image_hw: tuple[int, int]) -> list[np.ndarray]:
    return session.run(None, {"image": canvas[None], "image_hw": np.array(image_hw, dtype=np.int64)})


def test_the_metadata_say_what_goes_in_and_what_the_numbers_mean(file: Path):
    model = onnx.load(str(file))
    metadata = {item.key: item.value for item in model.metadata_props}
    assert json.loads(metadata["class_names"]) == list(CLASSES)
    assert json.loads(metadata["input_hw"]) == [72, 104]
    assert (metadata["min_size"], metadata["max_size"]) == ("64", "96")
    assert "its shorter side at 64 pixels, or its longer one at 96 where that is less" in metadata["input"]
    assert "uint8, BGR" in metadata["input"]
    assert STRETCH_RULE in metadata["deep_images"]
    assert [value.name for value in model.graph.input] == ["image", "image_hw"]
    assert [value.name for value in model.graph.output] == ["boxes", "scores", "classes"]
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [TESTED_OPSET]


def test_the_description_of_an_image_at_its_own_size_names_no_edges():
    metadata = describe(("a", "\u00e9"), (64, 96), POSTPROCESS, (0, 1333))
    assert "the image at its own size, or smaller still" in metadata["input"]
    assert metadata["class_names"] == '["a", "\u00e9"]'
    assert (metadata["score_threshold"], metadata["nms_threshold"], metadata["max_detections"]) == (0.05, 0.5, 100)


@pytest.mark.parametrize("image_hw", [(1, 1), (30, 40), INPUT_HW])
def test_boxes_have_an_area_within_the_image(session: Any, image_hw: tuple[int, int]):
    boxes, scores, classes = run(session, np.full((*INPUT_HW, 3), 200, dtype=np.uint8), image_hw)
    assert len(boxes) == len(scores) == len(classes) > 0
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= image_hw[::-1]).all()
    assert (np.diff(scores) <= 0).all()


def test_pixels_outside_the_image_change_nothing(session: Any):
    results = []
    for value in (0, 255):
        canvas = np.full((*INPUT_HW, 3), value, dtype=np.uint8)
        canvas[:30, :40] = np.random.default_rng(0).integers(0, 255, (30, 40, 3))
        results.append(run(session, canvas, (30, 40)))
    for here, there in zip(*results):
        np.testing.assert_array_equal(here, there)


def test_without_a_detection_the_arrays_are_empty(tmp_path: Path):
    model = detecting()
    torch.nn.init.constant_(model.head.cls_score.bias, -50.0)
    session = open_session(exported(tmp_path, model))
    boxes, scores, classes = run(session, np.zeros((*INPUT_HW, 3), dtype=np.uint8), INPUT_HW)
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))
    assert (boxes.dtype, scores.dtype, classes.dtype) == (np.float32, np.float32, np.int64)


def test_the_network_itself_stays_as_it_was(tmp_path: Path):
    model = detecting(MODEL__RESNETS__NORM="BN").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = OnnxRetinaNet(model, INPUT_HW, POSTPROCESS)
    assert len(network.state_dict()) < len(before)  # folded
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        write_onnx(tmp_path / "file" / "a.onnx", OnnxRetinaNet(detecting(), (64, 64), POSTPROCESS), (64, 64), 0, {})
