"""What happens around the steps: evaluations, stages with their losses, resuming, early stopping, saving on a stop."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Callable, Collection

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.evaluated_sets import random_evaluation
from tests.tiny_training import build, config, draw_set, nothing_detected, run_training, validation_loss
from ymir_detectron2.dataset.bit_depth import STRETCH_RULE
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.retinanet.checkpoint import read_checkpoint, read_content, write_content
from ymir_detectron2.training.job import StageWeights

CFG = config(SOLVER__MAX_ITER=4, SOLVER__IMS_PER_BATCH=1, TEST__EVAL_PERIOD=2, SOLVER__CHECKPOINT_PERIOD=0)


@pytest.fixture
def data(tmp_path: Path) -> CocoDataset:
    return draw_set(tmp_path, [(64, 80), (80, 64)])


def test_every_stage_has_the_losses_of_all_steps_before_it(tmp_path: Path, data: CocoDataset):
    stages = run_training(tmp_path, data, CFG)
    assert [stage.name for stage in stages] == ["iter_0000002", "iter_0000004"]
    for stage, last in zip(stages, (2, 4)):
        assert set(stage.training_losses) == set(stage.validation_losses) == {"loss_cls", "loss_box_reg"}
        assert list(stage.training_losses["loss_cls"].steps) == list(range(1, last + 1))
        assert list(stage.validation_losses["loss_cls"].steps) == list(range(2, last + 1, 2))
        assert stage.evaluation is not None
        assert stage.evaluation.class_names == ("a", "b")


def test_a_resumed_training_has_losses_and_weights_of_an_uninterrupted_one(
    tmp_path: Path, data: CocoDataset, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "whole").mkdir()
    whole = run_training(tmp_path / "whole", data, CFG)
    with pytest.raises(StoppedError, match="stopped on request after step 3 of 4"):
        run_training(tmp_path, data, CFG, stop_after=3)
    with caplog.at_level(logging.INFO):
        (last,) = run_training(tmp_path, data, CFG)
    assert "resuming from step 3 of 4" in caplog.messages
    assert last.training_losses == whole[-1].training_losses
    assert last.validation_losses == whole[-1].validation_losses
    assert last.metrics == whole[-1].metrics
    assert (list(last.metrics["AP50"].steps), last.step) == ([2, 4], 4)
    expected = read_checkpoint(tmp_path / "whole" / last.files[0]).state_dict
    weights = read_checkpoint(tmp_path / last.files[0]).state_dict
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_unreadable_images_are_reported_with_those_from_before_a_restart(tmp_path: Path, data: CocoDataset):
    """Each once, at every evaluation: the image that was unreadable before the restart is readable after it."""
    broken = Path(data.image_paths[0])
    content = broken.read_bytes()
    reported: list[tuple[str, list[str]]] = []

    def report(role: str, sentences: Collection[str]) -> None:
        reported.append((role, sorted(sentences)))

    broken.write_bytes(b"no image")
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, CFG, stop_after=3, on_unreadable=report)
    broken.write_bytes(content)
    run_training(tmp_path, data, CFG, on_unreadable=report)
    assert [role for role, _ in reported] == ["training"] * 2
    for _, (sentence,) in reported:
        assert str(broken) in sentence


def test_a_stage_says_how_deep_images_were_changed(tmp_path: Path, data: CocoDataset):
    (*_, last) = run_training(tmp_path, data, CFG)
    assert read_checkpoint(tmp_path / last.files[0]).metadata["deep_images"] == STRETCH_RULE


def test_a_stage_knows_its_best_thresholds_and_one_without_an_evaluation_none(tmp_path: Path, data: CocoDataset):
    evaluation = random_evaluation(tmp_path, ("a", "b", "c"), 10)
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, CFG, stop_after=3, evaluate=lambda model: evaluation)
    found = [read_checkpoint(tmp_path / f"iter_000000{step}.pth").metadata["thresholds"] for step in (2, 3)]
    assert evaluation.metrics.at_best_f1 is not None
    assert found[0]["all"] == evaluation.metrics.at_best_f1.score_threshold
    assert found[0]["by_class"] == {
        name: point.score_threshold for name, point in evaluation.metrics.best_f1_by_class.items()
    }
    assert found[1] == {"all": None, "by_class": {}}


@pytest.mark.parametrize("how_many", [1, 2])
def test_damaged_states_give_way_to_the_one_before_or_to_a_new_start(
    tmp_path: Path, data: CocoDataset, how_many: int, caplog: pytest.LogCaptureFixture
):
    """Each has the name of this training, and an optimizer of another one, which is met when half is restored."""
    (tmp_path / "whole").mkdir()
    whole = run_training(tmp_path / "whole", data, CFG)
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, CFG, stop_after=3)
    newest_first = [tmp_path / "resume" / f"step_{step:07d}.pth" for step in (3, 2)]
    for path in newest_first[:how_many]:
        content = read_content(path)
        content["trainer"]["state"]["optimizer"]["state"] = {0: {"momentum_buffer": torch.zeros(3)}}
        write_content(path, content)
    with caplog.at_level(logging.INFO):
        stages = run_training(tmp_path, data, CFG)
    for path in newest_first[:how_many]:
        assert f"cannot resume from {path}: is damaged (ValueError: 'momentum_buffer does not fit" in caplog.text
    assert ("resuming from step 2 of 4" in caplog.text) == (how_many == 1)
    assert stages[-1].training_losses == whole[-1].training_losses
    expected = read_checkpoint(tmp_path / "whole" / "iter_0000004.pth").state_dict
    weights = read_checkpoint(tmp_path / "iter_0000004.pth").state_dict
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_a_training_at_its_end_whose_stages_are_lost_makes_one(tmp_path: Path, data: CocoDataset):
    """As with a damaged stages.json: its summary needs a stage, and every further start would need one too."""
    run_training(tmp_path, data, CFG)
    (last,) = run_training(tmp_path, data, CFG)
    assert last.name == "iter_0000004"
    assert last.evaluation is not None


def test_a_stop_request_saves_the_steps_since_the_last_stage(tmp_path: Path, data: CocoDataset):
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, CFG, stop_after=3)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["iter_0000002.pth", "iter_0000003.pth"]
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == ["step_0000002.pth", "step_0000003.pth"]


def test_a_stop_before_an_evaluation_leads_back_to_that_evaluation(tmp_path: Path, data: CocoDataset):
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, CFG, stop_after=2)
    stages = run_training(tmp_path, data, CFG)
    assert [stage.name for stage in stages] == ["iter_0000002", "iter_0000004"]
    assert list(stages[0].training_losses["loss_cls"].steps) == [1, 2]
    assert stages[0].evaluation is not None


def test_a_failure_saves_weights_only_if_there_is_no_stage(tmp_path: Path, data: CocoDataset):
    def fail(model: torch.nn.Module) -> Evaluation:
        raise RuntimeError("broken")

    def fail_with_a_stage(model: torch.nn.Module) -> Evaluation:
        return fail(model) if (tmp_path / "iter_0000002.pth").exists() else nothing_detected(tmp_path)

    (tmp_path / "without").mkdir()
    with pytest.raises(RuntimeError, match="broken"):
        run_training(tmp_path / "without", data, CFG, evaluate=fail)
    assert [path.name for path in (tmp_path / "without").glob("*.pth")] == ["iter_0000002.pth"]
    with pytest.raises(RuntimeError, match="broken"):
        run_training(tmp_path, data, CFG, evaluate=fail_with_a_stage)
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_0000002.pth"]


@pytest.mark.parametrize("error", [StoppedError("stopped"), RuntimeError("DataLoader worker is killed by signal")])
def test_an_end_while_an_evaluated_stage_is_plotted_leaves_that_stage(
    tmp_path: Path, data: CocoDataset, error: Exception
):
    """Weights without an evaluation would take its place, with a mAP of 0."""

    def fail(stage: StageWeights) -> None:
        raise error

    stages: list[StageWeights] = []
    with pytest.raises(type(error)):
        run_training(tmp_path, data, CFG, plot=fail, stages=stages)
    assert [(stage.name, stage.evaluation is not None) for stage in stages] == [("iter_0000002", True)]
    is_stop = isinstance(error, StoppedError)
    assert [path.name for path in (tmp_path / "resume").glob("*.pth")] == ["step_0000002.pth"] * is_stop
    assert [stage.name for stage in run_training(tmp_path, data, CFG)] == ["iter_0000002", "iter_0000004"]


FORTY = CFG.merged({"SOLVER.MAX_ITER": 40, "SOLVER.STEPS": [20, 30], "SOLVER.GAMMA": 0.1}, "test")


def found_half(folder: Path) -> Callable[[torch.nn.Module], Evaluation]:
    """Every evaluation finds half of the objects."""
    evaluation = nothing_detected(folder)
    half = evaluation._replace(metrics=dataclasses.replace(evaluation.metrics, ap50=0.5))
    return lambda model: half


def rates(folder: Path) -> list[float]:
    """The learning rate of each step, of the newest event file that has it."""
    found: dict[int, float] = {}
    for file in sorted((folder / "tensorboard").iterdir()):
        accumulator = EventAccumulator(str(file)).Reload()
        if "train/learning_rate" in accumulator.Tags()["scalars"]:
            found.update({event.step: event.value for event in accumulator.Scalars("train/learning_rate")})
    return [found[step] for step in sorted(found)]


def test_on_a_plateau_the_rate_decays_and_the_training_ends(
    tmp_path: Path, data: CocoDataset, caplog: pytest.LogCaptureFixture
):
    """The first of the evaluations every two steps is the best; each decay takes a period."""
    with caplog.at_level(logging.INFO):
        stages = run_training(tmp_path, data, FORTY, patience=2, evaluate=found_half(tmp_path))
    assert [stage.step for stage in stages] == [2, 4, 6, 8, 10]
    assert rates(tmp_path) == pytest.approx([0.01] * 6 + [0.001] * 2 + [0.0001] * 2)
    assert caplog.text.count("early stopping: ") == 1
    assert "step 7/10 " in caplog.text


@pytest.mark.parametrize("stop_after", [5, 6, 7, 8])
def test_a_training_that_is_resumed_around_its_decays_equals_an_uninterrupted_one(
    tmp_path: Path, data: CocoDataset, stop_after: int
):
    (tmp_path / "whole").mkdir()
    whole = run_training(tmp_path / "whole", data, FORTY, patience=2, evaluate=found_half(tmp_path))
    with pytest.raises(StoppedError):
        run_training(tmp_path, data, FORTY, patience=2, evaluate=found_half(tmp_path), stop_after=stop_after)
    stages = run_training(tmp_path, data, FORTY, patience=2, evaluate=found_half(tmp_path))
    assert stages[-1].step == whole[-1].step == 10
    assert stages[-1].training_losses == whole[-1].training_losses
    assert stages[-1].metrics == whole[-1].metrics
    assert rates(tmp_path) == rates(tmp_path / "whole")
    expected = read_checkpoint(tmp_path / "whole" / "iter_0000010.pth").state_dict
    weights = read_checkpoint(tmp_path / "iter_0000010.pth").state_dict
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_hours_end_the_training_with_an_evaluated_stage_after_its_decays(
    tmp_path: Path, data: CocoDataset, caplog: pytest.LogCaptureFixture
):
    """A hundredth of an hour is 36 s: less a margin of 0.72 s and 3 s for the page, sixteen steps of two seconds."""
    cfg = FORTY.merged({"SOLVER.MAX_ITER": 9000, "SOLVER.STEPS": [6000, 8000], "TEST.EVAL_PERIOD": 900}, "test")
    with caplog.at_level(logging.INFO):
        stages = run_training(tmp_path, data, cfg, max_hours=0.01, step_s=2.0)
    last = stages[-1]
    assert 12 <= last.step <= 16
    assert last.evaluation is not None
    assert len(stages) > 3, "evaluations come closer, too"
    found = rates(tmp_path)
    assert len(found) == last.step - 1, "of 9,000 steps, as many as there were then, the second one is no point"
    assert found[-1] == pytest.approx(0.0001)
    assert found.count(found[0]) == pytest.approx(last.step * 2 / 3, abs=2)
    ends = re.findall(r"max_hours 0.01, of which (\d+) s have passed: the training ends after step (\d+) ", caplog.text)
    assert ends[0][0] == "4", "after the second step, as the first one says little"
    assert int(ends[-1][1]) == last.step
    assert f"step {last.step}/{last.step} " in caplog.text


def test_the_hours_of_a_stopped_training_count_when_it_goes_on(tmp_path: Path, data: CocoDataset):
    cfg = FORTY.merged({"SOLVER.MAX_ITER": 9000, "SOLVER.STEPS": [6000, 8000], "TEST.EVAL_PERIOD": 900}, "test")
    with pytest.raises(StoppedError, match=r"stopped on request after step 8 of 1[2-6]"):
        run_training(tmp_path, data, cfg, max_hours=0.01, step_s=2.0, stop_after=8)
    stages = run_training(tmp_path, data, cfg, max_hours=0.01, step_s=2.0)
    assert 11 <= stages[-1].step <= 16


def test_the_better_one_of_raw_and_ema_weights_is_the_stage_with_its_own_losses(tmp_path: Path, data: CocoDataset):
    """The second evaluation of each pair, that of the EMA, is the better one."""
    evaluated = []

    def better_the_second_time(model: torch.nn.Module) -> Evaluation:
        evaluated.append({name: value.clone() for name, value in model.state_dict().items()})
        evaluation = nothing_detected(tmp_path)
        ap50 = 0.5 if len(evaluated) % 2 == 0 else 0.1
        return evaluation._replace(metrics=dataclasses.replace(evaluation.metrics, ap50=ap50))

    stages = run_training(tmp_path, data, CFG, evaluate=better_the_second_time, ema=0.9)
    saved = read_checkpoint(tmp_path / stages[-1].files[0]).state_dict
    assert all(torch.equal(value, evaluated[-1][name]) for name, value in saved.items())
    assert not all(torch.equal(value, evaluated[-2][name]) for name, value in saved.items())
    model = build(CFG)
    model.load_state_dict(saved)
    curves = stages[-1].validation_losses
    expected = validation_loss(model, CFG, data).measure()
    assert {name: curve.values[-1] for name, curve in curves.items()} == pytest.approx(expected, rel=1e-5)
    assert stages[-1].score == 0.5
