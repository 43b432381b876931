"""The keys of training: which a training may be resumed with, and the size of an exported model."""

from __future__ import annotations

import pytest

from ymir_detectron2.config.read_settings import values_where
from ymir_detectron2.config.train_settings import TrainSettings, parse_size


def test_settings_with_which_a_training_may_be_resumed():
    assert set(values_where(TrainSettings(), lambda effects: effects.resumable)) == {
        "accumulate", "args_options", "batch_size", "config_file", "engine", "eval_period", "export", "export_format",
        "export_opset", "export_size", "image_size", "label_review", "learning_rate", "max_epochs", "max_hours",
        "max_image_megapixels", "max_iter", "num_workers", "patience", "precision", "tile_overlap", "tile_size",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [("", ()), ("800x1344", (800, 1344)), ("0800x1344", (800, 1344)), ("0x5", ()), ("800", ()), ("123456x3", ()),
     ("800X1344", (800, 1344)), (" 800 x 1344 ", (800, 1344)), ("-1x5", ()), ("800x1344x3", ())],
)  # fmt: skip
def test_sizes_are_height_and_width(text: str, size: tuple[int, ...]):
    assert parse_size(text) == size


def test_the_texts_that_stand_for_several_values():
    settings = TrainSettings(augment="mosaic,random_crop", export_size="480x640")
    assert settings.augmentations == ("mosaic", "random_crop")
    assert settings.export_hw == (480, 640)
