"""The `torch` engine: RetinaNet in plain PyTorch, trained and run without detectron2."""

from __future__ import annotations

import logging

import numpy as np
import torch

from ..contract.model_package import ModelPackage
from ..dataset.coco_json import CocoDataset, load_coco_json
from ..evaluation.metrics import Evaluation
from ..retinanet.checkpoint import load_weights, read_checkpoint
from ..retinanet.config import Config, load_config
from ..retinanet.inference_form import to_inference_form
from ..retinanet.model import RetinaNet, build_retinanet
from ..retinanet.supported import check_supported
from ..training import processes
from ..training.class_weights import class_weights
from ..training.ema import WeightAverage
from ..training.loop import Trainer
from ..training.resume import fingerprint
from ..training.run import TrainingRun
from ..training.validation_loss import ValidationLoss, retinanet_loss_sums
from .anchor_check import with_checked_anchors
from .base import Detector, DetectorOptions, TrainJob, TrainSummary
from .devices import autocast_dtype, choose_device, describe_device, loader_workers
from .packages import class_names_of, config_of, initial_weights, require_complete
from .precedence import log_split, require_free, resolve_config
from .torch_detector import TorchDetector
from .validation import evaluate_detector

logger = logging.getLogger(__name__)

_CLASS_LAYERS = ("head.cls_score.",)
_CASTS_WHOLE_NETWORKS = hasattr(torch, "compile")
"""From torch 2.0 on all layers know bfloat16, and casting once is faster than autocast, which casts at every layer."""


class TorchEngine:
    """See `base.Engine`."""

    name = "torch"

    def train(self, job: TrainJob) -> TrainSummary:
        """Train as `job` says; with several processes, call it in each."""
        device = choose_device(job.gpu_ids, processes.local_rank())
        processes.join(device)  # first: rank 0 comes when it has converted the sets that all of them read
        try:
            train_set = load_coco_json(job.train_json)
            cfg = resolve_config(job, load_config)
            check_supported(cfg, training=True)
            cfg = with_checked_anchors(job, cfg, train_set)
            log_split(cfg)
            dtype = autocast_dtype(job.settings.precision, device)
            logger.info("training on %s, %s, process %d of %d", describe_device(device), dtype or "fp32",
                        processes.rank() + 1, processes.world_size())  # fmt: skip
            logger.info("resolved configuration:\n%s", cfg.to_yaml())
            torch.manual_seed(job.settings.seed)
            return self._train(job, cfg, train_set, device, dtype)
        finally:
            processes.leave()

    def _train(
        self, job: TrainJob, cfg: Config, train_set: CocoDataset, device: torch.device, dtype: torch.dtype | None
    ) -> TrainSummary:
        model = _on_device(build_retinanet(cfg, len(job.class_names)), device)
        initial = initial_weights(cfg, job, _CLASS_LAYERS)
        if initial is not None:
            state_dict, path = initial
            logger.info("training from %s\n%s", path, load_weights(model, state_dict, str(path)).table())
        model.train()
        val_set = load_coco_json(job.val_json)
        model.class_weights = _class_weights(job, train_set)
        average = WeightAverage(model, job.settings.ema) if job.settings.ema else None
        trainer = Trainer(
            model, cfg, train_set, device=device, autocast_dtype=dtype, seed=job.settings.seed,
            num_workers=loader_workers(job.settings.num_workers, device), accumulate=job.settings.accumulate,
            average=average, augment=job.settings.augmentations,
        )  # fmt: skip
        detector = TorchDetector(
            model, cfg, job.class_names, device=device, autocast_dtype=dtype,
            score_threshold=cfg["MODEL.RETINANET.SCORE_THRESH_TEST"], batch_size=0,
        )  # fmt: skip

        def evaluate() -> Evaluation:
            return evaluate_detector(detector, val_set, job)

        loss = ValidationLoss(model, cfg, val_set, retinanet_loss_sums(model, device, dtype), job.stop_requested)
        same = fingerprint(job, cfg, self.name, str(dtype or "fp32"))
        with TrainingRun(
            job, cfg, model, evaluate, average=average, fingerprint=same, measure_losses=loss.measure
        ) as run:
            run.begin(trainer)
            steps = trainer.steps()
            while not run.is_over:
                run.after_step(next(steps))
        if trainer.skipped_steps:
            logger.info("%d steps were left out because fp16 overflowed", trainer.skipped_steps)
        for sentence in trainer.skipped.sentences():
            logger.warning("training: %s", sentence)
        return run.summary(describe_device(device))

    def load_detector(self, package: ModelPackage, options: DetectorOptions) -> Detector:
        """Load a trained model for the classes that it was trained for."""
        require_free(options.overrides)
        cfg = load_config(config_of(package)).merged(options.overrides, "args_options")
        checkpoint = read_checkpoint(package.weights)
        names = class_names_of(package, checkpoint.metadata, options.class_names)
        device = choose_device(options.gpu_ids, processes.local_rank())
        settings = options.settings
        model = _on_device(build_retinanet(cfg, len(names)), device, channels_last=settings.channels_last != "never")
        require_complete(load_weights(model, checkpoint.state_dict, str(package.weights)), package, len(names))
        dtype = autocast_dtype(settings.precision, device)
        logger.info("loaded %s (%s) on %s, %s", package.weights, ", ".join(names), describe_device(device),
                    dtype or "fp32")  # fmt: skip
        model.eval()
        if settings.fuse != "never":
            to_inference_form(model, fix_kernels=settings.compile != "always")
        if dtype == torch.bfloat16 and _CASTS_WHOLE_NETWORKS:
            model, dtype = model.to(dtype), None
        explicit = options.overrides.get("MODEL.RETINANET.SCORE_THRESH_TEST")
        detector = TorchDetector(
            model, cfg, names, device=device, autocast_dtype=dtype, batch_size=options.batch_size,
            score_threshold=options.score_threshold if explicit is None
            else cfg["MODEL.RETINANET.SCORE_THRESH_TEST"],
        )  # fmt: skip
        if settings.compile == "always":
            detector.compile()
        return detector


def _class_weights(job: TrainJob, train_set: CocoDataset) -> torch.Tensor | None:
    boxes_per_class = np.bincount(train_set.classes, minlength=len(job.class_names))
    weights = class_weights(job.settings.class_weights, job.class_names, boxes_per_class.tolist())
    if weights is None:
        return None
    logger.info("class weights: %s", ", ".join(f"{name} {w:.3g}" for name, w in zip(job.class_names, weights)))
    return torch.tensor(weights)


def _on_device(model: RetinaNet, device: torch.device, *, channels_last: bool = True) -> RetinaNet:
    """Channels last is what tensor cores want, and on the CPU a tenth faster in fp32 and a quarter in bf16."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return model.to(device=device, memory_format=layout)  # type: ignore[call-overload, no-any-return]
