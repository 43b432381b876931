"""The curves of active learning: label a start set, train, mine, label the best, train again.

    OUT/rounds.jsonl   one line per round: {"seed": 0, "algorithm": "cald", "round": 1, "labelled": [..], "ap50": ..}

Mining and training are tasks by start.py. Every training starts from the same weights and has the same number of steps:
curves compare labels, not steps.
"""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

from benchmarks.chance import STRATIFIED, draw_start, draw_stratified
from benchmarks.experiment import Journal
from benchmarks.labelled_sets import LabelledSet
from benchmarks.near_copies import NearCopies
from benchmarks.shared_trainings import SharedTrainings, read_pairs, run_whole_task
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS
from ymir_detectron2.config.prediction_settings import MiningSettings
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.task_folder import asset_name

FIRST = "first"
"""Name in place of an algorithm in round 0, which all algorithms of a seed share."""


@dataclass(frozen=True)
class Round:
    """What the images labelled so far are, and what a network trained on them reaches."""

    seed: int
    algorithm: str
    """With its settings: "cald:conf_threshold=0.3"."""
    round: int
    labelled: list[str]
    """File names of the training images, in the order in which they were added."""
    boxes: int
    """Boxes in these images: the work of an annotator."""
    empty_images: int
    """Of these images: shown to the team for nothing."""
    near_copies: int
    """Of these images, those that resemble one before them."""
    images_by_class: Mapping[str, int]
    """Of these images, those that show a class."""
    ap50: float
    ap50_by_class: Mapping[str, float]
    mining_s: float
    """Processor time of the mining task."""
    training_s: float
    device: str
    """And arithmetic of the training."""


@dataclass(frozen=True)
class Plan:
    """What all curves have in common."""

    out: Path
    data: LabelledSet
    start_images: int
    budget: int
    """Images added in each round."""
    rounds: int
    """Of mining."""
    trainings: SharedTrainings
    mining: Mapping[str, Any] = field(default_factory=dict)
    """Keys of config.yaml for every mining task."""


def parse_algorithm(text: str) -> dict[str, Any]:
    """Return the keys of config.yaml for "cald:conf_threshold=0.3:tile_size=800"; {} for stratified chance.

    Raises:
        ConfigError: there is no such algorithm, or no such key.
    """
    name, *pairs = text.split(":")
    if name == STRATIFIED and not pairs:
        return {}
    if name not in MINING_ALGORITHMS:
        raise ConfigError(f"{text}: no such algorithm; choose one of {', '.join([*MINING_ALGORITHMS, STRATIFIED])}")
    return {"mining_algorithm": name, **read_pairs(pairs, MiningSettings)}


