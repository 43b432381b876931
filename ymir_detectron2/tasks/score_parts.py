"""The parts of the scores of a ranking in which each image counts by those before it: collected while it is made, and
written to mining-parts.tsv once result.tsv is there."""

from __future__ import annotations

from array import array
from pathlib import PurePosixPath
from typing import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ..dataset.candidates import CandidateIndex
from ..errors import printable
from ..mining.explanation import ClassPart, ScoreParts
from ..results.mining_explanations import MOST_CLASSES, MOST_SHOWN, ClassGain, GainParts
from ..results.mining_parts import FILE_NAME, MOST_ROWS, PartsRow, write_parts
from .prediction_task import PredictionTask

_NONE = -1
_RARE_SHARE, _FEWEST_PER_CLASS = 0.5, 5
"""A class is rare with less than this share of what it would have if all classes had the same, as soon as that is so
many images: of the first few that are chosen, any class may be missing by chance."""


class PoolParts:
    """The parts of the scores of up to MOST_ROWS images, in 40 bytes each; all of them for the first MOST_SHOWN."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """
        Args:
            class_names: of the detector.
        """
        self._class_names = class_names
        self._numbers, self._classes, self._nearest = array("q"), array("q"), array("q")
        self._scores, self._gains, self._novelties = array("d"), array("d"), array("d")
        self._found_nothing = bytearray()
        self._first: dict[int, ScoreParts] = {}

    def add(self, number: int, score: float, parts: ScoreParts) -> None:
        """Keep the parts of one candidate, in the order of the ranking; those after MOST_ROWS are left out.

        Args:
            number: of the candidate in the index.
            score: in result.tsv.
            parts: of it.
        """
        if len(self._numbers) == MOST_ROWS:
            return
        if len(self._first) < MOST_SHOWN:
            self._first[number] = parts
        self._numbers.append(number)
        self._classes.append(parts.classes[0].class_id if parts.classes else _NONE)
        self._nearest.append(_NONE if parts.nearest is None else parts.nearest)
        self._scores.append(score)
        self._gains.append(parts.gain)
        self._novelties.append(_NONE if parts.novelty is None else parts.novelty)
        self._found_nothing.append(parts.nothing_found)

    def write(self, task: PredictionTask) -> None:
        """Write mining-parts.tsv next to result.tsv.

        Raises:
            StorageError: the file system refused.
        """
        write_parts(task.run.task.output_dir / FILE_NAME, self._rows(task.index))

    def of_first(self, index: CandidateIndex) -> dict[str, GainParts]:
        """Return the parts of the first MOST_SHOWN images by asset, as mining-explanations.json has them."""
        names = _file_names(index, (parts.nearest for parts in self._first.values() if parts.nearest is not None))
        known = [novelty for novelty in self._novelties if novelty != _NONE]
        quartiles = np.percentile(known, (25, 50, 75)).tolist() if known else [0.0] * 3
        return {
            entry.asset: self._gain_parts(parts, names, quartiles)
            for entry, parts in zip(index.entries_of(self._first), self._first.values())
        }

    def _rows(self, index: CandidateIndex) -> Iterator[PartsRow]:
        names = _file_names(index, (number for number in self._nearest if number != _NONE))
        class_names = dict(enumerate(self._class_names))
        columns = (self._classes, self._nearest, self._scores, self._gains, self._novelties, self._found_nothing)
        for number, entry, class_id, nearest, score, gain, novelty, nothing_found in zip(
            self._numbers, index.entries_of(self._numbers), *columns
        ):
            if not index.repeats_a_name(number):  # which result.tsv leaves out
                yield PartsRow(
                    entry.asset, score, class_names.get(class_id, ""), bool(nothing_found), gain,
                    None if novelty == _NONE else novelty, names.get(nearest, ""),
                )  # fmt: skip

    def _gain_parts(
        self, parts: ScoreParts, names: Mapping[int | None, str], quartiles: Sequence[float]
    ) -> GainParts:
        lower, median, upper = quartiles
        equal_share = parts.before_total / max(1, len(self._class_names))
        rare_below = _RARE_SHARE * equal_share if equal_share >= _FEWEST_PER_CLASS else 0.0
        return GainParts(
            gain=parts.gain,
            novelty=parts.novelty,
            # distances have no scale of their own, and may all be the same
            is_unlike=parts.novelty is not None and parts.novelty >= upper and parts.novelty > median,
            is_alike=parts.novelty is not None and parts.novelty <= lower and parts.novelty < median,
            resembles=names.get(parts.nearest, ""),
            nothing_found=parts.nothing_found,
            classes=[self._class_gain(part, rare_below) for part in parts.classes[:MOST_CLASSES]],
        )

    def _class_gain(self, part: ClassPart, rare_below: float) -> ClassGain:
        return ClassGain(
            class_name=self._class_names[part.class_id],
            evidence=part.evidence,
            weight=part.weight,
            before=part.before,
            gain=part.gain,
            is_rare=part.before < rare_below,
        )


def _file_names(index: CandidateIndex, numbers: Iterable[int]) -> Mapping[int | None, str]:
    """Return the file names of candidates, at most MOST_ROWS, by number."""
    distinct = sorted(set(numbers))
    names = (printable(PurePosixPath(entry.asset).name) for entry in index.entries_of(distinct))
    return dict(zip(distinct, names))
