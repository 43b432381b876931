"""Every key of detectron2 is read in a training by its engine, refused with another value, or named as ineffective."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Mapping

import numpy as np
import pytest
import torch
from PIL import Image

from tests.detectron2_engine.test_network import small
from tests.running import PROJECT_DIR
from tests.tiny_training import job_of
from ymir_detectron2.config.engine_config import flatten
from ymir_detectron2.config.ineffective_keys import ineffective_options
from ymir_detectron2.config.packed_config import TRAIN_SET, VAL_SET
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.training.resolve_config import require_free

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from detectron2.config import CfgNode, get_cfg

    from ymir_detectron2.engines.detectron2_engine.catalogs import register_sets
    from ymir_detectron2.engines.detectron2_engine.configuration import Detectron2Config, check_supported
    from ymir_detectron2.engines.detectron2_engine.network import build_network
    from ymir_detectron2.engines.detectron2_engine.trainer import Trainer

CPU = torch.device("cpu")


class RecordingNode(CfgNode):
    """detectron2's configuration, with a note of every key that somebody reads."""

    read: ClassVar[set[str]] = set()

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        if not isinstance(value, CfgNode) and "path" in self.__dict__:
            self.read.add(self.__dict__["path"] + name)
        return value


def recording(node: CfgNode, path: str = "") -> RecordingNode:
    copied = RecordingNode()
    copied.__dict__["path"] = path
    for name, value in node.items():
        dict.__setitem__(copied, name, recording(value, f"{path}{name}.") if isinstance(value, CfgNode) else value)
    return copied


class RecordingConfig(Detectron2Config):
    def node(self) -> CfgNode:
        node = recording(super().node())
        node.freeze()
        return node


def train_two_steps(cfg: Detectron2Config, folder: Path) -> None:
    job = job_of(folder, {})
    records = []
    for number in range(4):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((64, 64, 3), 60 * number, dtype=np.uint8)).save(path)
        records.append(Record(path, 64, 64, np.array([[4, 4, 40, 40]], dtype=np.float32), np.array([number % 2])))
    write_coco_json(job.train_json, records, ("a", "b"))
    register_sets((job.train_json, job.val_json), job.class_names)
    trainer = Trainer(cfg, build_network(cfg, CPU), CPU, None)
    for step in (1, 2):
        trainer.train_step(step)


def own_source() -> str:
    files = [path for path in (PROJECT_DIR / "ymir_detectron2").rglob("*.py") if path.parent.name != "config"]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def is_refused(cfg: Detectron2Config, key: str) -> bool:
    """Whether another value than that of the configuration ends the task with a sentence about the key."""
    other: Mapping[type, Any] = {bool: not cfg[key], str: "another", int: 1}
    try:
        require_free({key: ""})
        check_supported(cfg.merged({key: other.get(type(cfg[key]), cfg[key])}, "test"), training=True)
    except ConfigError as error:
        return key in str(error)
    return False


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn_R_50_FPN_1x", "faster_rcnn_R_50_C4_1x"])
def test_every_key_is_read_refused_or_named(name: str, tmp_path: Path):
    values = {
        "DATASETS.TRAIN": (TRAIN_SET,), "DATASETS.TEST": (VAL_SET,), "MODEL.DEVICE": "cpu", "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.MAX_ITER": 100, "SOLVER.STEPS": (50,), "DATALOADER.NUM_WORKERS": 0, "SEED": 0,
        "INPUT.MIN_SIZE_TRAIN": (64,), "INPUT.MAX_SIZE_TRAIN": 96, "SOLVER.CLIP_GRADIENTS.ENABLED": True,
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm", "SOLVER.WARMUP_ITERS": 1,
    }  # fmt: skip
    cfg = RecordingConfig(dict(small(name).merged(values, "test")))
    RecordingNode.read.clear()
    train_two_steps(cfg, tmp_path)
    source = own_source()
    silent = {
        key for key, _ in flatten(get_cfg())
        if key not in RecordingNode.read and f'"{key}"' not in source
        and not ineffective_options(cfg, [key], training=True, on_gpu=False) and not is_refused(cfg, key)
    }  # fmt: skip
    assert sorted(silent) == []
