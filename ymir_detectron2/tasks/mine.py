"""Mining: candidates in, result.tsv out, the pictures most worth labelling first."""

from __future__ import annotations

from ..contract.mining_result import write_mining_result
from ..mining.cald import Cald
from ..settings import MiningSettings
from .looking import Candidates
from .script import TaskRun

UNREADABLE_SCORE = -2.0
"""Below every score of CALD, which lie in [-1, 0]: nobody can label a picture that cannot be opened."""


def mine(run: TaskRun[MiningSettings]) -> None:
    """Score every candidate; the file appears when all have a score."""
    candidates = Candidates(run, "mined")
    cald = Cald(candidates.detector.detect, seed=run.settings.seed)
    scores: list[tuple[str, float]] = []
    for window in candidates.windows():
        seen = [
            (entry.asset, picture.image_bgr, picture.detections)
            for entry, picture in window
            if picture.image_bgr is not None and picture.detections is not None
        ]
        if seen:
            assets, images, detections = zip(*seen)
            scores.extend(zip(assets, cald.scores(assets, images, detections)))
        scores.extend((entry.asset, UNREADABLE_SCORE) for entry, picture in window if picture.image_bgr is None)
    write_mining_result(run.task.mining_result, scores)
    candidates.write_summary("mining-summary.json")
