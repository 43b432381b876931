"""What is compared in training: this project's torch engine, and detectron2's DefaultTrainer as documented."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Protocol

import numpy as np
import torch

from benchmarks.synthetic_data import RETINANET_50, write_images, write_model
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.dataset.coco_json import load_coco_json, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.engines.devices import loader_workers
from ymir_detectron2.retinanet.checkpoint import load_weights, read_checkpoint
from ymir_detectron2.retinanet.layers import autocast
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.training.augmentations import LabelledImage
from ymir_detectron2.training.loop import Trainer
from ymir_detectron2.training.optimizer import build_optimizer, clip_gradients, gradient_norm
from ymir_detectron2.training.samples import TrainingDataset
from ymir_detectron2.training.sampling import InfiniteBatchSampler

NUM_CLASSES = 80
BOXES_PER_IMAGE = 7
"""As many as COCO has on average."""
HEIGHT, WIDTH = 384, 640
_WITHOUT_END = 1_000_000  # steps; so long a warm-up also keeps the learning rate near 0 and the weights as they are
_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainingCase:
    """One row of a comparison: what trains, and how."""

    name: str
    """A key of TRAINERS."""
    device: str
    batch: int
    precision: str
    min_size: int
    max_size: int
    folder: str
    """Where `write_training_data` wrote images, boxes and weights."""

    @property
    def values(self) -> dict[str, Any]:
        """The configuration, by detectron2's keys."""
        return {
            "INPUT.MIN_SIZE_TRAIN": (self.min_size,), "INPUT.MAX_SIZE_TRAIN": self.max_size,
            "SOLVER.IMS_PER_BATCH": self.batch, "SOLVER.BASE_LR": 1e-6, "SOLVER.MAX_ITER": _WITHOUT_END,
            "SOLVER.WARMUP_ITERS": _WITHOUT_END, "SOLVER.STEPS": (), "TEST.EVAL_PERIOD": 0,
        }  # fmt: skip


class StepTrainer(Protocol):
    """A trainer that can be run step by step."""

    def train(self, steps: int) -> None:
        """Run some more steps, from JPEG files to updated weights."""


def write_training_data(folder: Path, count: int, min_size: int, max_size: int) -> None:
    """Write images with boxes at random places, as COCO JSON, and the initial weights."""
    images = write_images(folder / "images", count, height=HEIGHT, width=WIDTH)
    edges = {"INPUT.MIN_SIZE_TEST": min_size, "INPUT.MAX_SIZE_TEST": max_size}
    write_model(folder / "model", RETINANET_50, NUM_CLASSES, images[0], edges)
    generator = np.random.default_rng(0)
    records = (Record(path, WIDTH, HEIGHT, *_boxes(generator)) for path in images)
    write_coco_json(folder / "train.json", records, [f"class_{number}" for number in range(NUM_CLASSES)])


def _boxes(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    corners = generator.uniform((0, 0), (WIDTH - 200, HEIGHT - 200), (BOXES_PER_IMAGE, 2))
    sides = generator.uniform(16, 200, (BOXES_PER_IMAGE, 2))  # within the image, which leaves 200 at its edges
    classes = generator.integers(0, NUM_CLASSES, BOXES_PER_IMAGE)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32), classes.astype(np.int32)


