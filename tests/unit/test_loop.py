"""The training loop: what a step changes, and what restarts, overflows and unreadable images change in it."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch

from tests.tiny_training import build, config, draw_set, trainer_of
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.ema import ModelEma
from ymir_detectron2.training.loop import Trainer

ONE_IMAGE = config(SOLVER__IMS_PER_BATCH=1)
has_cpu_scaler = pytest.mark.skipif(
    not hasattr(getattr(torch, "amp", None), "GradScaler"), reason="this torch scales on GPUs only"
)


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_step_follows_the_schedule_and_moves_weights_and_ema(tmp_path: Path):
    """Warm-up from 0.1 to 1 in two steps: BASE_LR 0.01 times 0.1, 0.55, 1."""
    cfg = config(SOLVER__IMS_PER_BATCH=2, SOLVER__BASE_LR=0.01, SOLVER__WARMUP_ITERS=2, SOLVER__WARMUP_FACTOR=0.1)
    model = build(cfg)
    before = weights_of(model)
    ema = ModelEma(model, 0.9)
    trainer = trainer_of(model, cfg, draw_set(tmp_path), ema=ema)
    stats = [trainer.train_step(step) for step in (1, 2, 3)]
    assert [one.step for one in stats] == [1, 2, 3]
    assert [one.learning_rate for one in stats] == pytest.approx([0.001, 0.0055, 0.01])
    assert all(set(one.losses) == {"loss_cls", "loss_box_reg"} and one.gradient_norm > 0 for one in stats)
    assert not torch.equal(model.head.cls_score.bias, before["head.cls_score.bias"])
    assert ema.state_dict()["steps"] == 3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_restored_trainer_takes_the_very_next_step(tmp_path: Path, num_workers: int):
    """Whatever has prefetched images: the next batch is the one after the last that was used."""
    cfg, data = config(SOLVER__IMS_PER_BATCH=1), draw_set(tmp_path)
    model = build(cfg)
    whole = trainer_of(model, cfg, data, num_workers=num_workers, accumulate=1)
    for step in (1, 2):
        whole.train_step(step)
    state = whole.state()
    third = whole.train_step(3)
    other = build(cfg, seed=1)
    resumed = trainer_of(other, cfg, data)
    resumed.restore(state, 2)
    assert resumed.train_step(3).losses == third.losses
    assert all(torch.equal(value, weights_of(model)[name]) for name, value in other.state_dict().items())


def test_micro_batches_of_the_former_start_are_kept(tmp_path: Path):
    """Memory that ran out before would run out again."""
    data = draw_set(tmp_path)
    state = trainer_of(build(ONE_IMAGE), ONE_IMAGE, data, accumulate=4).state()
    resumed = trainer_of(build(ONE_IMAGE), ONE_IMAGE, data, accumulate=2)
    resumed.restore(state, 0)
    assert resumed.state()["parts"] == 4


def test_unreadable_images_are_skipped_and_counted(tmp_path: Path):
    data = draw_set(tmp_path)
    Path(data.image_paths[1]).write_bytes(b"no image")
    trainer = trainer_of(build(ONE_IMAGE), ONE_IMAGE, data)
    for step in range(1, 9):  # two draws of the set of four: one image, not two
        trainer.train_step(step)
    (sentence,) = trainer.skipped
    assert data.image_paths[1] in sentence


def test_a_set_without_a_readable_image_is_an_error(tmp_path: Path):
    data = draw_set(tmp_path, [(64, 80)])
    Path(data.image_paths[0]).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"no image of 1000 batches could be decoded, e.g. .*0.png"):
        trainer_of(build(ONE_IMAGE), ONE_IMAGE, data).train_step(1)


def overflowing_trainer(folder: Path, backoff_factor: float) -> tuple[RetinaNet, Trainer]:
    """A trainer with the loss scaler of fp16, in single precision, in which the CPU is a hundred times faster.

    Its scale begins so high that the gradient overflows.
    """
    model = build(ONE_IMAGE)
    model.loss_normalizer = 1.0  # makes gradients large: 2**127 is the largest scale that single precision has
    trainer = trainer_of(model, ONE_IMAGE, draw_set(folder))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=backoff_factor)
    trainer._scaler = trainer._gradients._scaler = scaler
    return model, trainer


@has_cpu_scaler
def test_steps_that_overflow_under_the_loss_scaler_are_skipped_and_counted(tmp_path: Path):
    """The scale is lowered until the gradient is finite."""
    model, trainer = overflowing_trainer(tmp_path, backoff_factor=2.0**-40)
    before = model.head.cls_score.bias.detach().clone()
    assert not math.isfinite(trainer.train_step(1).gradient_norm)
    assert trainer.skipped_steps == 1
    assert torch.equal(model.head.cls_score.bias, before)
    assert math.isfinite(trainer.train_step(2).gradient_norm)
    assert trainer.skipped_steps == 1
    assert not torch.equal(model.head.cls_score.bias, before)
    assert trainer.state()["skipped_steps"] == 1


@has_cpu_scaler
def test_a_scaler_that_finds_no_scale_is_a_failure_like_any_other(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    _, trainer = overflowing_trainer(tmp_path, backoff_factor=0.9999)
    trainer._overflows_in_a_row = 28  # of thirty
    with caplog.at_level(logging.WARNING):
        trainer.train_step(1)
        trainer.train_step(2)
        assert trainer.skipped_steps == 2
        assert not caplog.messages
        trainer.train_step(3)
    assert "step 3: the norm of the gradient is" in caplog.text


@has_cpu_scaler
@pytest.mark.parametrize("before", [torch.float16, None])
def test_a_training_goes_on_in_another_arithmetic(tmp_path: Path, before: torch.dtype | None):
    """From fp16 with its loss scaler, as on a GPU, to fp32 without one, as on a CPU; and back."""
    data, after = draw_set(tmp_path), None if before is torch.float16 else torch.float16
    model = build(ONE_IMAGE)
    first = trainer_of(model, ONE_IMAGE, data, autocast_dtype=before)
    first.train_step(1)
    state = first.state()
    assert ("scaler" in state["state"]) == (before is torch.float16)
    other = build(ONE_IMAGE, seed=1)
    resumed = trainer_of(other, ONE_IMAGE, data, autocast_dtype=after)
    resumed.restore(state, 1)
    assert all(torch.equal(value, weights_of(model)[name]) for name, value in other.state_dict().items())
    assert math.isfinite(resumed.train_step(2).gradient_norm)
    assert ("scaler" in resumed.state()["state"]) == (after is torch.float16)


@has_cpu_scaler
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_statistics_and_losses_stay_in_single_precision(tmp_path: Path, dtype: torch.dtype):
    """Autocast changes what the network computes in, and nothing that is kept or summed."""
    cfg = ONE_IMAGE.merged({"MODEL.RESNETS.NORM": "BN"}, "test")
    model = build(cfg)
    trainer = trainer_of(model, cfg, draw_set(tmp_path), autocast_dtype=dtype)
    seen: dict[str, set[torch.dtype]] = {"logits": set(), "losses": set()}
    loss_sums = model.loss_sums

    def watch(dense, *ground_truth):
        sums, count = loss_sums(dense, *ground_truth)
        seen["logits"].update(level.dtype for level in dense.logits)
        seen["losses"].update(value.dtype for value in sums.values())
        return sums, count

    model.loss_sums = watch
    trainer.train_step(1)
    assert seen == {"logits": {dtype}, "losses": {torch.float32}}
    state = trainer.state()["state"]
    kept = [*state["model"].values(), *(one["momentum_buffer"] for one in state["optimizer"]["state"].values())]
    assert {value.dtype for value in kept if value.is_floating_point()} == {torch.float32}
