"""What a training reports of itself: to the platform, in the log, and where its end is expected."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Iterator

import pytest

from ymir_detectron2.training.metric_logger import StepStats
from ymir_detectron2.training.time_left import TrainingCosts
from ymir_detectron2.training.training_plan import TrainingPlan
from ymir_detectron2.training.training_progress import TrainingProgress

CONFIG_FILE = Path("configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml")


class Training:
    """A training of steps of `step_s` and evaluations of `image_s` per image, on a clock of its own."""

    def __init__(
        self, plan: TrainingPlan, costs: TrainingCosts, *, step_s: float, image_s: float = 1.0, patience: int = 0,
        is_on_cpu: bool = True, max_hours: float = 0.0,
    ) -> None:  # fmt: skip
        self.now_s = 0.0
        self.reported: list[float] = []
        self._plan, self._costs, self._step_s, self._image_s = plan, costs, step_s, image_s
        self.progress = TrainingProgress(
            plan, costs, self.reported.append, patience=patience, is_on_cpu=is_on_cpu, config_file=CONFIG_FILE,
            max_hours=max_hours, clock=lambda: self.now_s,
        )  # fmt: skip

    def run(self, begin: int = 0, end: int | None = None) -> None:
        self.progress.open(begin, begin)
        for step in range(begin + 1, (self._plan.end_step if end is None else end) + 1):
            self.now_s += self._step_s
            losses = {"loss_cls": 0.5, "loss_box_reg": 0.25}
            self.progress.end_step(StepStats(step, losses, 2.0, learning_rate=0.01, seconds=self._step_s))
            if self._plan.is_evaluation(step):
                with self.progress.evaluation():
                    for _ in range(self._costs.evaluation_images):
                        self.now_s += self._image_s
                        self.progress.end_image()
        self.progress.close()


@pytest.fixture(autouse=True)
def information(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def test_a_step_is_a_line_with_the_time_that_is_left(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(10, 0), TrainingCosts(30, 15.0), step_s=2.0).run(end=2)
    assert caplog.messages == [
        # nine steps and an evaluation of fifteen
        "step 1/10  loss_cls 0.5000  loss_box_reg 0.2500  lr 0.010000  2.000 s/step  48 s left",
        "step 2/10  loss_cls 0.5000  loss_box_reg 0.2500  lr 0.010000  2.000 s/step  46 s left",
    ]


def test_the_last_step_is_not_the_end(caplog: pytest.LogCaptureFixture):
    training = Training(TrainingPlan(10, 5), TrainingCosts(600, 3.0, end_s=20), step_s=1.0)
    training.run()
    (line,) = (message for message in caplog.messages if message.startswith("step 10/10"))
    assert line.endswith("10 min left")
    assert training.reported == sorted(training.reported)
    assert training.reported[-1] < 1


def test_an_evaluation_has_lines_by_time(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(4, 0), TrainingCosts(1000, 3.0), step_s=0.1, image_s=0.1).run()
    lines = [message for message in caplog.messages if message.startswith("evaluation of step 4: ")]
    assert len(lines) == 3  # in 100 s
    assert lines[0].startswith("evaluation of step 4: 30 % of the images, 1 min ")


def test_the_expected_end_is_told_after_a_few_steps_and_after_the_first_evaluation(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(5000, 50), TrainingCosts(60, 20.0), step_s=0.5, patience=3).run(end=151)
    told = [number for number, message in enumerate(caplog.messages) if message.startswith("expected end in ")]
    first, second = (caplog.messages[number] for number in told)
    # 2,495 s of steps and a hundred evaluations, of 10 s as estimated and of 60 s as measured
    assert first == (
        "expected end in 58 min: 0.500 s per step, 10 s per evaluation (estimated from the steps);"
        " early stopping (patience 3) may end it earlier"
    )
    assert second.startswith("expected end in 2 h 20 min: 0.500 s per step, 1 min per evaluation; ")


@pytest.mark.parametrize(("is_on_cpu", "steps"), [(True, 1), (False, 3)])
def test_slow_steps_are_not_waited_for_ten_times(caplog: pytest.LogCaptureFixture, is_on_cpu: bool, steps: int):
    """On a GPU the first step is slower than the others."""
    for end in (steps - 1, steps):
        Training(TrainingPlan(90_000, 0), TrainingCosts(1, 1.0), step_s=72.0, is_on_cpu=is_on_cpu).run(end=end)
        assert ("expected end in 75 days" in caplog.text) == (end == steps)


def test_a_training_of_days_on_a_cpu_is_warned_of_once(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(90_000, 10), TrainingCosts(2, 1.0), step_s=2.0).run(end=25)
    (warning,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert warning.startswith("on the CPU this training takes 2 days 7 h; use a GPU")


def test_a_training_of_days_is_none_with_a_limit(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(90_000, 10), TrainingCosts(2, 1.0), step_s=2.0, max_hours=5).run(end=25)
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]
    assert caplog.text.count("max_hours 5 will end it earlier") == 2, "after some steps, and after an evaluation"


def test_a_long_run_has_a_hundred_lines_and_those_that_come_by_time(caplog: pytest.LogCaptureFixture):
    Training(TrainingPlan(5000, 0), TrainingCosts(1, 1.0), step_s=0.001).run()
    steps = [message for message in caplog.messages if message.startswith("step ")]
    assert len(steps) == 101, "the first step, and every fiftieth"


def test_a_resumed_training_begins_where_it_was():
    training = Training(TrainingPlan(100, 50), TrainingCosts(10, 10.0), step_s=1.0)
    training.run(begin=50)
    # fifty steps and an evaluation are behind it, and it was half of everything
    assert training.reported[0] == pytest.approx(61 / 120)


def test_other_processes_write_nothing_and_time_their_steps(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "1")
    training = Training(TrainingPlan(40, 20), TrainingCosts(40, 10.0), step_s=30.0)
    training.run()
    assert (training.reported, caplog.messages) == ([], [])
    assert training.progress.seconds_per_step == 30.0
