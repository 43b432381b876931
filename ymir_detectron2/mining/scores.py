"""CALD's arithmetic: how well the detections of a picture survive an augmentation, as one number.

Letters: n reference boxes, m boxes found in the augmented picture, K classes, D entries of a probability vector.
The definition with its sources is in docs/mining.md; Yu et al., "Consistency-based Active Learning for Object
Detection", arXiv 2103.10374.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the arithmetic needs the shape of the type only, not what its module imports
    from ..engines.base import Detections

BETA = 1.3
"""The sum of IoU and class consistency that says most about the detector (`bp` in the authors' code)."""
CEILING = 1.0
"""No augmentation counts for more than this (the start value of the minimum in the authors' code)."""
THIN_ABOVE = 40
THIN_TO = 50
"""More than THIN_ABOVE reference boxes are thinned to at most THIN_TO, evenly over their rank (authors' code)."""
_UNION_EPS = 1e-14  # as the YMIR peers: two boxes without area overlap by 0, not by NaN


def pairwise_iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of one set with every box of the other.

    Args:
        a_xyxy: (n, 4) x1 y1 x2 y2, x2 and y2 exclusive. n may be 0.
        b_xyxy: (m, 4), same convention and frame. m may be 0.

    Returns:
        (n, m) float64 in [0, 1]. A box without area, or with its corners swapped, overlaps nothing.
    """
    a, b = as_boxes(a_xyxy), as_boxes(b_xyxy)
    width = _shared_length(a[:, None, 0], a[:, None, 2], b[None, :, 0], b[None, :, 2])  # (n, m)
    height = _shared_length(a[:, None, 1], a[:, None, 3], b[None, :, 1], b[None, :, 3])
    intersection = width * height
    union = areas(a)[:, None] + areas(b)[None, :] - intersection
    overlap: np.ndarray = intersection / (union + _UNION_EPS)
    return overlap


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of two vectors of class probabilities, natural logarithm, as the CALD code computes it.

    Args:
        p, q: (..., D) not negative; they need not sum to 1, independent sigmoids do not.

    Returns:
        (...) float64 >= 0: (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, where KL divides both its arguments by
        their sums first, as `scipy.stats.entropy` does. 0 where the rows are proportional. At most ln 2 for rows of
        equal sum; for others it may pass that, because m is taken before the division. A row of zeros gives 0.

    Source: arXiv 2103.10374 and `get_uncertainty` of its code. Rounding below 0 is clipped, as there.
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    middle = _normalised((p + q) / 2.0)
    divergence = (_relative_entropy(_normalised(p), middle) + _relative_entropy(_normalised(q), middle)) / 2.0
    clipped: np.ndarray = np.maximum(divergence, 0.0)
    return clipped


def consistency(reference: Detections, augmented: Detections) -> float:
    """How consistent one augmented view is with the plain picture: the lower, the more there is to learn.

    Args:
        reference: what was found in the plain picture, its boxes carried into the frame of the augmented picture.
        augmented: what was found in the augmented picture.

    Returns:
        min(1, min_k |m_k - BETA|) in [0, 1], where for each reference box k with its best match j by IoU
        m_k = IoU_kj + (P_k + P'_j) / 2 * (1 - JS(s_k, s'_j)). 0 if either side is empty.

    s is the vector of class probabilities and P its largest entry. Without `class_probs` on both sides, P is the score
    and s = [0, .., score at the class, .., 0, 1 - score]: for equal classes that is the divergence of two Bernoulli
    variables, as the YMIR peers have it, and for different classes it is larger.

    Does not depend on the order of the boxes: among equal overlaps the best score is the match.
    """
    if len(reference) == 0 or len(augmented) == 0:
        return 0.0
    augmented = distinct_best_first(augmented)
    overlaps = pairwise_iou(reference.boxes_xyxy, augmented.boxes_xyxy)
    matches = np.argmax(overlaps, axis=1)  # (n,), the first of equal ones
    confidence, vectors, found_confidence, found_vectors = _evidence(reference, augmented)
    agreement = 1.0 - jensen_shannon(vectors, found_vectors[matches])
    sameness = np.max(overlaps, axis=1) + (confidence + found_confidence[matches]) / 2.0 * agreement
    return min(CEILING, float(np.min(np.abs(sameness - BETA))))


def distinct_best_first(detections: Detections) -> Detections:
    """The same detections, best score first, without exact copies, in an order that the input's order cannot change."""
    columns = [-_column(detections.scores), _column(detections.classes), as_boxes(detections.boxes_xyxy)]
    if detections.class_probs is not None:
        columns.append(np.asarray(detections.class_probs, dtype=np.float64))
    rows = np.concatenate(columns, axis=1)
    order = np.lexsort(rows.T[::-1])  # lexsort takes its most important key last
    is_copy = np.all(rows[order[1:]] == rows[order[:-1]], axis=1)
    return detections.take(np.concatenate([order[:1], order[1:][~is_copy]]))


