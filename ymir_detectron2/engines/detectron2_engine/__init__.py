"""The `detectron2` engine: its configurations, catalogs, trainer and networks. Only this package imports detectron2."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
import torch.distributed as dist
from detectron2.modeling import RetinaNet
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from ...contract.model_package import ModelPackage
from ...dataset.coco_json import load_coco_json
from ...errors import ConfigError
from ...evaluation.metrics import Evaluation
from ...retinanet.checkpoint import read_checkpoint
from ...training import processes
from ...training.ema import WeightAverage
from ...training.resume import fingerprint
from ...training.run import TrainingRun
from ...training.sampling import require_even_shares
from ...training.validation_loss import ValidationLoss
from ..anchor_check import with_checked_anchors
from ..base import Detector, DetectorOptions, TrainJob, TrainSummary
from ..devices import autocast_dtype, choose_device, describe_device, loader_workers
from ..packages import class_names_of, config_of, initial_weights, require_complete
from ..precedence import CLASS_COUNTS, log_split, require_free, resolve_config
from ..validation import evaluate_detector
from .configuration import Detectron2Config, check_supported, load_config
from .data import TRAIN_SET, VAL_SET, register_sets
from .detector import Detectron2Detector
from .network import CLASS_LAYERS, build_network, fill_network, train_in
from .trainer import Trainer
from .validation_loss import retinanet_loss_sums

logger = logging.getLogger(__name__)

_THRESHOLDS = ("MODEL.RETINANET.SCORE_THRESH_TEST", "MODEL.ROI_HEADS.SCORE_THRESH_TEST")


class Detectron2Engine:
    """See `base.Engine`."""

    name = "detectron2"

    def train(self, job: TrainJob) -> TrainSummary:
        """Train as `job` says; with several processes, call it in each."""
        device = choose_device(job.gpu_ids, processes.local_rank())
        processes.join(device)  # first: rank 0 comes when it has converted the sets that all of them read
        try:
            dtype = autocast_dtype(job.settings.precision, device)
            cfg = with_checked_anchors(job, resolve_config(job, load_config), load_coco_json(job.train_json))
            cfg = _for_this_run(cfg, job, device, dtype)
            require_even_shares(cfg["SOLVER.IMS_PER_BATCH"], processes.world_size())
            _require_known_settings(job)
            log_split(cfg)
            logger.info("training on %s, %s, process %d of %d", describe_device(device), dtype or "fp32",
                        processes.rank() + 1, processes.world_size())  # fmt: skip
            logger.info("resolved configuration:\n%s", cfg.to_yaml())
            if device.type == "cuda":
                torch.cuda.set_device(device)
            _introduce_processes()
            return _train(job, cfg, device, dtype)
        finally:
            processes.leave()

    def load_detector(self, package: ModelPackage, options: DetectorOptions) -> Detector:
        """Load a trained model for the classes that it was trained for."""
        require_free(options.overrides)
        checkpoint = read_checkpoint(package.weights)
        names = class_names_of(package, checkpoint.metadata, options.class_names)
        form = {
            **dict.fromkeys(_THRESHOLDS, options.score_threshold),
            **dict.fromkeys(CLASS_COUNTS, len(names)),
        }
        cfg = load_config(config_of(package)).merged(form, "config.yaml").merged(options.overrides, "args_options")
        check_supported(cfg)
        device = choose_device(options.gpu_ids, processes.local_rank())
        dtype = autocast_dtype(options.settings.precision, device)
        model = build_network(cfg, device, dtype)
        require_complete(fill_network(model, checkpoint.state_dict, str(package.weights)), package, len(names))
        logger.info("loaded %s (%s) on %s, %s", package.weights, ", ".join(names), describe_device(device),
                    dtype or "fp32")  # fmt: skip
        return Detectron2Detector(
            model, cfg, names, device=device, autocast_dtype=dtype, batch_size=options.batch_size
        )


def _require_known_settings(job: TrainJob) -> None:
    """Refuse what detectron2's trainer has no place for, rather than leave it out in silence."""
    for name in ("accumulate", "class_weights", "augment"):
        value = getattr(job.settings, name)
        if value not in ("", 0, 1):
            raise ConfigError(f"config.yaml: {name}: {value!r} needs engine: torch; set that, or leave the key empty")


def _for_this_run(
    cfg: Detectron2Config, job: TrainJob, device: torch.device, dtype: torch.dtype | None
) -> Detectron2Config:
    """Add what detectron2 takes from its configuration and the other engine from elsewhere."""
    values: dict[str, Any] = {
        "DATASETS.TRAIN": (TRAIN_SET,),
        "DATASETS.TEST": (VAL_SET,),
        "OUTPUT_DIR": str(job.models_dir),
        "MODEL.DEVICE": device.type,
        "DATALOADER.NUM_WORKERS": loader_workers(job.settings.num_workers, device),
        "SEED": job.settings.seed,
        "SOLVER.AMP.ENABLED": dtype == torch.float16,  # bf16 needs no scaler: autocast alone
    }
    cfg = cfg.merged(values, "the task").merged(job.overrides, "args_options")
    check_supported(cfg)
    if cfg["SOLVER.AMP.ENABLED"] and dtype != torch.float16:
        raise ConfigError("args_options: SOLVER.AMP.ENABLED True is written as precision: fp16 here, and needs a GPU")
    return cfg


def _introduce_processes() -> None:
    """Tell detectron2 of the processes that torch's launcher started; its own launcher knows GPUs only."""
    if processes.world_size() == 1:
        return
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes.world_size())))
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local)
        return
    for first in range(0, processes.world_size(), local):  # detectron2 0.6 has no function for it
        group = dist.new_group(list(range(first, first + local)))
        if first <= processes.rank() < first + local:
            comm._LOCAL_PROCESS_GROUP = group


def _train(job: TrainJob, cfg: Detectron2Config, device: torch.device, dtype: torch.dtype | None) -> TrainSummary:
    register_sets(job)
    # each process draws its own pictures; the weights of the first reach the others
    seed_all_rng(None if cfg["SEED"] < 0 else (cfg["SEED"] + processes.rank()) % 2**32)
    model = build_network(cfg, device, dtype)
    initial = initial_weights(cfg, job, CLASS_LAYERS)
    if initial is not None:
        state_dict, path = initial
        logger.info("training from %s\n%s", path, fill_network(model, state_dict, str(path)).table())
    if dtype == torch.bfloat16:
        train_in(model, device, dtype)
    detector = Detectron2Detector(model, cfg, job.class_names, device=device, autocast_dtype=dtype, batch_size=0)
    val_set = load_coco_json(job.val_json)

    def evaluate() -> Evaluation:
        return evaluate_detector(detector, val_set, job)

    average = WeightAverage(model, job.settings.ema) if job.settings.ema else None
    same = fingerprint(job, cfg, Detectron2Engine.name, str(dtype or "fp32"))
    measure_losses = None
    if isinstance(model, RetinaNet):  # the losses of other networks depend on proposals drawn by chance
        sums = retinanet_loss_sums(model, device, dtype)
        measure_losses = ValidationLoss(model, cfg, val_set, sums, job.stop_requested).measure
    with TrainingRun(
        job, cfg, model, evaluate, average=average, fingerprint=same, measure_losses=measure_losses
    ) as run:
        trainer = Trainer(cfg.node(), model, device, run, average)
        run.begin(trainer)
        trainer.train()
    for sentence in trainer.skipped.sentences():
        logger.warning("training: %s", sentence)
    return run.summary(describe_device(device))
