"""How a training begins in every engine: device, process group, precision, resolved config, anchors."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Callable, Generic, Iterator, Mapping

import torch
from torch import Tensor, nn

from .. import distributed
from ..config.engine_config import AnyConfig, ConfigLoader
from ..config.resolved_config import differences, resolved_yaml
from ..dataset.coco_json import CocoDataset, load_coco_json
from ..dataset.reading_guard import guard
from ..detections import Detector
from ..errors import ConfigError
from ..retinanet.checkpoint import LoadReport
from ..training.anchor_check import with_checked_anchors
from ..training.augmentations import augmentation_bytes_per_pixel
from ..training.checkpointing import fingerprint
from ..training.cost import describe_plan, many_passes_warning
from ..training.ema import ModelEma
from ..training.evaluate import StageEvaluator, evaluate_detector
from ..training.final_pass import final_pass_steps
from ..training.job import TrainJob
from ..training.lr_schedule import build_plan
from ..training.resolve_config import log_batch_and_rate, resolve_config
from ..training.run import StepTrainer, TrainingRun
from ..training.sampling import require_even_shares
from ..training.time_left import training_costs
from ..training.training_plan import TrainingPlan
from ..training.training_progress import TrainingProgress
from ..training.training_views import TrainingViews
from ..training.validation_loss import LossSums, ValidationLoss
from .arithmetic import name_of
from .devices import choose_arithmetic, choose_device, configure_cuda, describe_device, loader_workers
from .option_warnings import warn_of_training_options
from .pretrained import initial_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSetup(Generic[AnyConfig]):
    """What an engine needs before it builds a network."""

    job: TrainJob
    cfg: AnyConfig
    """Resolved: every key has its final value."""
    train_set: CocoDataset
    val_set: CocoDataset
    views: TrainingViews
    """What the network is shown of both sets."""
    device: torch.device
    autocast_dtype: torch.dtype | None
    """bfloat16 or float16 for mixed precision; None for plain fp32."""

    @property
    def precision(self) -> str:
        """The resolved precision, for the log and for checkpoints."""
        return name_of(self.autocast_dtype)

    def load_initial_weights(
        self, class_layers: tuple[str, ...], load: Callable[[Mapping[str, Tensor], str], LoadReport]
    ) -> None:
        """Load what fine-tuning starts from, see `initial_weights`; without any, the random weights stay."""
        initial = initial_weights(self.cfg, self.job, class_layers)
        if initial is not None:
            state_dict, path = initial
            logger.info("training from %s\n%s", path, load(state_dict, str(path)).table())

    def build_run(
        self, engine: str, model: nn.Module, trainer: StepTrainer, detector: Detector, *, ema: ModelEma | None,
        loss_sums: LossSums | None,
    ) -> TrainingRun:  # fmt: skip
        """Build the run of a trainer.

        Args:
            detector: with the very model that is trained, so that no copy of it is needed.
            loss_sums: computes the losses of the validation set; None: they are not measured.
        """
        job = self.job
        plan = build_plan(self.cfg)
        progress = self._progress(plan, has_ema=ema is not None, has_losses=loss_sums is not None)
        measure_losses = None
        if loss_sums is not None:
            measure_losses = ValidationLoss(
                model, self.cfg, self.views.val, loss_sums, job.stop_requested, progress.end_image
            ).measure
        evaluator = StageEvaluator(
            model, lambda: evaluate_detector(detector, self.val_set, job, progress.end_image),
            best_metric=job.settings.best_metric, ema=ema, measure_losses=measure_losses,
        )  # fmt: skip
        return TrainingRun(
            job, self.cfg, plan, model, trainer, evaluator, progress,
            fingerprint(job, self.cfg, engine, self.precision, self.views.tiling), self.views.tiling,
        )  # fmt: skip

    def _progress(self, plan: TrainingPlan, *, has_ema: bool, has_losses: bool) -> TrainingProgress:
        """Log what there is to do, and return what reports how much of it is done."""
        job, cfg, patience = self.job, self.cfg, self.job.settings.patience
        images = 0 if job.settings.label_review else len(self.train_set) + len(self.val_set)
        costs = training_costs(
            cfg, num_val_images=len(self.val_set), world_size=distributed.world_size(), has_ema=has_ema,
            has_losses=has_losses, has_export=bool(job.settings.export), views_per_image=self.views.per_val_image,
            end_steps=final_pass_steps(cfg, plan.max_iter, distributed.world_size(), images),
        )  # fmt: skip
        if distributed.rank() == 0:
            sizes = {"batch_size": cfg["SOLVER.IMS_PER_BATCH"], "num_train_images": self.views.draws}
            logger.info(describe_plan(plan, **sizes, num_val_images=len(self.val_set)))
            if warning := many_passes_warning(plan, **sizes, patience=patience):
                logger.warning(warning)
        return TrainingProgress(
            plan, costs, job.on_progress, patience=patience, is_on_cpu=self.device.type == "cpu",
            config_file=job.config_file, max_hours=job.settings.max_hours,
        )  # fmt: skip


@contextlib.contextmanager
def training_setup(
    job: TrainJob,
    load_config: ConfigLoader[AnyConfig],
    finish_config: Callable[[AnyConfig, torch.device], AnyConfig],
) -> Iterator[TrainingSetup[AnyConfig]]:
    """Set up a training in this process, which is part of a process group within the block.

    Args:
        load_config: reads a YAML file over the engine's defaults.
        finish_config: checks the resolved config, and adds what only this engine takes from it.
    """
    device = choose_device(job.gpu_ids, distributed.local_rank())
    distributed.init_process_group(device)  # first: rank 0 joins when it has converted the sets that all of them read
    try:
        # in every process: columns of NumPy, which even for a million boxes are small
        train_set, val_set = load_coco_json(job.train_json), load_coco_json(job.val_json)
        views = TrainingViews(job, train_set, val_set)
        cfg = resolve_config(job, load_config, views.cut)
        dtype = choose_arithmetic(job.settings.precision, device, cfg["MODEL.META_ARCHITECTURE"])
        cfg = finish_config(_with_task_values(job, cfg, device, dtype), device)
        base = load_config(job.config_file)
        warn_of_training_options(cfg, job.overrides, base, device)
        guard().expect(
            workers=cfg["DATALOADER.NUM_WORKERS"],
            augmentation_bytes_per_pixel=augmentation_bytes_per_pixel(job.settings.augmentations),
        )
        configure_cuda(cfg, device)
        require_even_shares(cfg["SOLVER.IMS_PER_BATCH"], distributed.world_size())
        # last: `anchors: auto` needs the final training sizes
        cfg = with_checked_anchors(job, cfg, views.train)
        setup = TrainingSetup(job, cfg, train_set, val_set, views, device, dtype)
        log_batch_and_rate(cfg)
        logger.info("computing in %s on %s, process %d of %d", setup.precision, describe_device(device),
                    distributed.rank() + 1, distributed.world_size())  # fmt: skip
        if distributed.rank() == 0:
            text = resolved_yaml(cfg, job.settings)
            job.on_config(text)
            logger.debug("resolved configuration:\n%s", text)
            logger.info("changed from %s: %s", job.config_file, differences(cfg, base) or "nothing")
        yield setup
    finally:
        distributed.destroy_process_group()


def _with_task_values(job: TrainJob, cfg: AnyConfig, device: torch.device, dtype: torch.dtype | None) -> AnyConfig:
    """Add the keys of detectron2 that the form has under another name, below args_options."""
    values = {
        "SEED": job.settings.seed,
        "DATALOADER.NUM_WORKERS": loader_workers(job.settings.num_workers, device),
        "SOLVER.AMP.ENABLED": dtype == torch.float16,  # detectron2's AMP is fp16; bf16 needs no loss scaling
    }
    cfg = cfg.merged(values, "config.yaml").merged(job.overrides, "args_options")
    if not 0 <= cfg["SEED"] < 2**32:
        raise ConfigError(f"args_options: SEED must be between 0 and 4294967295, found {cfg['SEED']}; leave it out")
    # what was asked for, not what the device makes of it: on the CPU, too, the two may agree
    if "SOLVER.AMP.ENABLED" in job.overrides and cfg["SOLVER.AMP.ENABLED"] != (job.settings.precision == "fp16"):
        raise ConfigError(
            f"args_options: SOLVER.AMP.ENABLED {cfg['SOLVER.AMP.ENABLED']}: mixed precision is chosen by the key"
            " precision of config.yaml, where fp16 is detectron2's and needs a GPU; set that, and leave this key out"
        )
    return cfg.merged({"SOLVER.AMP.ENABLED": values["SOLVER.AMP.ENABLED"]}, "the device")
