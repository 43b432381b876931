"""What the speed benchmarks compare, and that they count the operations of a network correctly."""

from __future__ import annotations

import pytest
import torch

from benchmarks import training_speed
from benchmarks.inference_speed import best, plan
from benchmarks.measuring import Measurement

OURS, THEIRS = ("torch engine", "", 4, "fp32"), ("torchvision", "", 1, "fp32")


def test_the_best_batch_leaves_out_switches_and_other_precisions() -> None:
    measured = {
        OURS: Measurement(2.0, 1.0),
        ("torch engine", "", 1, "fp32"): Measurement(1.5, 1.0),
        ("torch engine", "without fusing", 4, "fp32"): Measurement(9.0, 1.0),
        ("torch engine", "", 4, "bf16"): Measurement(8.0, 1.0),
        THEIRS: Measurement(7.0, 1.0),
    }
    assert best(measured, "torch engine", "fp32") == 2.0
    assert best(measured, "predecessor", "fp32") is None


def test_what_cannot_be_measured_is_not_planned() -> None:
    assert plan((1, 4), has_bf16=False, has_detectron2=False, with_switches=False) == [
        ("torch engine", "", 1, "fp32"), OURS, THEIRS, ("torchvision", "", 4, "fp32"),
    ]  # fmt: skip
    everything = plan((1, 4), has_bf16=True, has_detectron2=True, with_switches=True)
    assert ("torch engine", "`compile: always`", 4, "bf16") in everything
    assert ("predecessor", "", 1, "fp32") in everything
    assert len(everything) == len(set(everything)) == 20


def test_trainers_are_planned_in_the_precisions_that_they_support() -> None:
    assert training_speed.plan("cpu", with_bf16=False, with_detectron2=False) == [("torch engine", "fp32")]
    assert training_speed.plan("cuda", with_bf16=True, with_detectron2=True) == [
        ("torch engine", "fp32"), ("torch engine", "bf16"), ("DefaultTrainer", "fp32"), ("DefaultTrainer", "fp16"),
    ]  # fmt: skip


def test_what_is_promised_of_training_on_a_gpu_is_not_judged_on_a_cpu() -> None:
    measured = {("torch engine", "bf16"): Measurement(300.0, 1.0), ("DefaultTrainer", "fp32"): Measurement(120.0, 1.0)}
    assert [row[2:] for row in training_speed.promises(measured, "cuda")] == [[300.0, "kept"], [2.5, "missed"]]
    assert [row[2:] for row in training_speed.promises(measured, "cpu")] == [[None, "not measured here"]] * 2


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch 1.10 cannot convolve meta tensors")
def test_multiply_accumulates_of_the_network_are_those_counted_by_hand() -> None:
    """RetinaNet R50 with 80 classes at 800 x 1344: 245.5e9, counted by hand from its layers."""
    from benchmarks.synthetic_data import RETINANET_50
    from benchmarks.where_time_goes import conv_gmac
    from ymir_detectron2.config.retinanet_config import load_config
    from ymir_detectron2.retinanet.model import build_retinanet

    assert conv_gmac(build_retinanet(load_config(RETINANET_50), 80), (800, 1344)) == pytest.approx(245.5, abs=0.05)
