"""The `detectron2` engine: its configurations, catalogs, trainer and networks. Only this package imports detectron2."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

from .. import pillow_names  # noqa: F401, first: detectron2 0.6 cannot be imported without it

# isort: split
import torch
import torch.distributed as dist
from detectron2.modeling import RetinaNet
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from ... import distributed
from ...config.image_sizes import with_image_size
from ...config.model_keys import CLASS_COUNTS, PREDICTION_KEYS
from ...config.packed_config import TRAIN_SET, VAL_SET
from ...config.read_settings import require_implemented
from ...contract.model_package import ModelPackage
from ...detections import Detector
from ...errors import ConfigError
from ...retinanet.checkpoint import read_checkpoint
from ...tile_windows import Tiling
from ...training.ema import ModelEma
from ...training.job import TrainJob, TrainSummary
from ...training.loop import train
from ...training.resolve_config import require_free
from ..arithmetic import name_of
from ..base import DetectorOptions
from ..devices import choose_arithmetic, choose_device, configure_cuda, describe_device
from ..option_warnings import warn_of_detector_options
from ..pretrained import class_names_of, config_of, require_complete
from ..training_setup import training_setup
from .catalogs import register_sets
from .configuration import Detectron2Config, check_supported, load_config
from .detector import Detectron2Detector
from .network import CLASS_LAYERS, build_network, check_deformable, fill_network, train_in
from .trainer import Trainer
from .validation_loss import retinanet_loss_sums

logger = logging.getLogger(__name__)

_THRESHOLDS = ("MODEL.RETINANET.SCORE_THRESH_TEST", "MODEL.ROI_HEADS.SCORE_THRESH_TEST")


class Detectron2Engine:
    """See `base.Engine`."""

    name = "detectron2"

    def train(self, job: TrainJob) -> TrainSummary:
        """Train a network of detectron2; with several processes, called in each."""
        with training_setup(job, load_config, functools.partial(_finish_config, job)) as setup:
            cfg, device, dtype = setup.cfg, setup.device, setup.autocast_dtype
            _require_whole_images(setup.views.tiling)
            _introduce_processes()
            register_sets((job.train_json, job.val_json), job.class_names)
            # each process draws its own images; the weights of the first one reach the others
            seed_all_rng((cfg["SEED"] + distributed.rank()) % 2**32)
            model = build_network(cfg, device)
            setup.load_initial_weights(CLASS_LAYERS, functools.partial(fill_network, model))
            if dtype == torch.bfloat16:
                train_in(model, device, dtype)
            ema = ModelEma(model, job.settings.ema) if job.settings.ema else None
            trainer = Trainer(cfg, model, device, ema)
            detector = Detectron2Detector(
                model, cfg, job.class_names, device=device, autocast_dtype=dtype, batch_size=0
            )  # fmt: skip
            # the losses of other networks depend on randomly sampled proposals
            loss_sums = retinanet_loss_sums(model, device, dtype) if isinstance(model, RetinaNet) else None
            with setup.build_run(self.name, model, trainer, detector, ema=ema, loss_sums=loss_sums) as run:
                train(run)
            return run.summary(describe_device(device), setup.precision)

    def load_detector(self, package: ModelPackage, options: DetectorOptions) -> Detector:
        """Load a trained model for the classes that it was trained for."""
        require_free(options.overrides)
        checkpoint = read_checkpoint(package.weights)
        names = class_names_of(package, checkpoint.metadata, options.class_names)
        # of both kinds of head; keys of the one that the network does not have change nothing
        form = {
            **dict.fromkeys(_THRESHOLDS, options.score_threshold),
            **dict.fromkeys(CLASS_COUNTS, len(names)),
        }
        cfg = with_image_size(load_config(config_of(package), PREDICTION_KEYS), options.settings.image_size)
        cfg = cfg.merged(form, "config.yaml").merged(options.overrides, "args_options")
        check_supported(cfg)
        device = choose_device(options.gpu_ids, distributed.local_rank())
        check_deformable(cfg, device, training=False)
        warn_of_detector_options(cfg, options.overrides, device)
        configure_cuda(cfg, device)
        dtype = choose_arithmetic(options.settings.precision, device, cfg["MODEL.META_ARCHITECTURE"])
        model = build_network(cfg, device)
        require_complete(fill_network(model, checkpoint.state_dict, str(package.weights)), package, len(names))
        logger.info("loaded %s (%s), computing in %s on %s", package.weights, ", ".join(names), name_of(dtype),
                    describe_device(device))  # fmt: skip
        return Detectron2Detector(
            model, cfg, names, device=device, autocast_dtype=dtype, batch_size=options.batch_size,
            tiling=Tiling.of_checkpoint(checkpoint.metadata),
        )  # fmt: skip


def _finish_config(job: TrainJob, cfg: Detectron2Config, device: torch.device) -> Detectron2Config:
    """Check the config, and add what detectron2 takes from it and the torch engine from elsewhere."""
    require_implemented(job.settings, Detectron2Engine.name)
    values: dict[str, Any] = {
        "DATASETS.TRAIN": (TRAIN_SET,),
        "DATASETS.TEST": (VAL_SET,),
        "OUTPUT_DIR": str(job.models_dir),
        "MODEL.DEVICE": device.type,
    }
    cfg = cfg.merged(values, "the task").merged(job.overrides, "args_options")
    check_supported(cfg, training=True)
    check_deformable(cfg, device, training=True)
    return cfg


def _require_whole_images(tiling: Tiling) -> None:
    # the key itself is refused by `require_implemented`: here is what a chosen model brings
    if tiling.size:
        raise ConfigError(
            f"config.yaml: tile_size: the chosen model was trained on tiles of {tiling.size} px, which needs engine:"
            " torch; set that, or tile_size: none"
        )


def _introduce_processes() -> None:
    """Let detectron2 know the processes that torch's launcher started; its own launcher starts one per GPU only."""
    if distributed.world_size() == 1:
        return
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(distributed.world_size())))
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local)
        return
    for first in range(0, distributed.world_size(), local):  # detectron2 0.6 has no function for it
        group = dist.new_group(list(range(first, first + local)))
        if first <= distributed.rank() < first + local:
            comm._LOCAL_PROCESS_GROUP = group
