"""How well anchors fit the boxes of a data set, and k-means anchors that fit them better.

A box is reached when some anchor with the same centre overlaps it by an IoU of 0.5 or more. The network also learns
from the others, since the best anchors of a box are always matched with it, but those are few and fit badly.

Letters: M boxes, A anchors. Sizes are square roots of areas in pixels of the resized image, ratios height / width,
both as lists per level, as in MODEL.ANCHOR_GENERATOR.SIZES and ASPECT_RATIOS.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence

import numpy as np

from .resize import resized_hw

REACHED_IOU = 0.5
Lists = List[List[float]]

_CHUNK = 4096  # boxes per table of overlaps: there may be a million, and the table is to stay in the cache
_MAX_BOXES = 5000  # of a fit; more change the third digit of the IoU
_MIN_BOXES = 10  # per size of a level, or per ratio; with fewer, the present values stay
_ROUNDS = 30
_STARTS = 8  # k-means ends in a local optimum, which depends on its start
# Closer anchors match the same boxes, and leave none for the other scales of augmented images. At these steps, factors
# 1.12 and 1.26, neighbours overlap by an IoU of 0.79.
_MIN_SIZE_STEP = float(np.log(2)) / 6
_MIN_RATIO_STEP = float(np.log(2)) / 3


class AnchorFit(NamedTuple):
    """Anchors in the form of the configuration, and how well these and the former ones fit."""

    sizes: Lists
    """One list per level."""
    aspect_ratios: Lists
    """One list per level, or a single one for all where the configuration has one."""
    missed_before: float
    """Share of boxes not reached, in [0, 1]."""
    missed: float
    iou_before: float
    """Mean over the boxes of the IoU with the best anchor."""
    iou: float


def resized_wh(boxes_xyxy: np.ndarray, image_hw: np.ndarray, short_edge: int, max_edge: int) -> np.ndarray:
    """Return (M, 2) float64 widths and heights of boxes in pixels of the resized images.

    Args:
        boxes_xyxy: (M, 4) in pixels of the original images.
        image_hw: (M, 2) height and width of the image of each box.
        short_edge, max_edge: as for `resized_hw`.
    """
    # many images share few sizes: resized_hw() runs once per size
    sizes, inverse = np.unique(image_hw.reshape(-1, 2), axis=0, return_inverse=True)
    resized = np.array([resized_hw(int(h), int(w), short_edge, max_edge) for h, w in sizes]).reshape(-1, 2)
    scales_hw = (resized / np.maximum(sizes, 1))[inverse.reshape(-1)]  # (M, 2); NumPy 2.0 alone has inverse as (M, 1)
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).astype(np.float64) * scales_hw[:, ::-1]


def missed_share(boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]]) -> float:
    """Return the share of boxes (M, 2) that no anchor of any level reaches, in [0, 1]; 0 for no boxes."""
    return _missed(best_iou(boxes_wh, sizes, ratios))


def best_iou(boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]]) -> np.ndarray:
    """Return (M,) the IoU of each box with its best anchor, both centred on one point."""
    levels = zip(sizes, _per_level(ratios, len(sizes)))
    anchors_wh = np.concatenate([_anchors_wh(level_sizes, level_ratios) for level_sizes, level_ratios in levels])
    best = np.zeros(len(boxes_wh))
    for first in range(0, len(boxes_wh), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        best[chunk] = shape_iou(boxes_wh[chunk], anchors_wh).max(axis=1)
    return best


def shape_iou(boxes_wh: np.ndarray, others_wh: np.ndarray) -> np.ndarray:
    """Return (M, A) IoU of boxes (M, 2) and (A, 2), widths and heights, that share their centre."""
    # two boxes with one centre overlap in the smaller width times the smaller height
    widths, heights = (np.minimum(boxes_wh[:, None, side], others_wh[:, side]) for side in (0, 1))
    intersection = widths * heights
    return intersection / (boxes_wh.prod(axis=1)[:, None] + others_wh.prod(axis=1) - intersection)


def fit_anchors(
    boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]], *, seed: int = 0
) -> AnchorFit:
    """Fit as many sizes and ratios per level as there are now.

    k-means with 1 - IoU as the distance (YOLO9000, arXiv 1612.08242, sec. 2), per level, with centres on the grid of
    sizes x ratios that the configuration can express. A level keeps its present range of sizes, up to the middles to
    its neighbours, because its stride suits no other: anchors that are small for their stride leave gaps between them.
    Only the finest level may go down and the coarsest up. A level with few boxes keeps its sizes, and all of them stay
    where the new anchors would fit worse.

    Args:
        boxes_wh: (M, 2) widths and heights in pixels of the resized images.
        sizes: one list per level, finest first.
        ratios: one list per level, or one for all.
        seed: random seed of the boxes drawn from a large set, and of the starts.
    """
    random = np.random.default_rng(seed)
    usable = boxes_wh[(boxes_wh > 0).all(axis=1)]
    now = _Grid([np.log(level) for level in sizes], [np.log(level) for level in ratios])
    boxes = usable[(usable >= 1).all(axis=1)]  # less than a pixel is not visible to the network
    if len(boxes) > _MAX_BOXES:
        boxes = boxes[np.sort(random.choice(len(boxes), _MAX_BOXES, replace=False))]
    fitted = _best_grid(boxes, now, random).lists()
    # judged on all boxes, and across levels, which the fit of each level ignores
    old, new = best_iou(usable, sizes, ratios), best_iou(usable, *fitted)
    is_better = _mean(new) > _mean(old) and _missed(new) <= _missed(old)
    if not is_better:
        fitted, new = ([list(level) for level in sizes], [list(level) for level in ratios]), old
    return AnchorFit(*fitted, _missed(old), _missed(new), _mean(old), _mean(new))


class _Grid(NamedTuple):
    """Sizes and ratios as logarithms, in which a mean is the middle of a range of scales."""

    sizes: list[np.ndarray]
    ratios: list[np.ndarray]

    def lists(self) -> tuple[Lists, Lists]:
        sizes, ratios = ([np.exp(level).round(4).tolist() for level in levels] for levels in self)
        return sizes, ratios


def _best_grid(boxes_wh: np.ndarray, now: _Grid, random: np.random.Generator) -> _Grid:
    """The grid with the highest mean IoU of any round from any start: a round may also make it worse."""
    levels = _levels_of(boxes_wh, now.sizes)
    best, best_score = now, -1.0
    for start in range(_STARTS):
        grid = now if start == 0 else _random_start(boxes_wh, levels, now, random)
        for _ in range(_ROUNDS):
            nearest, score = _assign(boxes_wh, levels, grid)
            if score > best_score:
                best, best_score = grid, score
            moved = _moved(boxes_wh, levels, nearest, grid)
            if all(np.allclose(a, b) for after, before in zip(moved, grid) for a, b in zip(after, before)):
                break  # converged
            grid = moved
    return best


def _levels_of(boxes_wh: np.ndarray, log_sizes: list[np.ndarray]) -> np.ndarray:
    """(M,) index of the level in whose range of sizes a box is."""
    limits = [(finer.max() + coarser.min()) / 2 for finer, coarser in zip(log_sizes, log_sizes[1:])]
    return np.searchsorted(np.array(limits), _log_sizes(boxes_wh))


def _random_start(boxes_wh: np.ndarray, levels: np.ndarray, now: _Grid, random: np.random.Generator) -> _Grid:
    sizes, ratios = _log_sizes(boxes_wh), _log_ratios(boxes_wh)
    return _Grid(
        [_drawn(sizes[levels == level], old, _MIN_SIZE_STEP, random) for level, old in enumerate(now.sizes)],
        [_drawn(ratios[_uses_list(levels, now, i)], old, _MIN_RATIO_STEP, random) for i, old in enumerate(now.ratios)],
    )


def _drawn(values: np.ndarray, old: np.ndarray, min_step: float, random: np.random.Generator) -> np.ndarray:
    """As many of the boxes' own values as the list has, or the present ones where there are too few boxes."""
    if len(values) < _MIN_BOXES * len(old):
        return old
    return _spread(np.sort(random.choice(values, len(old), replace=False)), min_step)


