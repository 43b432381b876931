"""CALD's arithmetic: how well the detections of an image survive an augmentation, as one number.

Letters: n reference boxes, m boxes of the augmented image, K classes, D entries of a probability vector.
The definition with its sources is in docs/mining.md; Yu et al., "Consistency-based Active Learning for Object
Detection", arXiv 2103.10374.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..box_geometry import as_boxes, pairwise_iou
from ..detections import Detections

BETA = 1.3
"""The sum of IoU and class consistency that says most about the detector (`bp` in the authors' code)."""
CEILING = 1.0
"""No augmentation counts for more than this (the start value of the minimum in the authors' code)."""
THIN_ABOVE = 40
THIN_TO = 50
"""More than THIN_ABOVE reference boxes are thinned to at most THIN_TO, evenly over their rank (authors' code)."""
UNION_EPS = 1e-14
"""Square pixels, as in the peers' IoU: their numbers are reproduced to the last digit."""


class BoxMatches(NamedTuple):
    """n reference boxes and their best matches among m detections of the augmented image."""

    augmented: Detections
    matches: np.ndarray
    """(n,) positions in `augmented`."""
    ious: np.ndarray
    """(n,) of box and match, in [0, 1]."""
    differences: np.ndarray
    """(n,) |m_k - BETA|, see `consistency`: the lower, the less consistent; in the legacy formula |IoU + C - BETA|."""


def consistency(references: Detections, augmented: Detections) -> float:
    """Return how consistent one augmented image is with the plain one: the lower, the more there is to learn.

    Args:
        references: n detections in the plain image, their boxes carried into the frame of the augmented image.
        augmented: m detections in the augmented image.

    Returns:
        min(1, min_k |m_k - BETA|) in [0, 1], where for each reference box k with its best match j by IoU
        m_k = IoU_kj + (P_k + P'_j) / 2 * (1 - JS(s_k, s'_j)). 0 if either side is empty.

    s is the vector of class probabilities and P its largest entry. Without `class_probs` on both sides, P is the score
    and s = [0, .., score at the class, .., 0, 1 - score]: for equal classes that is the divergence of two Bernoulli
    variables, as the YMIR peers have it, and for different classes it is larger.

    Does not depend on the order of the boxes: among equal overlaps the best score is the match.
    """
    if len(references) == 0 or len(augmented) == 0:
        return 0.0
    return min(CEILING, float(np.min(match_boxes(references, augmented).differences)))


def match_boxes(references: Detections, augmented: Detections) -> BoxMatches:
    """Return the comparison of each reference box that `consistency` is the least of; neither side may be empty."""
    augmented = distinct_best_first(augmented)
    overlaps = pairwise_iou(references.boxes_xyxy, augmented.boxes_xyxy, union_eps=UNION_EPS)  # (n, m)
    matches = np.argmax(overlaps, axis=1)  # (n,), the first of equal ones
    confidence, probs, augmented_confidence, augmented_probs = _comparable_probs(references, augmented)
    agreement = 1.0 - jensen_shannon(probs, augmented_probs[matches])
    # same place and same class: 0 to 2
    ious = np.max(overlaps, axis=1)
    sameness = ious + (confidence + augmented_confidence[matches]) / 2.0 * agreement
    return BoxMatches(augmented, matches, ious, np.abs(sameness - BETA))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of vectors of class probabilities, natural logarithm, as CALD's code has it.

    Args:
        p, q: (..., D) not negative; they need not sum to 1, independent sigmoids do not.

    Returns:
        (...) float64 >= 0: (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, where KL divides both its arguments by
        their sums first, as `scipy.stats.entropy` does. 0 where the rows are proportional. At most ln 2 for rows of
        equal sum; for others it may pass that, because m is taken before the division. A row of zeros gives 0.

    Source: arXiv 2103.10374 and `get_uncertainty` of its code. Rounding below 0 is clipped, as there.
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    middle = _normalise((p + q) / 2.0)
    divergence = (_relative_entropy(_normalise(p), middle) + _relative_entropy(_normalise(q), middle)) / 2.0
    clipped: np.ndarray = np.maximum(divergence, 0.0)
    return clipped


def distinct_best_first(detections: Detections) -> Detections:
    """Return the detections without exact copies, best score first, in an order independent of the input's order."""
    # every number of a detection is a sort key: only exact copies are left side by side in any order
    columns = [-_as_column(detections.scores), _as_column(detections.classes), as_boxes(detections.boxes_xyxy)]
    if detections.class_probs is not None:
        columns.append(np.asarray(detections.class_probs, dtype=np.float64))
    rows = np.concatenate(columns, axis=1)
    order = np.lexsort(rows.T[::-1])  # lexsort takes its most important key last
    is_copy = np.all(rows[order[1:]] == rows[order[:-1]], axis=1)
    return detections.take(np.concatenate([order[:1], order[1:][~is_copy]]))


def evenly_thinned(detections: Detections) -> Detections:
    """Return at most THIN_TO detections, evenly over their rank, if there are more than THIN_ABOVE; else all."""
    count = len(detections)
    if count <= THIN_ABOVE:
        return detections
    ranks = np.round(np.linspace(0, count - 1, THIN_TO)).astype(np.int64)
    return detections.take(np.unique(ranks))  # for 41 to 49 boxes ranks repeat, and all boxes stay


def finite_only(detections: Detections) -> Detections:
    """Return the detections whose box, score and class probabilities are all finite."""
    is_finite = np.isfinite(detections.scores) & np.isfinite(detections.boxes_xyxy).all(axis=1)
    if detections.class_probs is not None:
        is_finite &= np.isfinite(detections.class_probs).all(axis=1)
    return detections if is_finite.all() else detections.take(np.flatnonzero(is_finite))


def _comparable_probs(a: Detections, b: Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Confidence (n,) and probability vectors (n, D) of `a`, then those of `b`, in comparable form."""
    if a.class_probs is not None and b.class_probs is not None:
        a_probs, b_probs = np.asarray(a.class_probs, dtype=np.float64), np.asarray(b.class_probs, dtype=np.float64)
        return a_probs.max(axis=1), a_probs, b_probs.max(axis=1), b_probs
    num_classes = 1 + int(max(a.classes.max(), b.classes.max()))
    a_probs, b_probs = _bernoulli_vectors(a, num_classes), _bernoulli_vectors(b, num_classes)
    return np.asarray(a.scores, dtype=np.float64), a_probs, np.asarray(b.scores, dtype=np.float64), b_probs


def _bernoulli_vectors(detections: Detections, num_classes: int) -> np.ndarray:
    """(n, K + 1): the score at the predicted class, the rest of 1 in a last entry for "not this class"."""
    scores = np.asarray(detections.scores, dtype=np.float64)
    vectors = np.zeros((len(scores), num_classes + 1))
    vectors[np.arange(len(scores)), np.asarray(detections.classes, dtype=np.int64)] = scores
    vectors[:, num_classes] = 1.0 - scores
    return vectors


def _normalise(rows: np.ndarray) -> np.ndarray:
    """Divide rows by their sums; rows of zeros stay."""
    total = rows.sum(axis=-1, keepdims=True)
    normalised: np.ndarray = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0)
    return normalised


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(..., D) -> (...): sum of p ln(p / q), with 0 ln 0 = 0."""
    # q may be 0 where p is not: half of the smallest number there is rounds to 0
    ratio = np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0))
    divergence: np.ndarray = (p * np.log(ratio)).sum(axis=-1)
    return divergence


def _as_column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)
