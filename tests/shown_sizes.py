"""At which sizes a detector shows images to its network: the setting `image_size`, the same in both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import torch

from tests.running import TINY_CONFIG
from tests.tiny_training import CLASSES
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.engines.base import DetectorOptions, Engine
from ymir_detectron2.retinanet.model import build_retinanet

SQUARE, PANORAMA = (640, 640), (300, 900)


def require_image_size(engine: Engine, folder: Path) -> None:
    """Load a model that was trained at 64 (96 at most) pixels with another `image_size`, and with args_options too."""
    torch.save({"model": build_retinanet(load_config(TINY_CONFIG), 2).state_dict()}, folder / "model_final.pth")
    package = ModelPackage(folder / "model_final.pth", TINY_CONFIG, None, "model_params_path")

    def sizes(image_size: int, overrides: Mapping[str, str]) -> list[tuple[int, ...]]:
        options = DetectorOptions(InferSettings(image_size=image_size), (), 0.5, 0, overrides, CLASSES)
        detector = engine.load_detector(package, options)
        augmentation = detector._augmentation  # type: ignore[attr-defined]
        copies = augmentation.short_edges if augmentation else ()
        return [detector.network_hw(SQUARE), detector.network_hw(PANORAMA), copies]

    assert sizes(0, {}) == [(64, 64), (32, 96), ()]
    assert sizes(128, {}) == [(128, 128), (64, 192), ()], "the limit of the longer edge in proportion"
    assert sizes(128, {"INPUT.MIN_SIZE_TEST": "80"}) == [(80, 80), (64, 192), ()], "args_options come last"
    augmented = {"TEST.AUG.ENABLED": "True"}
    assert sizes(32, augmented)[2] == (200, 250, 300, 350, 400, 450, 500, 550, 600), "half of detectron2's defaults"
    assert sizes(32, {**augmented, "TEST.AUG.MIN_SIZES": "(48,64)"})[2] == (48, 64)
