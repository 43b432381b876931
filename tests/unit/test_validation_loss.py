"""The losses of the validation set are those that a training step would have, and measuring leaves no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_training import build, config, draw_set, validation_loss
from ymir_detectron2.errors import StoppedError
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.augmentations import LabelledImage
from ymir_detectron2.training.samples import TrainingDataset
from ymir_detectron2.training.sampling import SampleIndex
from ymir_detectron2.training.validation_loss import ValidationLoss, retinanet_loss_sums

CFG = config(INPUT__RANDOM_FLIP="none")  # training and inference sizes are both 64 pixels


def measured(model: RetinaNet, folder: Path, hws: list[tuple[int, int]]) -> dict[str, float]:
    return validation_loss(model, CFG, draw_set(folder, hws)).measure()


def by_hand(model: RetinaNet, folder: Path, hws: list[tuple[int, int]]) -> dict[str, float]:
    """Sums over all images, divided by their positive anchors."""
    images = TrainingDataset(CFG, draw_set(folder, hws), seed=0)
    totals: dict[str, float] = {}
    total_positives = 0
    for number in range(len(hws)):
        image, boxes, classes = images[SampleIndex(number, number)]
        with torch.no_grad():
            batch, _ = model.preprocess([torch.from_numpy(image).permute(2, 0, 1)])
            sums, num_positives = model.loss_sums(model(batch), [torch.from_numpy(boxes)], [torch.from_numpy(classes)])
        total_positives += int(num_positives)
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    return {name: total / total_positives for name, total in totals.items()}


def test_the_sum_over_the_images_by_their_positive_anchors(tmp_path: Path):
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


def test_an_unreadable_image_is_left_out(tmp_path: Path):
    model, hws = build(CFG), [(64, 80), (64, 90)]
    data = draw_set(tmp_path, hws)
    Path(data.image_paths[1]).write_bytes(b"no image")
    assert validation_loss(model, CFG, data).measure() == pytest.approx(measured(model, tmp_path, hws[:1]), rel=1e-6)


def test_at_most_fifty_images_evenly_spaced(tmp_path: Path):
    model = build(CFG)
    used = []

    def record(image: LabelledImage) -> tuple[dict[str, float], int]:
        used.append(image.image_hwc.shape[1])
        return {"loss_cls": 2.0}, 1

    data = draw_set(tmp_path, [(1, width) for width in range(1, 100)])
    assert ValidationLoss(model, CFG, data, record).measure() == {"loss_cls": 2.0}
    assert len(used) == 50


def test_of_tiles_without_objects_none_is_measured_that_training_seldom_draws(tmp_path: Path):
    data = draw_set(tmp_path)
    model, seen = build(config()), []

    def record(image: LabelledImage) -> tuple[dict[str, float], int]:
        seen.append(image.classes.tolist())
        return {"loss": 0.0}, 0

    few = data.with_columns(draws=np.array([1.0, 0.3, 1.0, 0.3]))
    ValidationLoss(model, config(), few, record).measure()
    assert seen == [[0], [0]], "the first and the third, which are of class a"


def test_a_stop_request_ends_the_measurement_and_leaves_the_training_mode(tmp_path: Path):
    model = build(CFG)
    sums = retinanet_loss_sums(model, torch.device("cpu"), None)
    with pytest.raises(StoppedError, match="during an evaluation"):
        ValidationLoss(model, CFG, draw_set(tmp_path), sums, lambda: True).measure()
    assert model.training


def test_a_set_without_a_readable_image_has_no_losses(tmp_path: Path):
    data = draw_set(tmp_path, [(64, 80)])
    Path(data.image_paths[0]).write_bytes(b"no image")
    assert validation_loss(build(CFG), CFG, data).measure() == {}
