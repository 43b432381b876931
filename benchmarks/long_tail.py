"""A drawn set for active learning: a class in 1 % of the images, one in 5 %, half of the images empty, near copies.

Drawn like the set of the demo: shapes on textured backgrounds with clutter in their colours. Crosses (1 %) have the
colours of bars and stars (5 %) those of triangles, so that a network which knows neither takes them for a common class.
Boxes are the same on every machine; pixels too, as far as OpenCV and Pillow compute alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, NamedTuple, Sequence

import numpy as np
from PIL import Image

from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.draw_dataset import draw_background, paint_shapes

COMMON = {"disc": 0.24, "bar": 0.2, "triangle": 0.16}
"""Class -> share of the images that show it."""
POOL_RARE = {"cross": 0.01, "star": 0.05}
VAL_RARE = {"cross": 0.15, "star": 0.15}
"""More than in the pool: AP50 of a class in three images would be a matter of luck."""
POOL_IMAGES, VAL_IMAGES, COMMON_IMAGES = 1500, 300, 600
EMPTY_SHARE = 0.5
SIDE = 160
"""Width and height of an image in pixels."""
COPY_SHARE = 0.2
"""Of the pool: the scene of an image before it, a few pixels aside and in other light."""
_COPIES_OF_A_SCENE = 3
_MAX_SHIFT = 8
"""Between two shots of a scene, in pixels."""


class _Scene(NamedTuple):
    """What an image shows."""

    number: int
    class_names: Sequence[str]


def draw_pool(folder: Path, count: int = POOL_IMAGES) -> list[AnnotatedImage]:
    """Draw the images to choose from, in an order that tells nothing.

    Args:
        folder: created if it does not exist.
        count: images.
    """
    rng = np.random.default_rng(1)
    copies = round(count * COPY_SHARE)
    scenes = _plan_scenes(rng, count - copies, POOL_RARE)
    repeated = rng.choice(len(scenes), size=-(-copies // _COPIES_OF_A_SCENE), replace=False)
    shots = scenes + [scenes[place] for place in np.repeat(repeated, _COPIES_OF_A_SCENE)[:copies]]
    order = rng.permutation(len(shots))
    return _draw(folder, [shots[place] for place in order], seed=1)


def draw_val(folder: Path, count: int = VAL_IMAGES) -> list[AnnotatedImage]:
    """Draw the images to measure on: each rare class in 15 %, no copies; see `draw_pool`."""
    return _draw(folder, _plan_scenes(np.random.default_rng(2), count, VAL_RARE), seed=2)


def draw_common(folder: Path, count: int = COMMON_IMAGES) -> list[AnnotatedImage]:
    """Draw other scenes without the rare classes, to train a start that knows the common ones; see `draw_pool`."""
    return _draw(folder, _plan_scenes(np.random.default_rng(77), count, {}), seed=77)


def _plan_scenes(rng: np.random.Generator, count: int, rare: Mapping[str, float]) -> list[_Scene]:
    """Deal the classes out, one or two objects of each; the shares of the rare ones are exact."""
    filled = round(count * (1 - EMPTY_SHARE))
    shown: list[list[str]] = [[] for _ in range(count)]
    for class_name, share in {**rare, **COMMON}.items():
        # rare classes mostly with common ones, as defects on goods: all places below `filled`
        for place in rng.choice(filled, size=round(count * share), replace=False):
            shown[place] += [class_name] * int(rng.integers(1, 3))
    for names in shown[:filled]:
        if not names:  # it is one of those that are not empty
            names.append(str(rng.choice(list(COMMON))))
    return [_Scene(number, tuple(names)) for number, names in enumerate(shown)]


def _draw(folder: Path, shots: Sequence[_Scene], seed: int) -> list[AnnotatedImage]:
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw_shot(folder / f"image_{number:04d}.jpg", scene, seed) for number, scene in enumerate(shots)]


def _draw_shot(path: Path, scene: _Scene, seed: int) -> AnnotatedImage:
    """Photograph a scene: what it shows follows from its number; place, light and noise from that of the image."""
    rng = np.random.default_rng([seed, scene.number])
    canvas = draw_background(rng, SIDE + _MAX_SHIFT, SIDE + _MAX_SHIFT)
    # a view: shapes are painted where every crop has them whole
    shapes = paint_shapes(rng, canvas[_MAX_SHIFT:SIDE, _MAX_SHIFT:SIDE], scene.class_names)
    shot = np.random.default_rng([seed, 1, int(path.stem.rpartition("_")[2])])
    left, top = (int(offset) for offset in shot.integers(0, _MAX_SHIFT + 1, size=2))
    crop = canvas[top : top + SIDE, left : left + SIDE] * shot.uniform(0.92, 1.08)
    pixels_bgr = np.clip(crop + shot.normal(0, shot.uniform(2, 7), crop.shape), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(pixels_bgr[..., ::-1])).save(str(path), quality=92)
    dx, dy = _MAX_SHIFT - left, _MAX_SHIFT - top
    boxes = (shape.box for shape in shapes)
    return AnnotatedImage(path, tuple((name, x1 + dx, y1 + dy, x2 + dx, y2 + dy) for name, x1, y1, x2, y2 in boxes))