def _assign(boxes_wh: np.ndarray, levels: np.ndarray, grid: _Grid) -> tuple[np.ndarray, float]:
    """Step one of k-means: (M,) the best anchor of its level for each box, and the mean IoU with it."""
    nearest = np.zeros(len(boxes_wh), dtype=np.int64)
    best = np.zeros(len(boxes_wh))
    for level, (sizes, ratios) in enumerate(zip(grid.sizes, _per_level(grid.ratios, len(grid.sizes)))):
        rows = np.flatnonzero(levels == level)
        iou = shape_iou(boxes_wh[rows], _anchors_wh(np.exp(sizes), np.exp(ratios)))
        nearest[rows], best[rows] = iou.argmax(axis=1), iou.max(axis=1)
    return nearest, _mean(best)


def _moved(boxes_wh: np.ndarray, levels: np.ndarray, nearest: np.ndarray, grid: _Grid) -> _Grid:
    """Step two of k-means: move every size and ratio to the mean of the boxes whose best anchor has it."""
    counts = np.array([len(ratios) for ratios in _per_level(grid.ratios, len(grid.sizes))])[levels]
    size_of, ratio_of = nearest // counts, nearest % counts  # ratios run fastest, see _anchors_wh
    sizes, ratios = _log_sizes(boxes_wh), _log_ratios(boxes_wh)
    new_sizes = []
    for level, old in enumerate(grid.sizes):
        rows = levels == level
        new_sizes.append(_group_means(sizes[rows], size_of[rows], old, _MIN_SIZE_STEP))
    new_ratios = []
    for index, old in enumerate(grid.ratios):
        rows = _uses_list(levels, grid, index)
        new_ratios.append(_group_means(ratios[rows], ratio_of[rows], old, _MIN_RATIO_STEP))
    return _Grid(new_sizes, new_ratios)


