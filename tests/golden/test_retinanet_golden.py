"""Inference and training of the torch engine give the numbers that detectron2 gave when retinanet.json was made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden import torch_engine_side
from tests.golden.agreement import assert_same_detections, assert_same_losses, assert_same_norms
from tests.golden.retinanet_cases import CASES, SOLVER_CASES, crc_of, sample_of

GOLDEN = json.loads(Path(__file__).with_name("retinanet.json").read_text(encoding="utf-8"))


# the largest network takes as long as all other cases; they cover what it consists of
PARAMS = [pytest.param(case, marks=[pytest.mark.slow] if case.name == "r50_default" else []) for case in CASES]


@pytest.fixture(scope="module", params=PARAMS, ids=lambda case: case.name)
def pair(request, tmp_path_factory):
    """The measurements of this project, and those of detectron2."""
    case = request.param
    return torch_engine_side.measure(case, tmp_path_factory.mktemp(case.name)), GOLDEN["cases"][case.name]


@pytest.fixture(scope="module", params=SOLVER_CASES, ids=lambda case: case.name)
def solver_pair(request, tmp_path_factory):
    """The same for a training whose network matters less than its solver."""
    case = request.param
    return torch_engine_side.measure_training(case, tmp_path_factory.mktemp(case.name)), GOLDEN["solver"][case.name]


def test_the_golden_file_names_what_made_it():
    assert len(GOLDEN["made_with"]["commit"].split()[0]) == 40
    assert GOLDEN["made_with"]["torch"]


def test_the_input_tensor_is_identical(pair):
    ours, golden = pair
    assert list(ours.batch.shape) == golden["batch_shape"]
    assert sample_of(ours.batch) == golden["batch"]
    assert crc_of(ours.batch) == golden["batch_crc"]


def test_anchors_are_identical(pair):
    ours, golden = pair
    assert [sample_of(level) for level in ours.anchors] == golden["anchors"]
    assert [crc_of(level) for level in ours.anchors] == golden["anchor_crcs"]


def test_logits_and_deltas_agree_within_1e_4(pair):
    ours, golden = pair
    for name in ("logits", "deltas"):
        for level, expected in zip(getattr(ours, name), golden[name]):
            np.testing.assert_allclose(sample_of(level), expected, rtol=0, atol=1e-4)


def test_detections_in_a_batch_agree(pair):
    ours, golden = pair
    for threshold, expected in golden["detections"].items():
        assert_same_detections(ours.detections[float(threshold)], expected)


def test_detections_in_files_agree(pair):
    ours, golden = pair
    assert_same_detections(ours.detections_alone[0.05], golden["detections_alone"])
    assert_same_detections(ours.detections_alone[0.5], golden["detections_alone_above_0.5"])


def test_the_first_losses_agree_within_1e_5(pair):
    ours, golden = pair
    assert ours.trained.losses[0] == pytest.approx(golden["losses"][0], rel=1e-5)


def test_gradient_norms_agree(pair):
    """Within 1e-3, for on another processor rounding carries a few activations over the edge of a ReLU; on the same
    one they agree within 1e-4 (test_retinanet_live.py). A bias in front of a normalisation has no gradient but
    rounding, hence the floor.
    """
    ours, golden = pair
    assert_same_norms(ours.trained.gradient_norms, golden["gradient_norms"], rel=1e-3)


def test_ten_steps_of_the_trainer_agree_within_1e_3(pair):
    ours, golden = pair
    assert_same_losses(ours.trained.losses, golden["losses"], rel=1e-3)
    assert ours.trained.loss_normalizer == pytest.approx(golden["loss_normalizer"], rel=1e-9)


def test_the_solver_takes_the_same_steps(solver_pair):
    """The updates within 1e-3, for the same reason as the gradients."""
    ours, golden = solver_pair
    assert ours.learning_rates == pytest.approx(golden["learning_rates"], rel=1e-9)
    assert_same_losses(ours.losses, golden["losses"], rel=1e-4)
    assert_same_norms(ours.update_norms, golden["update_norms"], rel=1e-3)
    assert ours.loss_normalizer == pytest.approx(golden["loss_normalizer"], rel=1e-9)
