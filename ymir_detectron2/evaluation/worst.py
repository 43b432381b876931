"""The pictures of a set that went worst, to look at: wrong labels and hard scenes gather there.

A picture's badness is the number of missed objects plus the scores of its false boxes: an object that was not seen
weighs as much as a false box that the model is sure of, and an unsure one weighs less. An object under the wrong name
counts as missed and as false. It is not divided by the number of objects: what comes first is where most is to be done.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple, Sequence

import numpy as np

from .matching import NO_OBJECT, SCORE_THRESHOLD, JudgedPicture, Matches


class BadPicture(NamedTuple):
    """One picture and what is wrong in it."""

    number: int
    """Position in the sequence of pictures."""
    badness: float
    missed: np.ndarray
    """Rows of the picture's truth."""
    false: np.ndarray
    """Rows of its found boxes, best score first."""
    right: np.ndarray
    """Rows of its found boxes, best score first."""


def worst_pictures(
    pictures: Sequence[JudgedPicture], matches: Matches, score_threshold: float = SCORE_THRESHOLD, count: int = 10
) -> list[BadPicture]:
    """The `count` worst pictures, worst first; of equals the earlier. Pictures without a fault are left out."""
    judged = (_judge(index, picture, matches, score_threshold) for index, picture in enumerate(pictures))
    faulty = (picture for picture in judged if picture.badness > 0)
    return heapq.nlargest(count, faulty, key=lambda picture: picture.badness)


def _judge(index: int, picture: JudgedPicture, matches: Matches, score_threshold: float) -> BadPicture:
    objects = matches.objects[matches.starts[index] : matches.starts[index + 1]]
    shown = np.argsort(-picture.found_scores, kind="stable")
    shown = shown[picture.found_scores[shown] > score_threshold]
    false, right = shown[objects[shown] == NO_OBJECT], shown[objects[shown] != NO_OBJECT]
    missed = np.setdiff1d(np.arange(len(picture.truth_classes)), objects[right])
    badness = len(missed) + float(picture.found_scores[false].sum())
    return BadPicture(index, badness, missed, false, right)
