"""Pictures on disk, a small model and its trainer, for tests that take single steps in their own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import numpy as np
import torch
from PIL import Image

from tests.running import TINY_CONFIG
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.retinanet.config import Config, load_config
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet
from ymir_detectron2.training.loop import Trainer

CLASSES = ("a", "b")
BOXES = [(5.0, 5.0, 40.0, 35.0), (20.0, 10.0, 60.0, 50.0)]


def draw_set(folder: Path, hws: Sequence[tuple[int, int]] = ((64, 80), (80, 64), (64, 64), (64, 90))) -> CocoDataset:
    """Noise with one box per picture, of the two classes in turn."""
    generator = np.random.default_rng(5)
    paths = []
    for number, hw in enumerate(hws):
        path = folder / f"{number}.png"
        Image.fromarray(generator.integers(0, 255, (*hw, 3)).astype(np.uint8)).save(path)
        paths.append(str(path))
    count = len(hws)
    boxes = np.array([BOXES[number % 2] for number in range(count)], dtype=np.float32)
    classes = np.arange(count, dtype=np.int64) % 2
    return CocoDataset(CLASSES, tuple(paths), np.array(hws, dtype=np.int32), np.arange(count + 1), boxes, classes)


def config(**values: Any) -> Config:
    """tiny.yaml without batch normalisation and in the given order: a step is a function of its pictures alone."""
    keys = {
        "MODEL.RESNETS.NORM": "GN", "MODEL.RESNETS.STEM_OUT_CHANNELS": 32, "MODEL.RESNETS.WIDTH_PER_GROUP": 32,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 32, "DATALOADER.ASPECT_RATIO_GROUPING": False,
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False, "SOLVER.WARMUP_ITERS": 0, "SOLVER.IMS_PER_BATCH": 4,
    }  # fmt: skip
    return load_config(TINY_CONFIG).merged(
        {**keys, **{key.replace("__", "."): value for key, value in values.items()}}, "test"
    )


def build(cfg: Config, seed: int = 0) -> RetinaNet:
    torch.manual_seed(seed)
    model = build_retinanet(cfg, len(CLASSES)).to(memory_format=torch.channels_last)
    model.train()
    return model


def trainer_of(model: RetinaNet, cfg: Config, data: CocoDataset, **options: Any) -> Trainer:
    plain: dict[str, Any] = {"device": torch.device("cpu"), "autocast_dtype": None, "seed": 0, "num_workers": 0}
    return Trainer(model, cfg, data, **{**plain, **options})
