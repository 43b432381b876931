"""The section of mining: the images that come first with scores and reasons, and a histogram of all scores."""

from __future__ import annotations

import contextlib
from array import array
from collections import deque
from pathlib import Path, PurePosixPath
from typing import Any, Deque, Mapping, NamedTuple, Sequence

import numpy as np

from ..config.mining_algorithms import MINING_ALGORITHMS
from ..config.prediction_settings import MiningSettings
from ..config.read_settings import read_settings
from ..contract.mining_result import read_mining_result
from ..errors import ConfigError, printable
from ..mining.algorithms import UNREADABLE_SCORE
from ..untrusted_files import is_file
from .findings import read_findings
from .label_shares import CUTS, label_shares
from .mining_explanations import FILE_NAME, MOST_SHOWN, ImageReason, read_explanations
from .page import Section
from .reason_words import named_box, reason_lines
from .task_output import TaskOutput
from .thumbnails import make_thumbnails

LAST = 12
"""Images that come last, for comparison with the MOST_SHOWN that are mined first."""
BINS = 50
_THUMBNAIL_BYTES = 4_000_000

MEANINGS: Mapping[str, str] = {
    "cald": (
        "CALD: the image is flipped, partly covered, made smaller and rotated, and detected again. Each of the four"
        " numbers is that of the box with the most to teach: near 0 where it was found again roughly and with doubt,"
        " about 0.6 where it was found again surely and in the same place. The score is minus their mean; an image"
        " without a box has 0 and comes first. Solid: the box that decided, with its score. Dashed: what was found in"
        " its place, carried back into the image."
    ),
    "cald_legacy": (
        "The formula of other YMIR executors, for comparison: images whose boxes are detected again best come first,"
        " and each box adds to the score. Solid: the box that was found again worst. Dashed: what was found in its"
        " place, carried back into the image."
    ),
    "entropy": (
        "Entropy: each box adds the entropy of its class probabilities, in bits. The boxes that add most are listed."
    ),
    "aldd": (
        "ALDD: an image comes first where neighbouring places of the score maps contradict each other. Listed is what"
        " the classes, and the levels of the pyramid, contribute. It goes by maps and not by boxes: none are drawn."
    ),
    "margin": (
        "Margin: the score is that of the most doubtful box, 1 where two classes, or a class and the background, are"
        " equally probable. The most doubtful boxes are listed."
    ),
    "submodular": (
        "Submodular: the score is what an image adds to all that was labelled or comes before it, so that every"
        " beginning of the order is worth labelling. The most probable places of an image count: each by its"
        " probability, by how poorly the model knows its class, the less the more images of that class there are, and"
        " the less the more it resembles what was labelled or comes before. Drawn are the boxes in doubt, of which"
        " the text names the most doubtful first."
    ),
    "random": "Random: the score is drawn from the file name and the seed: no image has a reason to come first.",
}
"""What the scores and the reasons mean, by algorithm."""


class _Ranked(NamedTuple):
    rank: int
    asset: str
    score: float


class _Ranking(NamedTuple):
    first: Sequence[_Ranked]
    last: Sequence[_Ranked]
    scores: np.ndarray
    """Of all images that could be read, the highest first."""
    images: int
    order: Sequence[str]
    """The first images that could be read, as far as `label_shares` counts them."""


def mining_section(output: TaskOutput) -> Section | None:
    """Return the section of mining; None where the folder has no result of it.

    Raises:
        DatasetError: the result is damaged.
    """
    if not is_file(output.mining_result):
        return None
    ranking = _read(output.mining_result)
    algorithm, reasons = _reasons(output)
    summary = output.read_json("mining-summary.json") or {}
    shares = label_shares(output, ranking.order)
    context = {
        "ranking": ranking,
        "unreadable": ranking.images - len(ranking.scores),
        "median": float(np.median(ranking.scores)) if len(ranking.scores) else None,
        "algorithm": algorithm,
        "meaning": MEANINGS.get(algorithm, ""),
        "explained": sum(printable(image.asset) in reasons for image in ranking.first),
        "expects_reasons": algorithm in MINING_ALGORITHMS and MINING_ALGORITHMS[algorithm].needs_images,
        "shares": shares,
        "images_per_second": summary.get("images_per_second"),
        "findings": read_findings(summary),
    }
    shown = _gallery(output, [*ranking.first, *ranking.last], reasons)
    first, last = shown[: len(ranking.first)], shown[len(ranking.first) :]
    data = {
        "histogram": _histogram(ranking.scores), "first": first, "last": last,
        "shares": None if shares is None else shares._asdict(),
    }  # fmt: skip
    return Section("mining", "Mining", "mining.html.j2", context, data, ("mining.js",))


def _read(path: Path) -> _Ranking:
    """Read the result once; of a million images only the scores are kept."""
    first: list[_Ranked] = []
    last: Deque[_Ranked] = deque(maxlen=LAST)
    scores, images = array("d"), 0
    order: list[str] = []
    for images, (asset, score) in enumerate(read_mining_result(path), start=1):
        if score == UNREADABLE_SCORE:
            continue
        scores.append(score)
        if len(order) < CUTS[-1]:
            order.append(asset)
        (first if len(first) < MOST_SHOWN else last).append(_Ranked(images, asset, score))
    return _Ranking(first, list(last), np.frombuffer(scores, dtype=np.float64), images, order)


def _reasons(output: TaskOutput) -> tuple[str, Mapping[str, ImageReason]]:
    """Return the algorithm, as far as it is known, and the reasons by asset."""
    explanations = read_explanations(output.out_dir / FILE_NAME)
    algorithm = ""
    if output.task is not None:
        with contextlib.suppress(ConfigError):  # of a folder that no task has accepted
            algorithm = read_settings(MiningSettings, output.task.config).mining_algorithm
    # of an earlier task in the same folder, with another algorithm
    if explanations is None or algorithm not in ("", explanations.algorithm):
        return algorithm, {}
    return explanations.algorithm, {image.asset: image for image in explanations.images}


def _histogram(scores: np.ndarray) -> Mapping[str, Any]:
    if not len(scores):
        return {"counts": [], "from": 0.0, "to": 1.0}
    counts, edges = np.histogram(scores, bins=BINS)
    return {"counts": counts.tolist(), "from": float(edges[0]), "to": float(edges[-1])}


def _gallery(
    output: TaskOutput, images: Sequence[_Ranked], reasons: Mapping[str, ImageReason]
) -> list[Mapping[str, Any]]:
    paths = [None if output.task is None else output.task.paths.resolve(image.asset) for image in images]
    thumbnails = make_thumbnails(paths, budget_bytes=_THUMBNAIL_BYTES)
    why = [reasons.get(printable(image.asset)) for image in images]
    return [
        {
            "name": PurePosixPath(image.asset).name, **thumbnail._asdict(),
            "lines": [f"{image.rank}. score {image.score:.6f}", *reason_lines(image.score, reason)],
            "boxes": _boxes(reason),
        }
        for image, thumbnail, reason in zip(images, thumbnails, why)
    ]  # fmt: skip


def _boxes(reason: ImageReason | None) -> list[Mapping[str, Any]]:
    """Return the boxes to draw, each once: one box may decide under several augmentations."""
    drawn: dict[Any, Mapping[str, Any]] = {}
    for box in reason.boxes if reason is not None else ():
        x1, y1, x2, y2 = box.xyxy
        label = f"{box.augmentation}: {named_box(box)}" if box.augmentation else named_box(box)
        drawn[box.xyxy, label] = {
            "x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1, "label": label, "augmentation": box.augmentation,
        }  # fmt: skip
    return list(drawn.values())
