"""How a training begins: device, precision, resolved config and anchors, in the log and as one value."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Mapping

import pytest
import torch
from torch import Tensor

from tests.running import TINY_CONFIG
from tests.tiny_training import CLASSES, job_of
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.engines.training_setup import training_setup
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.checkpoint import LoadReport, load_weights
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.training.job import TrainJob


def unchanged(cfg: RetinaNetConfig, *_: object) -> RetinaNetConfig:
    return cfg


def tiny_job(folder: Path, form: Mapping[str, Any] | None = None, **overrides: str) -> TrainJob:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return job_of(folder, {"batch_size": 2, "max_iter": 4, **(form or {})}, TINY_CONFIG, given)


def test_the_block_has_the_resolved_config_and_both_sets(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO), training_setup(tiny_job(tmp_path), load_config, unchanged) as setup:
        assert (setup.device, setup.autocast_dtype, setup.precision) == (torch.device("cpu"), None, "fp32")
        assert setup.cfg["MODEL.RETINANET.NUM_CLASSES"] == len(CLASSES)
        assert len(setup.train_set) == len(setup.val_set) == 50
    assert "4 steps of 2 images; learning rate 0.01" in caplog.messages
    assert any(
        line.startswith("computing in fp32 on CPU (") and line.endswith("process 1 of 1") for line in caplog.messages
    )


def test_the_resolved_config_is_handed_over_as_a_file_and_its_differences_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    texts: list[str] = []
    job = dataclasses.replace(tiny_job(tmp_path, {"patience": 3}), on_config=texts.append)
    with caplog.at_level(logging.DEBUG), training_setup(job, load_config, unchanged) as setup:
        (text,) = texts
        assert load_config(written(tmp_path / "again.yaml", text)) == setup.cfg  # it is a config_file itself
    assert f"resolved configuration:\n{text}" in caplog.messages
    (line,) = (message for message in caplog.messages if message.startswith(f"changed from {TINY_CONFIG}: "))
    assert "SOLVER.MAX_ITER 100 -> 4" in line


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_engine_finishes_the_config_for_the_device(tmp_path: Path):
    def finish(cfg: RetinaNetConfig, device: torch.device) -> RetinaNetConfig:
        assert device.type == "cpu"
        return cfg.merged({"SOLVER.GAMMA": 0.7}, "the engine")

    with training_setup(tiny_job(tmp_path), load_config, finish) as setup:
        assert setup.cfg["SOLVER.GAMMA"] == 0.7


def test_the_form_gives_keys_of_detectron2_and_args_options_win(tmp_path: Path):
    keys = ("SEED", "DATALOADER.NUM_WORKERS", "SOLVER.AMP.ENABLED")
    for overrides, expected in (({}, [5, 3, False]), ({"SEED": "7", "DATALOADER__NUM_WORKERS": "0"}, [7, 0, False])):
        job = tiny_job(tmp_path, {"seed": 5, "num_workers": 3}, **overrides)
        with training_setup(job, load_config, unchanged) as setup:
            assert [setup.cfg[key] for key in keys] == expected


@pytest.mark.parametrize(
    ("overrides", "finding"),
    [
        ({"SOLVER__AMP__ENABLED": "True"}, "SOLVER.AMP.ENABLED True: mixed precision is chosen by the key precision"),
        ({"SEED": "-1"}, "SEED must be between 0 and 4294967295, found -1"),
        ({"SEED": str(2**32)}, "SEED must be between 0 and 4294967295, found 4294967296"),
    ],
)
def test_what_the_form_decides_may_not_be_contradicted(tmp_path: Path, overrides: dict[str, str], finding: str):
    job = tiny_job(tmp_path, **overrides)
    with pytest.raises(ConfigError, match=f"^args_options: {finding}"), training_setup(job, load_config, unchanged):
        raise AssertionError("nothing to train")


def test_keys_without_effect_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config_file = tmp_path / "own.yaml"
    config_file.write_text(f"_BASE_: {TINY_CONFIG}\nSOLVER: {{REFERENCE_WORLD_SIZE: 8, AMP: {{ENABLED: true}}}}\n")
    overrides = {"SOLVER.NUM_DECAYS": "5", "FLOAT32_PRECISION": "high", "SOLVER.GAMMA": "0.5"}
    job = job_of(tmp_path, {"batch_size": 2, "max_iter": 4}, config_file, overrides)
    with training_setup(job, load_config, unchanged):
        pass
    warnings = [record.message for record in caplog.records if "has no effect" in record.message]
    assert [sentence.split(" has no effect: ")[0] for sentence in warnings] == [
        "args_options: SOLVER.NUM_DECAYS", "args_options: FLOAT32_PRECISION", "config_file: SOLVER.AMP.ENABLED True",
        "config_file: SOLVER.REFERENCE_WORLD_SIZE 8",
    ]  # fmt: skip


@pytest.mark.parametrize("overrides", [{}, {"SOLVER__AMP__ENABLED": "True"}])
def test_a_precision_that_the_device_does_not_have_becomes_fp32_with_one_warning(
    tmp_path: Path, overrides: dict[str, str], caplog: pytest.LogCaptureFixture
):
    """Also where args_options repeat in detectron2's words what the form asks for."""
    job = tiny_job(tmp_path, {"precision": "fp16"}, **overrides)
    with training_setup(job, load_config, unchanged) as setup:
        assert (setup.precision, setup.cfg["SOLVER.AMP.ENABLED"]) == ("fp32", False)
    assert caplog.messages.count("precision: fp16 needs a GPU; computing in fp32") == 1


def test_initial_weights_are_loaded_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Of another number of classes: the class layer keeps its random weights."""
    path = tmp_path / "own.pth"
    cfg = load_config(TINY_CONFIG)
    source = build_retinanet(cfg, 3)
    torch.save({"model": source.state_dict(), "class_names": ["x", "y", "z"]}, path)
    model = build_retinanet(cfg, len(CLASSES))
    before = model.head.cls_score.weight.detach().clone()

    def load(state_dict: Mapping[str, Tensor], name: str) -> LoadReport:
        assert name == str(path)
        return load_weights(model, state_dict, name)

    job = tiny_job(tmp_path, MODEL__WEIGHTS=str(path))
    with caplog.at_level(logging.INFO), training_setup(job, load_config, unchanged) as setup:
        setup.load_initial_weights(("head.cls_score.",), load)
    assert any(line.startswith(f"training from {path}\n") for line in caplog.messages)
    assert torch.equal(model.head.bbox_pred.weight, source.head.bbox_pred.weight)
    assert torch.equal(model.head.cls_score.weight, before)
