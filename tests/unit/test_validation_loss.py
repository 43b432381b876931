"""The losses of the validation set are those that a training step would have, and measuring leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training_parts import build, config, draw_set
from ymir_detectron2.dataset.coco_json import CocoDataset
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.pictures import TrainingPictures
from ymir_detectron2.training.sampling import Draw
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

CFG = config(INPUT__RANDOM_FLIP="none")  # training and inference look at 64 pixels, both


def measured(model: RetinaNet, folder: Path, hws: list[tuple[int, int]]) -> dict[str, float]:
    return loss_of(model, draw_set(folder, hws)).measure()


def loss_of(model: RetinaNet, data: CocoDataset) -> ValidationLoss:
    return ValidationLoss(model, CFG, data, retinanet_loss_sums(model, torch.device("cpu"), None))


def by_hand(model: RetinaNet, folder: Path, hws: list[tuple[int, int]]) -> dict[str, float]:
    """Sums over all pictures, divided by their positive anchors."""
    pictures = TrainingPictures(CFG, draw_set(folder, hws), seed=0)
    totals: dict[str, float] = {}
    objects = 0
    for number in range(len(hws)):
        image, boxes, classes = pictures[Draw(number, number)]
        with torch.no_grad():
            batch, _ = model.preprocess([torch.from_numpy(image)])
            sums, found = model.loss_sums(model(batch), [torch.from_numpy(boxes)], [torch.from_numpy(classes)])
        objects += int(found)
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    return {name: total / objects for name, total in totals.items()}


def test_the_sum_over_the_pictures_by_their_positive_anchors(tmp_path: Path):
    model, hws = build(CFG), [(64, 80), (100, 64)]
    assert measured(model, tmp_path, hws) == pytest.approx(by_hand(model, tmp_path, hws), rel=1e-5)


def test_the_model_stays_as_it_was(tmp_path: Path):
    model = build(CFG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    normalizer, generator = model.loss_normalizer, torch.get_rng_state()
    measured(model, tmp_path, [(64, 80)])
    assert model.training
    assert model.loss_normalizer == normalizer
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_unreadable_picture_is_left_out(tmp_path: Path):
    model, hws = build(CFG), [(64, 80), (64, 90)]
    data = draw_set(tmp_path, hws)
    Path(data.image_paths[1]).write_bytes(b"no picture")
    assert loss_of(model, data).measure() == pytest.approx(measured(model, tmp_path, hws[:1]), rel=1e-6)