def evenly_thinned(detections: Detections) -> Detections:
    """At most THIN_TO detections, evenly over their rank, if there are more than THIN_ABOVE; else all of them."""
    count = len(detections)
    if count <= THIN_ABOVE:
        return detections
    ranks = np.round(np.linspace(0, count - 1, THIN_TO)).astype(np.int64)
    return detections.take(np.unique(ranks))  # for 41 to 49 boxes ranks repeat, and all boxes stay


def finite_only(detections: Detections) -> Detections:
    """The detections whose box, score and class probabilities are all finite."""
    is_finite = np.isfinite(detections.scores) & np.isfinite(detections.boxes_xyxy).all(axis=1)
    if detections.class_probs is not None:
        is_finite &= np.isfinite(detections.class_probs).all(axis=1)
    return detections if is_finite.all() else detections.take(np.flatnonzero(is_finite))


def as_boxes(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(n, 4) float64, also of an empty list."""
    return np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)


def areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(...) width times height of (..., 4) boxes in square pixels; 0 where the corners are swapped."""
    sides = np.clip(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0.0, None)
    area: np.ndarray = sides[..., 0] * sides[..., 1]
    return area


def _shared_length(a_low: np.ndarray, a_high: np.ndarray, b_low: np.ndarray, b_high: np.ndarray) -> np.ndarray:
    """How much of two intervals is common, elementwise; 0 if they are apart."""
    length: np.ndarray = np.clip(np.minimum(a_high, b_high) - np.maximum(a_low, b_low), 0.0, None)
    return length


def _evidence(a: Detections, b: Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Confidence (n,) and probability vectors (n, D) of `a`, then those of `b`, in comparable form."""
    if a.class_probs is not None and b.class_probs is not None:
        vectors = np.asarray(a.class_probs, dtype=np.float64), np.asarray(b.class_probs, dtype=np.float64)
        return vectors[0].max(axis=1), vectors[0], vectors[1].max(axis=1), vectors[1]
    num_classes = 1 + int(max(a.classes.max(), b.classes.max()))
    a_vectors, b_vectors = _bernoulli_vectors(a, num_classes), _bernoulli_vectors(b, num_classes)
    return np.asarray(a.scores, dtype=np.float64), a_vectors, np.asarray(b.scores, dtype=np.float64), b_vectors


def _bernoulli_vectors(detections: Detections, num_classes: int) -> np.ndarray:
    """(n, K + 1): the score at the predicted class, the rest of 1 in a last entry that stands for "not this"."""
    scores = np.asarray(detections.scores, dtype=np.float64)
    vectors = np.zeros((len(scores), num_classes + 1))
    vectors[np.arange(len(scores)), np.asarray(detections.classes, dtype=np.int64)] = scores
    vectors[:, num_classes] = 1.0 - scores
    return vectors


def _normalised(rows: np.ndarray) -> np.ndarray:
    total = rows.sum(axis=-1, keepdims=True)
    normalised: np.ndarray = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0)
    return normalised


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(...) sum of p ln(p / q), with 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    divergence: np.ndarray = (p * np.log(ratio)).sum(axis=-1)
    return divergence


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)
