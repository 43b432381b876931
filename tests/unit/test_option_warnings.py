"""The log of the first process names what changes nothing; that of the others does not repeat it."""

from __future__ import annotations

import logging

import pytest
import torch

from tests.running import TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.option_warnings import warn_of_detector_options, warn_of_training_options

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
TINY = load_config(TINY_CONFIG)
OPTIONS = {"SOLVER.BASE_LR": "0.1", "CUDNN_BENCHMARK": "True", "INPUT.MIN_SIZE_TEST": "64"}


def test_options_of_a_detector(caplog: pytest.LogCaptureFixture):
    warn_of_detector_options(TINY, OPTIONS, GPU)
    assert caplog.messages == ["args_options: SOLVER.BASE_LR has no effect: nothing is trained"]
    caplog.clear()
    warn_of_detector_options(TINY, OPTIONS, CPU)
    assert caplog.messages[1:] == ["args_options: CUDNN_BENCHMARK has no effect: it is for a GPU"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_options_of_a_training(caplog: pytest.LogCaptureFixture):
    warn_of_training_options(TINY, OPTIONS, TINY, GPU)
    assert caplog.messages == []
    of_file = TINY.merged({"SEED": 3, "SOLVER.REFERENCE_WORLD_SIZE": 8}, "test")
    warn_of_training_options(TINY, {"SOLVER.REFERENCE_WORLD_SIZE": "4"}, of_file, GPU)
    assert [message.split(" has no effect")[0] for message in caplog.messages] == [
        "args_options: SOLVER.REFERENCE_WORLD_SIZE", "config_file: SEED 3",
    ]  # fmt: skip


def test_other_processes_say_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("RANK", "1")
    warn_of_detector_options(TINY, OPTIONS, CPU)
    assert caplog.messages == []