class TorchEngine:
    """The trainer of the torch engine."""

    def __init__(self, case: TrainingCase) -> None:
        self._case = case
        self._device = torch.device(case.device)
        self._dtype = _DTYPES[case.precision]
        self._cfg = load_config(RETINANET_50).merged(case.values, "the benchmark")
        self._data = load_coco_json(Path(case.folder) / "train.json")
        network: Any = build_retinanet(self._cfg, NUM_CLASSES)
        weights = Path(case.folder) / "model" / "model.pth"
        load_weights(network, read_checkpoint(weights).state_dict, str(weights))
        self._model = network.to(device=self._device, memory_format=torch.channels_last).train()
        self._trainer = Trainer(
            self._model, self._cfg, self._data, device=self._device, autocast_dtype=self._dtype, seed=0,
            num_workers=loader_workers(0, self._device),
        )  # fmt: skip
        self._step = 0

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self._step += 1
            self._trainer.train_step(self._step)

    def phases(self) -> dict[str, float]:
        """Run the phases of one step one after the other; return the seconds per image of each."""
        taken_s: dict[str, float] = {}

        def phase(name: str, work: Callable[[], Any]) -> Any:
            start_s = time.perf_counter()
            result = work()
            if self._device.type == "cuda":
                torch.cuda.synchronize()  # kernels run asynchronously: else the next phase would pay for this one
            taken_s[name] = (time.perf_counter() - start_s) / self._case.batch
            return result

        model, cfg = self._model, self._cfg
        # its own optimizer: that of the trainer is private
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = build_optimizer(cfg, model)

        def forward() -> Any:
            with autocast(self._device, self._dtype):
                return model(batch_images.to(memory_format=torch.channels_last))

        def loss() -> Any:
            with autocast(self._device, self._dtype):
                return sum(model.losses(dense, boxes, classes).values())

        def update() -> None:
            gradient_norm(parameters).item()  # as NaN recovery does in every step
            clip_gradients(cfg, parameters)
            optimizer.step()

        model.zero_grad()
        images = phase("read, resize, flip", self._read)
        batch_images, boxes, classes = phase("to the device, normalise, pad", lambda: self._on_device(images))
        dense = phase("forward", forward)
        total = phase("match anchors, losses", loss)
        phase("backward", lambda: total.backward())
        phase("clip, optimizer step", update)
        return taken_s

    def _read(self) -> list[LabelledImage]:
        source = TrainingDataset(self._cfg, self._data, seed=0)
        draws = next(iter(InfiniteBatchSampler(self._cfg, self._data, seed=0, rank=0, world_size=1)))
        return [source[draw] for draw in draws]  # type: ignore[misc]

    def _on_device(self, images: list[LabelledImage]) -> tuple[Any, list[Any], list[Any]]:
        tensors = [torch.from_numpy(one.image_hwc).to(self._device, non_blocking=True) for one in images]
        boxes = [torch.from_numpy(one.boxes_xyxy).to(self._device) for one in images]
        return (
            self._model.preprocess([tensor.permute(2, 0, 1) for tensor in tensors])[0],
            boxes,
            [torch.from_numpy(one.classes).to(self._device) for one in images],
        )


class DefaultTrainer:
    """detectron2's, as its `tools/train_net.py` uses it, with its default number of data loader workers."""

    def __init__(self, case: TrainingCase) -> None:
        from detectron2.data.datasets import register_coco_instances
        from detectron2.engine import DefaultTrainer as Theirs
        from detectron2.utils.events import EventStorage

        from ymir_detectron2.engines.detectron2_engine.configuration import load_config as load_theirs

        folder = Path(case.folder)
        register_coco_instances("benchmark", {}, str(folder / "train.json"), "")
        values = {
            **case.values, "DATASETS.TRAIN": ("benchmark",), "DATASETS.TEST": (), "MODEL.DEVICE": case.device,
            "MODEL.WEIGHTS": str(folder / "model" / "model.pth"), "MODEL.RETINANET.NUM_CLASSES": NUM_CLASSES,
            "OUTPUT_DIR": tempfile.mkdtemp(dir=str(folder)), "SOLVER.AMP.ENABLED": case.precision == "fp16",
        }  # fmt: skip
        self._trainer = Theirs(load_theirs(RETINANET_50).merged(values, "the benchmark").node())
        self._trainer.resume_or_load(resume=False)
        self._steps = self._endless(EventStorage)

    def train(self, steps: int) -> None:
        for _ in itertools.islice(self._steps, steps):
            pass

    def _endless(self, storage_class: Any) -> Iterator[None]:
        """Do what TrainerBase.train does, but yield after each step."""
        trainer = self._trainer
        with storage_class(0) as trainer.storage:
            trainer.before_train()
            for trainer.iter in range(_WITHOUT_END):
                trainer.before_step()
                trainer.run_step()
                trainer.after_step()
                yield


TRAINERS: dict[str, Callable[[TrainingCase], StepTrainer]] = {
    "torch engine": TorchEngine,
    "DefaultTrainer": DefaultTrainer,
}