class LearningCurves:
    """Runs the rounds that the journal does not have."""

    def __init__(self, plan: Plan, journal: Journal[Round]) -> None:
        self._plan, self._journal = plan, journal
        self._images = {image.path.name: image for image in plan.data.train}
        self._copies = NearCopies([image.path for image in plan.data.train])

    def run_missing(self, seeds: Sequence[int], algorithms: Sequence[str], jobs: int) -> None:
        """Run curve by curve, all algorithms of a seed before the next seed: what is there can be compared.

        Args:
            seeds: decide about the start set, random weights and the order of the training images.
            algorithms: see `parse_algorithm`.
            jobs: curves at a time.
        """
        with ThreadPoolExecutor(jobs) as threads:  # first in, first out: no curve waits for a start queued after it
            starts = {seed: threads.submit(self._run_first, seed) for seed in seeds}
            curves = {
                seed: [threads.submit(self._run_curve, starts[seed], algorithm) for algorithm in algorithms]
                for seed in seeds
            }
            try:
                for seed in seeds:
                    for curve in curves[seed]:
                        curve.result()
                    self._plan.trainings.remove_models(f"seed{seed}")
            finally:  # after a failure no further curve is started
                for seed in seeds:
                    starts[seed].cancel()
                    for curve in curves[seed]:
                        curve.cancel()

    def _run_first(self, seed: int) -> Round:
        done = self._find(seed, FIRST, 0)
        if done is not None:
            return done
        drawn = draw_start(self._plan.data.train, self._plan.start_images, seed)
        return self._finish(seed, FIRST, 0, drawn, mining_s=0.0)

    def _run_curve(self, start: Future[Round], algorithm: str) -> None:
        one = start.result()
        for number in range(1, self._plan.rounds + 1):
            one = self._find(one.seed, algorithm, number) or self._run_round(algorithm, one)

    def _find(self, seed: int, algorithm: str, number: int) -> Round | None:
        return self._journal.find(seed=seed, algorithm=algorithm, round=number)

    def _run_round(self, algorithm: str, before: Round) -> Round:
        """Mine with the model of the round before, label, train."""
        labelled, known = [self._images[name] for name in before.labelled], set(before.labelled)
        candidates = [image for name, image in self._images.items() if name not in known]
        if algorithm == STRATIFIED:
            rng = random.Random(f"{before.seed} {before.round}")
            chosen, mining_s = draw_stratified(candidates, self._plan.budget, rng), 0.0
        else:
            chosen, mining_s = self._mine(algorithm, before, labelled, candidates)
        return self._finish(before.seed, algorithm, before.round + 1, [*labelled, *chosen], mining_s)

    def _mine(
        self,
        algorithm: str,
        before: Round,
        labelled: Sequence[AnnotatedImage],
        candidates: Sequence[AnnotatedImage],
    ) -> tuple[list[AnnotatedImage], float]:
        """Run a mining task; return the images to label next, and its processor time."""
        form = {**self._plan.mining, **parse_algorithm(algorithm), "seed": before.seed}
        model = None
        if MINING_ALGORITHMS[form["mining_algorithm"]].needs_images:
            model = self._plan.trainings.model(_group(before.seed, before.round), labelled, before.seed)
        root = self._plan.out / "tasks" / re.sub(r"[^\w-]", "_", f"seed{before.seed}-{algorithm}-{before.round + 1}")
        images, names = [image.path for image in candidates], self._plan.data.class_names
        mining_s = run_whole_task(root, task="mining", class_names=names, candidates=images, model=model, config=form)
        chosen = pick_next(root / "out" / "result.tsv", candidates, self._plan.budget)
        shutil.rmtree(str(root))
        return chosen, mining_s

    def _finish(
        self, seed: int, algorithm: str, number: int, labelled: Sequence[AnnotatedImage], mining_s: float
    ) -> Round:
        """Train on `labelled`; record and return the result."""
        keep = number < self._plan.rounds
        training = self._plan.trainings.result(_group(seed, number), labelled, seed, keep=keep)
        names = [image.path.name for image in labelled]
        done = Round(
            seed, algorithm, number, names,
            boxes=sum(len(image.boxes) for image in labelled),
            empty_images=sum(not image.boxes for image in labelled),
            near_copies=self._copies.count(names),
            images_by_class=dict(Counter(name for image in labelled for name in {box[0] for box in image.boxes})),
            ap50=training.ap50, ap50_by_class=training.ap50_by_class,
            mining_s=mining_s, training_s=training.processor_s, device=training.device,
        )  # fmt: skip
        self._journal.add(done)
        print(f"seed {seed}  {algorithm}  {len(names)} images: AP50 {done.ap50:.3f}, {done.boxes} boxes, "
              f"{done.empty_images} empty, {done.mining_s:.0f} + {done.training_s:.0f} s", flush=True)  # fmt: skip
        return done


def _group(seed: int, number: int) -> str:
    """Return the group of a round's model: those of round 0 stay, for algorithms that are added later."""
    return f"seed{seed}" if number else FIRST


def pick_next(result_file: Path, candidates: Sequence[AnnotatedImage], budget: int) -> list[AnnotatedImage]:
    """Return the images of the first lines of a result.tsv, as the platform takes them."""
    by_name = {asset_name(image.path): image for image in candidates}
    lines = result_file.read_text(encoding="utf-8").splitlines()
    return [by_name[Path(line.split("\t")[0]).name] for line in lines[:budget]]