def _group_means(values: np.ndarray, group_of: np.ndarray, old: np.ndarray, min_step: float) -> np.ndarray:
    """The mean of each group, rising; a group without values keeps its own, and all do when there are too few."""
    if len(values) < _MIN_BOXES * len(old):
        return old
    counts = np.bincount(group_of, minlength=len(old))
    sums = np.bincount(group_of, weights=values, minlength=len(old))
    return _spread(np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), old)), min_step)


def _spread(values: np.ndarray, min_step: float) -> np.ndarray:
    """The nearest values, in least squares, that are at least a step apart; rising in, rising out.

    Isotonic regression by pooling adjacent violators: less the steps, the values must not fall, and neighbours that do
    take their mean.
    """
    steps = np.arange(len(values)) * min_step
    pools: list[list[float]] = []
    for value in (values - steps).tolist():
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    return np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools]) + steps


def _uses_list(levels: np.ndarray, grid: _Grid, index: int) -> np.ndarray:
    """(M,) bool: whether the level of a box uses this list of ratios."""
    return np.full(len(levels), True) if len(grid.ratios) == 1 else levels == index


def _anchors_wh(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> np.ndarray:
    """(A, 2) widths and heights in the order of `cell_anchors`: ratios fastest."""
    ratios = np.tile(np.asarray(aspect_ratios, dtype=np.float64), len(sizes))
    widths = np.repeat(np.asarray(sizes, dtype=np.float64), len(aspect_ratios)) / np.sqrt(ratios)
    return np.stack([widths, ratios * widths], axis=1)


def _log_sizes(boxes_wh: np.ndarray) -> np.ndarray:
    return np.log(boxes_wh.prod(axis=1)) / 2  # of the square root of the area


def _log_ratios(boxes_wh: np.ndarray) -> np.ndarray:
    return np.log(boxes_wh[:, 1] / boxes_wh[:, 0])


def _per_level(lists: Sequence[Any], num_levels: int) -> list[Any]:
    return list(lists) * num_levels if len(lists) == 1 else list(lists)


def _missed(iou: np.ndarray) -> float:
    return float((iou < REACHED_IOU).mean()) if len(iou) else 0.0


def _mean(iou: np.ndarray) -> float:
    return float(iou.mean()) if len(iou) else 0.0
