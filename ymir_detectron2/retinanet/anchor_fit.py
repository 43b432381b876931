"""Do the anchors fit the boxes of a set, and anchors that do.

A box is reached when some anchor, laid centre on centre, overlaps it by an IoU of 0.5. The network still learns from
one that is not, since the best anchors of a box always stand for it, but from few and bad ones.

Letters: M boxes, A anchors. Sizes are square roots of areas in pixels of the resized picture, ratios height / width,
both as lists per level, as in MODEL.ANCHOR_GENERATOR.SIZES and ASPECT_RATIOS.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence

import numpy as np

from .resize import resized_hw

REACHED_IOU = 0.5
Lists = List[List[float]]

_BOXES_AT_ONCE = 4096  # there may be a million, and a table of all anchors is to stay in the cache
_MOST_BOXES = 5000  # that a fit looks at; more change the third digit
_FEWEST_BOXES = 10  # per size of a level, or per ratio; with fewer, what there was stays
_ROUNDS = 30
_STARTS = 8
# Anchors that lie closer stand for the same boxes, and leave none for the other scales of augmented pictures. At these
# steps, factors 1.12 and 1.26, neighbours overlap by an IoU of 0.79.
_LEAST_SIZE_STEP = float(np.log(2)) / 6
_LEAST_RATIO_STEP = float(np.log(2)) / 3


class AnchorFit(NamedTuple):
    """Anchors in the form of the configuration, and how well they and those before fit."""

    sizes: Lists
    """One list per level."""
    aspect_ratios: Lists
    """One list per level, or a single one for all where there was one before."""
    missed_before: float
    """Share of boxes not reached, in [0, 1]."""
    missed: float
    iou_before: float
    """Mean over the boxes of the IoU with the best anchor."""
    iou: float


def resized_wh(boxes_xyxy: np.ndarray, image_hw: np.ndarray, short_edge: int, max_edge: int) -> np.ndarray:
    """Widths and heights of boxes as the network sees them: (M, 2) float64.

    Args:
        boxes_xyxy: (M, 4) in pixels of the original pictures.
        image_hw: (M, 2) height and width of the picture of each box.
        short_edge, max_edge: as for `resized_hw`.
    """
    sizes, inverse = np.unique(image_hw.reshape(-1, 2), axis=0, return_inverse=True)
    resized = np.array([resized_hw(int(h), int(w), short_edge, max_edge) for h, w in sizes]).reshape(-1, 2)
    scales_hw = (resized / np.maximum(sizes, 1))[inverse.reshape(-1)]
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).astype(np.float64) * scales_hw[:, ::-1]


def missed_share(boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]]) -> float:
    """The share of boxes (M, 2) that no anchor of any level reaches, in [0, 1]; 0 for no boxes."""
    return _missed(best_iou(boxes_wh, sizes, ratios))


def best_iou(boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]]) -> np.ndarray:
    """(M,) the IoU of each box with its best anchor, both centred on one point."""
    levels = zip(sizes, _per_level(ratios, len(sizes)))
    anchors_wh = np.concatenate([_anchors_wh(level_sizes, level_ratios) for level_sizes, level_ratios in levels])
    best = np.zeros(len(boxes_wh))
    for first in range(0, len(boxes_wh), _BOXES_AT_ONCE):
        part = slice(first, first + _BOXES_AT_ONCE)
        best[part] = shape_iou(boxes_wh[part], anchors_wh).max(axis=1)
    return best


def shape_iou(boxes_wh: np.ndarray, others_wh: np.ndarray) -> np.ndarray:
    """(M, A) IoU of boxes (M, 2) and (A, 2) that share their centre."""
    widths, heights = (np.minimum(boxes_wh[:, None, side], others_wh[:, side]) for side in (0, 1))
    intersection = widths * heights
    return intersection / (boxes_wh.prod(axis=1)[:, None] + others_wh.prod(axis=1) - intersection)


def fit_anchors(
    boxes_wh: np.ndarray, sizes: Sequence[Sequence[float]], ratios: Sequence[Sequence[float]], *, seed: int = 0
) -> AnchorFit:
    """Fit as many sizes and ratios per level as there are now.

    A level keeps the range of sizes that it has now, between the middles to its neighbours, because its stride
    suits no other: anchors that are small for their stride leave gaps between them. Only the finest level may go down
    and the coarsest up. Within a level this is k-means with 1 - IoU as the distance (arXiv 1612.08242, sec. 2), whose
    centres are held to the grid of sizes x ratios that the configuration can express. A level with few boxes keeps its
    sizes. Anchors that would fit worse than the present ones are not returned.

    Args:
        boxes_wh: (M, 2) widths and heights in pixels of the resized pictures.
        sizes: one list per level, finest first.
        ratios: one list per level, or one for all.
        seed: of the boxes that a fit of a large set looks at, and of its starts.
    """
    random = np.random.default_rng(seed)
    usable = boxes_wh[(boxes_wh > 0).all(axis=1)]
    now = _Grid([np.log(level) for level in sizes], [np.log(level) for level in ratios])
    boxes = usable[(usable >= 1).all(axis=1)]  # the network sees nothing of what is less than a pixel
    if len(boxes) > _MOST_BOXES:
        boxes = boxes[np.sort(random.choice(len(boxes), _MOST_BOXES, replace=False))]
    fitted = _best_grid(boxes, now, random).lists()
    old, new = best_iou(usable, sizes, ratios), best_iou(usable, *fitted)
    if not _is_better(new, old):
        fitted, new = ([list(level) for level in sizes], [list(level) for level in ratios]), old
    return AnchorFit(*fitted, _missed(old), _missed(new), _mean(old), _mean(new))


class _Grid(NamedTuple):
    """Logarithms, in which a mean is the middle of a span of scales."""

    sizes: list[np.ndarray]
    ratios: list[np.ndarray]

    def lists(self) -> tuple[Lists, Lists]:
        sizes, ratios = ([np.exp(level).round(4).tolist() for level in levels] for levels in self)
        return sizes, ratios


def _best_grid(boxes_wh: np.ndarray, now: _Grid, random: np.random.Generator) -> _Grid:
    """The grid with the highest mean IoU that any round from any start has come through."""
    levels = _levels_of(boxes_wh, now.sizes)
    best, best_score = now, -1.0
    for start in range(_STARTS):
        grid = now if start == 0 else _random_start(boxes_wh, levels, now, random)
        for _ in range(_ROUNDS):
            nearest, score = _assign(boxes_wh, levels, grid)
            if score > best_score:
                best, best_score = grid, score
            moved = _moved(boxes_wh, levels, nearest, grid)
            if _same(moved, grid):
                break
            grid = moved
    return best


def _levels_of(boxes_wh: np.ndarray, log_sizes: list[np.ndarray]) -> np.ndarray:
    """(M,) the level in whose range of sizes a box lies."""
    limits = [(finer.max() + coarser.min()) / 2 for finer, coarser in zip(log_sizes, log_sizes[1:])]
    return np.searchsorted(np.array(limits), _log_sizes(boxes_wh))


def _random_start(boxes_wh: np.ndarray, levels: np.ndarray, now: _Grid, random: np.random.Generator) -> _Grid:
    sizes, ratios = _log_sizes(boxes_wh), _log_ratios(boxes_wh)
    return _Grid(
        [_drawn(sizes[levels == level], old, _LEAST_SIZE_STEP, random) for level, old in enumerate(now.sizes)],
        [_drawn(ratios[_of_list(levels, now, i)], old, _LEAST_RATIO_STEP, random) for i, old in enumerate(now.ratios)],
    )


def _drawn(values: np.ndarray, old: np.ndarray, least_step: float, random: np.random.Generator) -> np.ndarray:
    if len(values) < _FEWEST_BOXES * len(old):
        return old
    return _spread(np.sort(random.choice(values, len(old), replace=False)), least_step)


def _assign(boxes_wh: np.ndarray, levels: np.ndarray, grid: _Grid) -> tuple[np.ndarray, float]:
    """The best anchor of its level for each box, (M,), and the mean IoU with it."""
    nearest = np.zeros(len(boxes_wh), dtype=np.int64)
    best = np.zeros(len(boxes_wh))
    for level, (sizes, ratios) in enumerate(zip(grid.sizes, _per_level(grid.ratios, len(grid.sizes)))):
        rows = np.flatnonzero(levels == level)
        iou = shape_iou(boxes_wh[rows], _anchors_wh(np.exp(sizes), np.exp(ratios)))
        nearest[rows], best[rows] = iou.argmax(axis=1), iou.max(axis=1)
    return nearest, _mean(best)


def _moved(boxes_wh: np.ndarray, levels: np.ndarray, nearest: np.ndarray, grid: _Grid) -> _Grid:
    """Every size and ratio in the middle of the boxes whose best anchor has it."""
    counts = np.array([len(ratios) for ratios in _per_level(grid.ratios, len(grid.sizes))])[levels]
    size_of, ratio_of = nearest // counts, nearest % counts
    sizes, ratios = _log_sizes(boxes_wh), _log_ratios(boxes_wh)
    new_sizes = []
    for level, old in enumerate(grid.sizes):
        rows = levels == level
        new_sizes.append(_middles(sizes[rows], size_of[rows], old, _LEAST_SIZE_STEP))
    new_ratios = []
    for index, old in enumerate(grid.ratios):
        rows = _of_list(levels, grid, index)
        new_ratios.append(_middles(ratios[rows], ratio_of[rows], old, _LEAST_RATIO_STEP))
    return _Grid(new_sizes, new_ratios)


def _middles(values: np.ndarray, group_of: np.ndarray, old: np.ndarray, least_step: float) -> np.ndarray:
    """The mean of each group, rising; one without values stays where it is, and all do when there are too few."""
    if len(values) < _FEWEST_BOXES * len(old):
        return old
    counts = np.bincount(group_of, minlength=len(old))
    sums = np.bincount(group_of, weights=values, minlength=len(old))
    return _spread(np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), old)), least_step)


def _spread(values: np.ndarray, least_step: float) -> np.ndarray:
    """The nearest values, by squares, that lie at least a step apart; rising in, rising out.

    Without the steps these are values that do not fall: pools of neighbours that fell take their mean.
    """
    steps = np.arange(len(values)) * least_step
    pools: list[list[float]] = []
    for value in (values - steps).tolist():
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    return np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools]) + steps


def _of_list(levels: np.ndarray, grid: _Grid, index: int) -> np.ndarray:
    """(M,) whether a box belongs to a level of this list of ratios."""
    return np.full(len(levels), True) if len(grid.ratios) == 1 else levels == index


def _same(grid: _Grid, other: _Grid) -> bool:
    return all(np.allclose(a, b) for ours, theirs in zip(grid, other) for a, b in zip(ours, theirs))


def _is_better(new: np.ndarray, old: np.ndarray) -> bool:
    return _mean(new) > _mean(old) and _missed(new) <= _missed(old)


def _anchors_wh(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> np.ndarray:
    """(A, 2) in the order of `cell_anchors`: ratios fastest."""
    ratios = np.tile(np.asarray(aspect_ratios, dtype=np.float64), len(sizes))
    widths = np.repeat(np.asarray(sizes, dtype=np.float64), len(aspect_ratios)) / np.sqrt(ratios)
    return np.stack([widths, ratios * widths], axis=1)


def _log_sizes(boxes_wh: np.ndarray) -> np.ndarray:
    return np.log(boxes_wh.prod(axis=1)) / 2


def _log_ratios(boxes_wh: np.ndarray) -> np.ndarray:
    return np.log(boxes_wh[:, 1] / boxes_wh[:, 0])


def _per_level(lists: Sequence[Any], num_levels: int) -> list[Any]:
    return list(lists) * num_levels if len(lists) == 1 else list(lists)


def _missed(iou: np.ndarray) -> float:
    return float((iou < REACHED_IOU).mean()) if len(iou) else 0.0


def _mean(iou: np.ndarray) -> float:
    return float(iou.mean()) if len(iou) else 0.0
