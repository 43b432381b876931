"""The detectron2 engine's trainer in this process: its steps, NaN recovery, the images of a resumed run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.detectron2_engine.test_network import small
from tests.running import TINY_CONFIG
from tests.tiny_training import job_of
from ymir_detectron2.config.packed_config import TRAIN_SET, VAL_SET
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.utils.env import seed_all_rng

    from ymir_detectron2.engines.detectron2_engine.catalogs import register_sets
    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, load_config
    from ymir_detectron2.engines.detectron2_engine.network import build_network
    from ymir_detectron2.engines.detectron2_engine.trainer import Trainer
    from ymir_detectron2.training.ema import ModelEma
    from ymir_detectron2.training.lr_schedule import learning_rate_factor

CPU = torch.device("cpu")
IMAGES = 40


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sets")
    job = job_of(folder, {})
    records = []
    for number in range(IMAGES):
        path = folder / f"{number:02d}.png"
        Image.fromarray(np.full((64, 64, 3), number, dtype=np.uint8)).save(path)
        boxes = np.array([[4, 4, 40, 40]], dtype=np.float32)
        records.append(Record(path, 64, 64, boxes, np.array([number % 2])))
    write_coco_json(job.train_json, records, ("a", "b"))
    register_sets((job.train_json, job.val_json), job.class_names)


def config(**values: Any) -> Detectron2Config:
    own = {
        "MODEL.RETINANET.NUM_CLASSES": 2, "DATASETS.TRAIN": (TRAIN_SET,), "DATASETS.TEST": (VAL_SET,),
        "MODEL.DEVICE": "cpu", "SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 100, "SOLVER.STEPS": (),
        "DATALOADER.NUM_WORKERS": 0, "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False, "SEED": 0,
    }  # fmt: skip
    return load_config(TINY_CONFIG).merged({**own, **values}, "test")


def trainer_of(cfg: Detectron2Config, ema: float = 0) -> Trainer:
    seed_all_rng(0)
    model = build_network(cfg, CPU)
    return Trainer(cfg, model, CPU, ModelEma(model, ema) if ema else None)


def names_drawn(trainer: Trainer, batches: int = 5) -> list[str]:
    stream = iter(trainer.data_loader)
    return [Path(sample["file_name"]).name for _ in range(batches) for sample in next(stream)]


def test_a_resumed_run_does_not_begin_with_the_same_images_again(sets: None):
    interrupted, resumed = trainer_of(config()), trainer_of(config())
    seed_all_rng(0)
    first = names_drawn(interrupted)
    state = interrupted.state()
    assert names_drawn(trainer_of(config())) == first, "the seed decides"
    resumed.restore(state, 5)
    drawn = names_drawn(resumed)
    assert len(set(drawn)) == len(drawn) == 20, "no image twice in half of the set"
    assert drawn != first


ALL_STEPS = {"SOLVER.MAX_ITER": 40, "SOLVER.WARMUP_ITERS": 5, "SOLVER.BASE_LR": 0.02}
SCHEDULES = {
    "steps": {"SOLVER.STEPS": (20, 30)},
    "two decays on one step": {"SOLVER.STEPS": (20, 20)},
    "cosine to a floor": {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.BASE_LR_END": 0.002},
    "fixed gamma": {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.NUM_DECAYS": 3},
    "fixed gamma in the rest": {
        "SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.RESCALE_INTERVAL": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("values", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_runs_to_the_last_step_with_the_rates_of_the_torch_engine(sets: None, values: dict[str, Any]):
    """detectron2 itself can neither put two decays on one step nor end a training with fixed gamma."""
    cfg = config(**{**ALL_STEPS, **values, "SOLVER.BIAS_LR_FACTOR": 2.0})
    trainer = trainer_of(cfg)
    for step in range(1, 41):
        stats = trainer.train_step(step)
        expected = 0.02 * learning_rate_factor(cfg, step - 1)
        assert stats.learning_rate == pytest.approx(expected, rel=1e-12)
        rates = sorted({group["lr"] for group in trainer.optimizer.param_groups})
        assert rates == pytest.approx([expected, 2 * expected], rel=1e-12), "weights, and biases at twice their rate"


def test_a_step_follows_the_schedule_and_moves_weights_and_ema(sets: None):
    """tiny.yaml warms up from 0.1 to 1 in 10 steps."""
    trainer = trainer_of(config(), ema=0.9)
    before = trainer.model.head.cls_score.bias.detach().clone()
    stats = [trainer.train_step(step) for step in (1, 2)]
    assert [one.step for one in stats] == [1, 2]
    assert [one.learning_rate for one in stats] == pytest.approx([0.001, 0.0019])
    assert all(set(one.losses) == {"loss_cls", "loss_box_reg"} and one.gradient_norm > 0 for one in stats)
    assert not torch.equal(trainer.model.head.cls_score.bias, before)
    assert trainer.state()["state"]["average"]["steps"] == 2


def test_a_nan_leads_back_to_the_last_good_weights_at_half_the_rate(sets: None):
    trainer = trainer_of(config(**{"SOLVER.WARMUP_ITERS": 0, "TEST.EVAL_PERIOD": 1}))
    rate = trainer.train_step(1).learning_rate

    def spoil(*_: object) -> None:
        handle.remove()
        with torch.no_grad():
            trainer.model.head.bbox_pred.bias.fill_(float("nan"))

    handle = trainer.model.register_forward_pre_hook(spoil)
    assert trainer.train_step(2).learning_rate == pytest.approx(rate / 2)
    assert all(torch.isfinite(value).all() for value in trainer.model.state_dict().values())
    assert trainer.train_step(3).learning_rate == pytest.approx(rate / 2)


def test_a_restored_trainer_has_weights_and_schedule_of_the_interrupted_one(sets: None):
    interrupted = trainer_of(config())
    for step in (1, 2):
        interrupted.train_step(step)
    resumed = trainer_of(config())
    resumed.restore(interrupted.state(), 2)
    for name, value in interrupted.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert resumed.train_step(3).learning_rate == pytest.approx(interrupted.train_step(3).learning_rate)


def test_what_detectron2_draws_of_the_training_is_not_kept(sets: None):
    """VIS_PERIOD makes it draw an image at every step; without a writer they would pile up."""
    two_stages = small("faster_rcnn_R_50_FPN_1x")
    network = {key: two_stages[key] for key in two_stages if key.startswith("MODEL.") and key != "MODEL.DEVICE"}
    trainer = trainer_of(config(VIS_PERIOD=1, **network))
    for step in (1, 2, 3):
        trainer.train_step(step)
    assert trainer.storage._vis_data == []
