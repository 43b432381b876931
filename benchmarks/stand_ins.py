"""Pictures and models to measure with: drawn, and with random weights that find about as much as trained ones."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.measuring import PROJECT_DIR
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.image_reading import read_image_bgr
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.config import load_config
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.retinanet.resize import resize_image, resized_hw
from ymir_detectron2.tools.draw_dataset import draw_pictures

RETINANET_50 = PROJECT_DIR / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"
SMALL = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
TINY = PROJECT_DIR / "tests" / "data" / "tiny.yaml"

SCORE_THRESHOLD = 0.2
CANDIDATES = 50
"""Pairs of anchor and class above the threshold in one picture. A trained network has more, several on each object;
of these, which lie scattered, NMS leaves most."""


def write_pictures(
    folder: Path, count: int, *, height: int = 384, width: int = 640, different: int = 1
) -> list[Path]:
    """Drawn JPEG files of one size, under many names. 640 x 384 becomes 1333 x 800.

    Args:
        different: how many are not alike. Of a large network with random weights, what is found in one picture says
            nothing about the next; with one picture, all who are compared find equally much.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = max(height, width)
    drawn = draw_pictures(folder / "drawn", min(count, different), seed=0, image_sides=(side,))
    paths: list[Path] = []
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        if number < len(drawn):
            pixels_bgr = read_image_bgr(drawn[number].image)[:height, :width]
            Image.fromarray(pixels_bgr[..., ::-1].copy()).save(path, quality=90)
        else:
            os.link(paths[number % len(drawn)], path)
        paths.append(path)
    return paths


def write_model(
    folder: Path, config_file: Path, num_classes: int, picture: Path, overrides: Mapping[str, Any]
) -> ModelPackage:
    """A model package with random weights that finds a realistic number of things in `picture`."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(config_file).merged(overrides, "the benchmark")
    torch.manual_seed(0)
    model = build_retinanet(cfg, num_classes).eval()
    image_bgr = read_image_bgr(picture)
    height, width = image_bgr.shape[:2]
    hw = resized_hw(height, width, cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"])
    batch, _ = model.preprocess([torch.from_numpy(np.array(resize_image(image_bgr, hw))).permute(2, 0, 1)])
    make_realistic(model.head.cls_score, model.head.bbox_pred, lambda: model(batch))
    names = [f"class_{number}" for number in range(num_classes)]
    write_checkpoint(folder / "model.pth", model.state_dict(), {"class_names": names})
    (folder / "config.yaml").write_text(cfg.to_yaml(), encoding="utf-8")
    return package_in(folder)


def package_in(folder: Path) -> ModelPackage:
    """The model package that `write_model` left there."""
    return ModelPackage(folder / "model.pth", folder / "config.yaml", None, "the benchmark")


@torch.no_grad()
def make_realistic(class_layer: nn.Conv2d, box_layer: nn.Conv2d, look: Callable[[], Any]) -> None:
    """Scale the last layers of a network so that `look`, one look at one picture, says CANDIDATES.

    Time for decoding and NMS depends on how much is found, and random weights find all or nothing.
    """
    logits, deltas = _outputs([class_layer, box_layer], look)
    assert class_layer.bias is not None
    class_layer.weight /= logits.std()
    box_layer.weight *= 0.1 / deltas.std()
    class_layer.bias.zero_()
    logits, _ = _outputs([class_layer, box_layer], look)
    weakest = torch.topk(logits, CANDIDATES).values[-1]
    class_layer.bias += math.log(SCORE_THRESHOLD / (1 - SCORE_THRESHOLD)) - weakest


def _outputs(layers: list[nn.Conv2d], look: Callable[[], Any]) -> list[Tensor]:
    """All that each layer says in one look, flat."""
    said: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda _module, _input, output, into=into: into.append(output.float().flatten()))
        for layer, into in zip(layers, said)
    ]
    look()
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts) for parts in said]
