"""States of an unfinished training: the newest is damaged, and the training goes on from it or from the one before.

A small training is made once per process, in which each input is resumed.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.tiny_training import CountingTrainer, build, config, draw_set, job_of, nothing_detected, trainer_of
from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.errors import NonFiniteLossError
from ymir_detectron2.retinanet.checkpoint import read_content
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.ema import ModelEma
from ymir_detectron2.training.evaluate import StageEvaluator
from ymir_detectron2.training.lr_schedule import build_plan
from ymir_detectron2.training.run import TrainingRun
from ymir_detectron2.training.time_left import training_costs
from ymir_detectron2.training.training_plan import TrainingPlan
from ymir_detectron2.training.training_progress import TrainingProgress

from .mutation import damaged
from .plain_data import changed

EXPECTED = (NonFiniteLossError,)
"""What the reader may raise, where a state of other finite numbers makes the loss infinite."""

_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 3, 2**62, 2**70, 0.5, math.nan, math.inf, "", "x", b"x", [], {}, [[]], [1, 2], (), (1, "a"), 1j,
    {"a": 1}, torch.zeros(()), torch.zeros(0), torch.zeros(3), torch.full((2, 2), math.nan), torch.ones(2).bool(),
    torch.zeros(1, dtype=torch.int8), torch.zeros(4, dtype=torch.uint8),
)  # fmt: skip
_LAST = 2
"""The step of the newest state."""


class _Training(NamedTuple):
    folder: Path
    cfg: RetinaNetConfig
    model: RetinaNet
    trainer: CountingTrainer
    begun: dict[str, Any]
    files: dict[int, bytes]
    """The state of each step, as it is on disk."""
    weights: dict[int, dict[str, torch.Tensor]]


@functools.lru_cache(maxsize=None)
def _training() -> _Training:
    folder = Path(tempfile.mkdtemp())
    cfg = config(SOLVER__MAX_ITER=9, SOLVER__IMS_PER_BATCH=1, TEST__EVAL_PERIOD=0, SOLVER__CHECKPOINT_PERIOD=1)
    model = build(cfg)
    trainer = trainer_of(model, cfg, draw_set(folder, [(32, 32)]), ema=ModelEma(model, 0.9))
    training = _Training(folder, cfg, model, trainer, trainer.state(), {}, {0: copy.deepcopy(model.state_dict())})
    plan = build_plan(cfg)
    plan.move_end(0, 8, 0)  # or the state would have no knots that could be damaged
    with _run(training, folder, plan) as run:
        for step in range(1, _LAST + 1):
            run.end_step(trainer.train_step(*run.next_step()))
            run.save_checkpoint()
            training.files[step] = _file(folder, step).read_bytes()
            training.weights[step] = copy.deepcopy(model.state_dict())
    return training


def _file(folder: Path, step: int) -> Path:
    return folder / "resume" / f"step_{step:07d}.pth"


def _run(training: _Training, folder: Path, plan: TrainingPlan) -> TrainingRun:
    job = dataclasses.replace(
        job_of(training.folder, {}), resume_dir=folder / "resume", tensorboard_dir=folder / "tensorboard",
        on_resume=lambda: True,
    )  # fmt: skip
    evaluator = StageEvaluator(training.model, lambda: nothing_detected(folder), best_metric="map50")
    costs = training_costs(
        training.cfg, num_val_images=1, world_size=1, has_ema=False, has_losses=False, has_export=False
    )
    progress = TrainingProgress(plan, costs, job.on_progress, patience=0, is_on_cpu=True, config_file=job.config_file)
    return TrainingRun(
        job, training.cfg, plan, training.model, training.trainer, evaluator, progress, {"classes": "a, b"}
    )


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write two states, of which the newest is damaged, and in one of four inputs the other as well."""
    (folder / "resume").mkdir()
    for step in range(1, _LAST + 1):
        path = _file(folder, step)
        path.write_bytes(_training().files[step])
        if step < _LAST and rng.random() < 0.75:
            continue
        if rng.random() < 0.6:
            torch.save(changed(read_content(path), rng, rng.choice((1, 1, 2, 9)), _ODD), path)
        else:
            path.write_bytes(_damaged_file(path, rng))
    return folder


def _damaged_file(path: Path, rng: random.Random) -> bytes:
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    start = rng.choice((0, rng.randrange(len(content)), directory, rng.randrange(directory, len(content))))
    length = rng.choice((1, 50, 4096, len(content)))
    kind = rng.choice(("cut", "zeros", "zeros", "bytes", "foreign"))
    if kind == "cut":
        return content[:start]
    if kind == "zeros":  # what a power cut leaves of blocks that were not yet written
        return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]
    if kind == "bytes":
        return damaged(content, rng, 0.9)
    return rng.choice((b"", b"PK\3\4", b"text", bytes(5000), b"\x80\x02}q\0.", content * 2))


def read(path: Path) -> None:
    """Resume; a state as it was written has its weights, and one of other content can be trained on."""
    training = _training()
    training.trainer.restore(training.begun, 0)
    with _run(training, path, build_plan(training.cfg)) as run:
        run.resume()
        step = run.next_step()[0] - 1
        assert 0 <= step <= _LAST, step
        if step == 0 or _file(path, step).read_bytes() == training.files[step]:
            assert _same(training.model.state_dict(), training.weights[step])
        elif not run.is_over:  # a change of the structure that does no harm
            run.end_step(training.trainer.train_step(*run.next_step()))
            run.save_checkpoint()
            assert _file(path, step + 1).is_file()


def _same(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weights[name], value) for name, value in expected.items())
