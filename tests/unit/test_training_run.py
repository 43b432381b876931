"""What a stage carries besides its weights: the evaluation of just these, and the losses of the whole run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import torch

from tests.training_parts import CLASSES, build, config, draw_set, trainer_of
from tests.unit.test_recipe import job_of
from ymir_detectron2.dataset.coco_json import CocoDataset, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.engines.base import StageWeights
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.evaluation.metrics import Evaluation, ImageResult, evaluate
from ymir_detectron2.retinanet.checkpoint import read_checkpoint
from ymir_detectron2.retinanet.config import Config
from ymir_detectron2.training.ema import WeightAverage
from ymir_detectron2.training.run import TrainingRun
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

CFG = config(SOLVER__MAX_ITER=4, TEST__EVAL_PERIOD=2, SOLVER__CHECKPOINT_PERIOD=0)


@pytest.fixture
def data(tmp_path: Path) -> CocoDataset:
    return draw_set(tmp_path)


def run(
    folder: Path, data: CocoDataset, *, evaluate: Callable[..., Evaluation], stop_after: int = 0, ema: float = 0,
    cfg: Config = CFG,
) -> list[StageWeights]:  # fmt: skip
    """Train up to the end or a stop; the stages that were offered."""
    stages: list[StageWeights] = []
    steps: list[int] = []

    def keep(stage: StageWeights) -> dict[str, bytes]:
        stages.append(stage)
        return {}

    job = dataclasses.replace(
        job_of(folder, {"ema": ema}), class_names=CLASSES, resume_dir=folder / "resume", on_stage=keep,
        tensorboard_dir=folder / "tensorboard", stop_requested=lambda: len(steps) == stop_after > 0,
    )  # fmt: skip
    model = build(cfg)
    average = WeightAverage(model, ema) if ema else None
    trainer = trainer_of(model, cfg, data, average=average)
    loss = ValidationLoss(model, cfg, data, retinanet_loss_sums(model, torch.device("cpu"), None))
    with TrainingRun(
        job, cfg, model, lambda: evaluate(model), average=average, fingerprint={}, measure_losses=loss.measure
    ) as training:
        training.begin(trainer)
        taken = trainer.steps()
        while not training.is_over:
            stats = next(taken)
            steps.append(stats.step)
            training.after_step(stats)
    return stages


def nothing_found(folder: Path) -> Callable[..., Evaluation]:
    """An evaluation of a set of one picture without objects."""
    no_boxes = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    write_coco_json(folder / "one.json", [Record(Path("a.jpg"), 10, 10, *no_boxes)], CLASSES)
    result = ImageResult(1, np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
    return lambda _: evaluate(folder / "one.json", [result], CLASSES)


def test_every_stage_has_the_losses_of_all_steps_before_it(tmp_path: Path, data: CocoDataset):
    stages = run(tmp_path, data, evaluate=nothing_found(tmp_path))
    assert [stage.name for stage in stages] == ["iter_0000002", "iter_0000004"]
    for stage, last in zip(stages, (2, 4)):
        assert set(stage.training_losses) == set(stage.validation_losses) == {"loss_cls", "loss_box_reg"}
        assert list(stage.training_losses["loss_cls"].steps) == list(range(1, last + 1))
        assert list(stage.validation_losses["loss_cls"].steps) == list(range(2, last + 1, 2))
        assert stage.evaluation is not None
        assert stage.evaluation.class_names == CLASSES


def test_a_training_that_goes_on_keeps_the_losses_of_before(tmp_path: Path, data: CocoDataset):
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", data, evaluate=nothing_found(tmp_path))
    with pytest.raises(StoppedError):
        run(tmp_path, data, evaluate=nothing_found(tmp_path), stop_after=3)
    (last,) = run(tmp_path, data, evaluate=nothing_found(tmp_path))
    assert last.training_losses == whole[-1].training_losses
    assert last.validation_losses == whole[-1].validation_losses


def test_the_validation_loss_is_that_of_the_weights_that_are_packed(tmp_path: Path, data: CocoDataset):
    """The mean is made better, so that it is the stage; its losses are measured in it and not in the last step's."""
    found = []

    def better_the_second_time(model: torch.nn.Module) -> Evaluation:
        found.append({name: value.clone() for name, value in model.state_dict().items()})
        evaluation = nothing_found(tmp_path)(model)
        ap50 = 0.5 if len(found) % 2 == 0 else 0.1
        return evaluation._replace(metrics=dataclasses.replace(evaluation.metrics, ap50=ap50))

    stages = run(tmp_path, data, evaluate=better_the_second_time, ema=0.9)
    packed = read_checkpoint(tmp_path / stages[-1].files[0]).state_dict
    assert all(torch.equal(value, found[-1][name]) for name, value in packed.items())
    model = build(CFG)
    model.load_state_dict(packed)
    loss = ValidationLoss(model, CFG, data, retinanet_loss_sums(model, torch.device("cpu"), None)).measure()
    curves = stages[-1].validation_losses
    assert {name: curve.values[-1] for name, curve in curves.items()} == pytest.approx(loss, rel=1e-5)
    assert stages[-1].score == 0.5
