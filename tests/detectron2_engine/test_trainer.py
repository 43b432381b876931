"""The detectron2 engine's trainer in this process: the pictures of a run that goes on, and what detectron2 keeps."""

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
from tests.unit.test_recipe import job_of
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.utils.env import seed_all_rng

    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, load_config
    from ymir_detectron2.engines.detectron2_engine.data import TRAIN_SET, VAL_SET, register_sets
    from ymir_detectron2.engines.detectron2_engine.network import build_network
    from ymir_detectron2.engines.detectron2_engine.trainer import Trainer

CPU = torch.device("cpu")
PICTURES = 40


class Watching:
    """Stands where the run stands: notes the steps, and ends them."""

    def __init__(self, steps: int) -> None:
        self.steps: list[Any] = []
        self._most = steps

    @property
    def is_over(self) -> bool:
        return len(self.steps) >= self._most

    def after_step(self, stats: Any) -> None:
        self.steps.append(stats)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sets")
    job = job_of(folder, {})
    records = []
    for number in range(PICTURES):
        path = folder / f"{number:02d}.png"
        Image.fromarray(np.full((64, 64, 3), number, dtype=np.uint8)).save(path)
        boxes = np.array([[4, 4, 40, 40]], dtype=np.float32)
        records.append(Record(path, 64, 64, boxes, np.array([number % 2])))
    write_coco_json(job.train_json, records, ("a", "b"))
    register_sets(job)


def config(**values: Any) -> Detectron2Config:
    own = {
        "MODEL.RETINANET.NUM_CLASSES": 2, "DATASETS.TRAIN": (TRAIN_SET,), "DATASETS.TEST": (VAL_SET,),
        "MODEL.DEVICE": "cpu", "SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 100, "SOLVER.STEPS": (),
        "DATALOADER.NUM_WORKERS": 0, "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False, "SEED": 0,
    }  # fmt: skip
    return load_config(TINY_CONFIG).merged({**own, **values}, "test")


def trainer_of(cfg: Detectron2Config, run: Any = None) -> Trainer:
    seed_all_rng(0)
    return Trainer(cfg.node(), build_network(cfg, CPU, None), CPU, run, None)


def names_drawn(trainer: Trainer, batches: int = 5) -> list[str]:
    stream = iter(trainer.data_loader)
    return [Path(sample["file_name"]).name for _ in range(batches) for sample in next(stream)]


def test_a_run_that_goes_on_does_not_begin_with_the_same_pictures_again(sets: None):
    interrupted, going_on = trainer_of(config()), trainer_of(config())
    seed_all_rng(0)
    first = names_drawn(interrupted)
    state = interrupted.state()
    assert names_drawn(trainer_of(config())) == first, "the seed decides"
    going_on.restore(state, 5)
    drawn = names_drawn(going_on)
    assert len(set(drawn)) == len(drawn) == 20, "no picture twice in half of the set"
    assert drawn != first


def test_what_detectron2_draws_of_the_training_is_not_kept(sets: None):
    """VIS_PERIOD makes it draw a picture at every step; without a writer of its own they would pile up."""
    watching = Watching(3)
    two_stages = small("faster_rcnn_R_50_FPN_1x")
    network = {key: two_stages[key] for key in two_stages if key.startswith("MODEL.") and key != "MODEL.DEVICE"}
    trainer = trainer_of(config(VIS_PERIOD=1, **network), watching)
    trainer.train()
    assert [stats.step for stats in watching.steps] == [1, 2, 3]
    assert trainer.storage._vis_data == []
