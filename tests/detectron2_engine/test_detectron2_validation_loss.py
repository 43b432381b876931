"""Both engines measure the same losses of a validation set, and detectron2's running normaliser stays as it was."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from tests.tiny_training import CLASSES, build, config, draw_set
from ymir_detectron2.training import validation_loss
from ymir_detectron2.training.validation_loss import ValidationLoss

pytestmark = [pytest.mark.detectron2, pytest.mark.filterwarnings("ignore")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    pytest.importorskip("detectron2")
    from ymir_detectron2.engines.detectron2_engine.configuration import load_config
    from ymir_detectron2.engines.detectron2_engine.network import build_network, fill_network
    from ymir_detectron2.engines.detectron2_engine.validation_loss import retinanet_loss_sums

CPU = torch.device("cpu")


def test_the_same_weights_have_the_same_losses_in_both_engines(tmp_path: Path):
    data = draw_set(tmp_path)
    cfg = config(MODEL__RETINANET__NUM_CLASSES=len(CLASSES))
    ours = build(cfg)
    (tmp_path / "config.yaml").write_text(cfg.to_yaml())
    theirs = build_network(load_config(tmp_path / "config.yaml"), CPU)
    fill_network(theirs, ours.state_dict(), "ours")
    before = getattr(theirs, "loss_normalizer", None)
    losses = ValidationLoss(theirs, cfg, data, retinanet_loss_sums(theirs, CPU, None)).measure()
    expected = ValidationLoss(ours, cfg, data, validation_loss.retinanet_loss_sums(ours, CPU, None)).measure()
    assert losses == pytest.approx(expected, rel=1e-4)
    assert set(losses) == {"loss_cls", "loss_box_reg"}
    assert getattr(theirs, "loss_normalizer", None) == before
