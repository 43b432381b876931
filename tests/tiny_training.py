"""Images on disk, a small model and its trainer, for tests that train in their own process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from tests.running import TINY_CONFIG
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.dataset.coco_json import CocoDataset, write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation import metrics
from ymir_detectron2.evaluation.metrics import Evaluation
from ymir_detectron2.retinanet.model import RetinaNet, build_retinanet
from ymir_detectron2.training.ema import ModelEma
from ymir_detectron2.training.evaluate import StageEvaluator
from ymir_detectron2.training.job import StageWeights, TrainJob
from ymir_detectron2.training.loop import Trainer, train
from ymir_detectron2.training.lr_schedule import build_plan
from ymir_detectron2.training.metric_logger import StepStats
from ymir_detectron2.training.run import TrainingRun
from ymir_detectron2.training.time_left import training_costs
from ymir_detectron2.training.training_progress import TrainingProgress
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

PROJECT_DIR = Path(__file__).resolve().parent.parent
R50_CONFIG = PROJECT_DIR / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"
CPU = torch.device("cpu")
CLASSES = ("a", "b")
BOXES = [(5.0, 5.0, 40.0, 35.0), (20.0, 10.0, 60.0, 50.0)]
NO_BOXES = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))

torch.set_num_threads(1)  # tensors this small are computed faster than threads wake up


def draw_set(folder: Path, hws: Sequence[tuple[int, int]] = ((64, 80), (80, 64), (64, 64), (64, 90))) -> CocoDataset:
    """Noise with one box per image, of the two classes in turn."""
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


def config(**values: Any) -> RetinaNetConfig:
    """tiny.yaml without batch normalisation and in the given order: a step is a function of its images alone."""
    keys = {
        "MODEL.RESNETS.NORM": "GN", "MODEL.RESNETS.STEM_OUT_CHANNELS": 32, "MODEL.RESNETS.WIDTH_PER_GROUP": 32,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 32, "DATALOADER.ASPECT_RATIO_GROUPING": False,
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False, "SOLVER.WARMUP_ITERS": 0, "SOLVER.IMS_PER_BATCH": 4,
    }  # fmt: skip
    return load_config(TINY_CONFIG).merged(
        {**keys, **{key.replace("__", "."): value for key, value in values.items()}}, "test"
    )


def build(cfg: RetinaNetConfig, seed: int = 0) -> RetinaNet:
    torch.manual_seed(seed)
    model = build_retinanet(cfg, len(CLASSES)).to(memory_format=torch.channels_last)
    model.train()
    return model


class CountingTrainer(Trainer):
    """Counts its steps, and says that each took `step_s` seconds if that is set."""

    num_steps = 0
    step_s = 0.0

    def train_step(self, step: int, schedule_step: float | None = None) -> StepStats:
        stats = super().train_step(step, schedule_step)
        self.num_steps += 1
        return stats._replace(seconds=self.step_s or stats.seconds)


def trainer_of(model: RetinaNet, cfg: RetinaNetConfig, data: CocoDataset, **options: Any) -> CountingTrainer:
    plain: dict[str, Any] = {"device": CPU, "autocast_dtype": None, "seed": 0, "num_workers": 0}
    return CountingTrainer(model, cfg, data, **{**plain, **options})


def validation_loss(model: RetinaNet, cfg: RetinaNetConfig, data: CocoDataset) -> ValidationLoss:
    return ValidationLoss(model, cfg, data, retinanet_loss_sums(model, CPU, None))


def job_of(
    folder: Path, form: Mapping[str, Any], config_file: Path = R50_CONFIG, overrides: Mapping[str, str] | None = None,
    num_images: int = 50,
) -> TrainJob:  # fmt: skip
    """A job over images without objects that do not exist, with as much of the form as is given."""
    records = [Record(Path(f"{number}.jpg"), 10, 10, *NO_BOXES) for number in range(num_images)]
    for name in ("train.json", "val.json"):
        write_coco_json(folder / name, records, CLASSES)

    def nothing(*_: object) -> bool:
        return False

    return TrainJob(
        train_json=folder / "train.json",
        val_json=folder / "val.json",
        class_names=CLASSES,
        settings=read_settings(TrainSettings, form),
        config_file=config_file,
        overrides=overrides or {},
        pretrained=None,
        weights_folders=(folder / "weights",),
        gpu_ids=(),
        models_dir=folder,
        tensorboard_dir=folder / "tensorboard",
        resume_dir=folder / "resume",
        must_resume=False,
        on_progress=nothing,
        on_stage=nothing,
        on_config=nothing,
        on_anchors=nothing,
        on_unreadable=nothing,
        on_warning=nothing,
        on_resume=nothing,
        stop_requested=nothing,
        elapsed_s=lambda: 0.0,
    )


def nothing_detected(folder: Path) -> Evaluation:
    """The evaluation of one image without objects and detections."""
    write_coco_json(folder / "one.json", [Record(Path("a.jpg"), 10, 10, *NO_BOXES)], CLASSES)
    return metrics.evaluate(folder / "one.json", {1: Detections.empty()}, CLASSES)


def run_training(
    folder: Path, data: CocoDataset, cfg: RetinaNetConfig, *,
    evaluate: Callable[[RetinaNet], Evaluation] | None = None, stop_after: int = 0, ema: float = 0, patience: int = 0,
    max_hours: float = 0, step_s: float = 0.0, plot: Callable[[StageWeights], None] = lambda stage: None,
    stages: list[StageWeights] | None = None,
    on_unreadable: Callable[[str, Collection[str]], None] = lambda role, sentences: None,
) -> list[StageWeights]:  # fmt: skip
    """Train to the end, or until a stop is requested after a step; return the stages.

    Args:
        max_hours: by a clock on which each step takes `step_s` seconds, and nothing else takes any.
        evaluate: takes the place of the evaluation on the validation set; None: nothing is detected.
        plot: called with each stage once it is listed.
        stages: gets the stages, also those of a training that ends with an error.
    """
    stages = [] if stages is None else stages

    def keep(stage: StageWeights) -> dict[str, bytes]:
        stages.append(stage)
        plot(stage)
        return {}

    model = build(cfg)
    average = ModelEma(model, ema) if ema else None
    trainer = trainer_of(model, cfg, data, ema=average)
    trainer.step_s = step_s
    job = dataclasses.replace(
        job_of(folder, {"ema": ema, "patience": patience, "max_hours": max_hours}), on_stage=keep,
        elapsed_s=lambda: trainer.num_steps * step_s,
        stop_requested=lambda: trainer.num_steps == stop_after > 0, on_unreadable=on_unreadable,
    )  # fmt: skip
    evaluator = StageEvaluator(
        model,
        lambda: nothing_detected(folder) if evaluate is None else evaluate(model),
        best_metric="map50",
        ema=average,
        measure_losses=validation_loss(model, cfg, data).measure,
    )
    plan = build_plan(cfg)
    costs = training_costs(
        cfg, num_val_images=len(data), world_size=1, has_ema=bool(ema), has_losses=True, has_export=False
    )
    progress = TrainingProgress(
        plan, costs, job.on_progress, patience=patience, is_on_cpu=True, config_file=job.config_file
    )
    with TrainingRun(job, cfg, plan, model, trainer, evaluator, progress, {}) as run:
        train(run)
    return stages
