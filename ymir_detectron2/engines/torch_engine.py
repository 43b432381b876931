"""The `torch` engine: RetinaNet in plain PyTorch, trained and run without detectron2."""

from __future__ import annotations

import functools
import logging

import numpy as np
import torch

from .. import distributed
from ..config.image_sizes import with_image_size
from ..config.model_keys import PREDICTION_KEYS
from ..config.retinanet_config import RetinaNetConfig, load_config
from ..config.supported import check_supported
from ..contract.model_package import ModelPackage
from ..dataset.coco_json import CocoDataset
from ..detections import Detector
from ..retinanet.checkpoint import load_weights, read_checkpoint
from ..retinanet.inference_optimizations import prepare_for_inference
from ..retinanet.model import RetinaNet, build_retinanet
from ..tile_windows import Tiling
from ..training.class_weights import class_weights
from ..training.ema import ModelEma
from ..training.job import TrainJob, TrainSummary
from ..training.loop import Trainer, train
from ..training.resolve_config import require_free
from ..training.validation_loss import retinanet_loss_sums
from .arithmetic import name_of
from .base import DetectorOptions
from .devices import choose_arithmetic, choose_device, configure_cuda, describe_device
from .option_warnings import warn_of_detector_options
from .pretrained import class_names_of, config_of, require_complete
from .torch_detector import TorchDetector
from .training_setup import training_setup

logger = logging.getLogger(__name__)

_CLASS_LAYERS = ("head.cls_score.",)
_CASTS_WHOLE_NETWORKS = hasattr(torch, "compile")
"""From torch 2.0 on all layers know bfloat16, and casting once is faster than autocast, which casts at every layer."""


class TorchEngine:
    """See `base.Engine`."""

    name = "torch"

    def train(self, job: TrainJob) -> TrainSummary:
        """Train a RetinaNet; with several processes, called in each."""
        with training_setup(job, load_config, _check_config) as setup:
            cfg, device, dtype = setup.cfg, setup.device, setup.autocast_dtype
            # the same seed in every process: all draw the same initial weights
            torch.manual_seed(cfg["SEED"])
            model = _on_device(build_retinanet(cfg, len(job.class_names)), device)
            setup.load_initial_weights(_CLASS_LAYERS, functools.partial(load_weights, model))
            model.class_weights = _class_weights(job, setup.train_set)
            model.train()
            ema = ModelEma(model, job.settings.ema) if job.settings.ema else None
            trainer = Trainer(
                model, cfg, setup.views.train, device=device, autocast_dtype=dtype, seed=cfg["SEED"],
                num_workers=cfg["DATALOADER.NUM_WORKERS"], accumulate=job.settings.accumulate,
                ema=ema, augment=job.settings.augmentations,
            )  # fmt: skip
            # batch_size 0: the device decides; the form's batch_size is that of training
            detector = TorchDetector(
                model, cfg, job.class_names, device=device, autocast_dtype=dtype,
                score_threshold=cfg["MODEL.RETINANET.SCORE_THRESH_TEST"], batch_size=0, tiling=setup.views.tiling,
            )  # fmt: skip
            loss_sums = retinanet_loss_sums(model, device, dtype)
            with setup.build_run(self.name, model, trainer, detector, ema=ema, loss_sums=loss_sums) as run:
                train(run)
            if trainer.skipped_steps:
                logger.info("%d steps were skipped because fp16 overflowed", trainer.skipped_steps)
            return run.summary(describe_device(device), setup.precision)

    def load_detector(
        self, package: ModelPackage, options: DetectorOptions, *, fuse: bool = True, channels_last: bool = True
    ) -> Detector:
        """Load a trained model for the classes that it was trained for.

        Args:
            fuse: fold normalisation layers into convolutions. A measurement may leave this out, a task never does.
            channels_last: likewise, the memory format.
        """
        require_free(options.overrides)
        cfg = with_image_size(load_config(config_of(package), PREDICTION_KEYS), options.settings.image_size)
        cfg = cfg.merged(options.overrides, "args_options")
        checkpoint = read_checkpoint(package.weights)
        names = class_names_of(package, checkpoint.metadata, options.class_names)
        device = choose_device(options.gpu_ids, distributed.local_rank())
        settings = options.settings
        configure_cuda(cfg, device)
        model = _on_device(build_retinanet(cfg, len(names)), device, channels_last=channels_last)
        warn_of_detector_options(cfg, options.overrides, device)
        require_complete(load_weights(model, checkpoint.state_dict, str(package.weights)), package, len(names))
        dtype = choose_arithmetic(settings.precision, device, cfg["MODEL.META_ARCHITECTURE"])
        logger.info("loaded %s (%s), computing in %s on %s", package.weights, ", ".join(names), name_of(dtype),
                    describe_device(device))  # fmt: skip
        model.eval()
        if fuse:
            # the compiler chooses kernels itself, and cannot trace a direct call of oneDNN
            prepare_for_inference(model, fix_kernels=settings.compile != "always")
        if dtype == torch.bfloat16 and _CASTS_WHOLE_NETWORKS:
            model, dtype = model.to(dtype), None
        # args_options override the form's conf_threshold; the threshold that the config was saved with does not
        explicit = options.overrides.get("MODEL.RETINANET.SCORE_THRESH_TEST")
        detector = TorchDetector(
            model, cfg, names, device=device, autocast_dtype=dtype, batch_size=options.batch_size,
            score_threshold=options.score_threshold if explicit is None
            else cfg["MODEL.RETINANET.SCORE_THRESH_TEST"], tiling=Tiling.of_checkpoint(checkpoint.metadata),
        )  # fmt: skip
        if settings.compile == "always":
            detector.compile()
        return detector


def _check_config(cfg: RetinaNetConfig, device: torch.device) -> RetinaNetConfig:
    # inference accepts more: e.g. a model that detectron2 trained with a schedule that this engine does not have
    check_supported(cfg, training=True)
    return cfg


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
