"""Synthetic images and models to measure with: drawn images, random weights with a realistic number of detections."""

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
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.dataset.image_reading import read_image_bgr
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.retinanet.resize import resize_image, resized_hw
from ymir_detectron2.tools.draw_dataset import draw_images

RETINANET_50 = PROJECT_DIR / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"
SMALL = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
TINY = PROJECT_DIR / "tests" / "data" / "tiny.yaml"

SCORE_THRESHOLD = 0.2
CANDIDATES = 50
"""Pairs of anchor and class above the threshold in one image. A trained network has more, several per object; these
are scattered, and NMS keeps most of them."""


def write_images(
    folder: Path, count: int, *, height: int = 384, width: int = 640, different: int = 1
) -> list[Path]:
    """Write `count` drawn JPEG files of one size; the network resizes 640 x 384 to 1333 x 800.

    Args:
        different: how many of them differ; the others are hard links. With random weights of a large network the number
            of detections varies wildly between images; with one image it is the same for everything compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = max(height, width)  # the drawing is square and cropped
    drawn = draw_images(folder / "drawn", min(count, different), seed=0, image_sides=(side,))
    paths: list[Path] = []
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        if number < len(drawn):
            pixels_bgr = read_image_bgr(drawn[number].path)[:height, :width]
            Image.fromarray(pixels_bgr[..., ::-1].copy()).save(path, quality=90)
        else:
            os.link(paths[number % len(drawn)], path)
        paths.append(path)
    return paths


def write_model(
    folder: Path, config_file: Path, num_classes: int, image: Path, overrides: Mapping[str, Any]
) -> ModelPackage:
    """Write a model package with random weights and a realistic number of detections in `image`."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(config_file).merged(overrides, "the benchmark")
    torch.manual_seed(0)  # the same weights in every run and every worker
    model = build_retinanet(cfg, num_classes).eval()
    image_bgr = read_image_bgr(image)
    height, width = image_bgr.shape[:2]
    hw = resized_hw(height, width, cfg["INPUT.MIN_SIZE_TEST"], cfg["INPUT.MAX_SIZE_TEST"])
    batch, _ = model.preprocess([torch.from_numpy(np.array(resize_image(image_bgr, hw))).permute(2, 0, 1)])
    make_realistic(model.head.cls_score, model.head.bbox_pred, lambda: model(batch))
    names = [f"class_{number}" for number in range(num_classes)]
    write_checkpoint(folder / "model.pth", model.state_dict(), {"class_names": names})
    (folder / "config.yaml").write_text(cfg.to_yaml(), encoding="utf-8")
    return package_in(folder)


def package_in(folder: Path) -> ModelPackage:
    """Return the model package that `write_model` wrote."""
    return ModelPackage(folder / "model.pth", folder / "config.yaml", None, "the benchmark")


@torch.no_grad()
def make_realistic(class_layer: nn.Conv2d, box_layer: nn.Conv2d, forward: Callable[[], Any]) -> None:
    """Scale the last layers of a network so that one image has CANDIDATES scores above the threshold.

    The time of decoding and NMS depends on the number of detections, and random weights yield all anchors or none.

    Args:
        forward: one forward pass of one image through the layers.
    """
    logits, deltas = _outputs([class_layer, box_layer], forward)  # (all levels, cells, anchors and classes) flat
    assert class_layer.bias is not None
    class_layer.weight /= logits.std()  # standard deviation 1; the bias below shifts them
    box_layer.weight *= 0.1 / deltas.std()  # boxes stay near their anchors
    class_layer.bias.zero_()
    logits, _ = _outputs([class_layer, box_layer], forward)
    weakest = torch.topk(logits, CANDIDATES).values[-1]
    # the bias moves the weakest candidate exactly to the threshold
    class_layer.bias += math.log(SCORE_THRESHOLD / (1 - SCORE_THRESHOLD)) - weakest


def _outputs(layers: list[nn.Conv2d], forward: Callable[[], Any]) -> list[Tensor]:
    """Return the outputs of each layer in one forward pass, over all pyramid levels, flat."""
    outputs: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda _module, _input, output, into=into: into.append(output.float().flatten()))
        for layer, into in zip(layers, outputs)
    ]
    forward()
    for hook in hooks:
        hook.remove()
    return [torch.cat(levels) for levels in outputs]
