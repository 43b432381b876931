"""Does mining help? Active learning: train, mine the next images, label them, train again; AP50 by round and algorithm.

    python3 benchmarks/active_learning.py --out FOLDER [--voc DIR] [--seeds 0 1 2] [--jobs 2]

FOLDER/rounds.jsonl   one line per training: {"seed": 0, "algorithm": "cald", "round": 1, "labelled": [..], "ap50": ..}
FOLDER/tasks/         task folders; models that are no longer needed are removed
FOLDER/active_learning.md  FOLDER/active_learning.png    table and plot of these lines; the plot needs matplotlib

Every round is a mining and a training task by start.py. A training starts from the model of the round before, as users
of the platform do, or from random weights. All algorithms of a seed share the first training. An interrupted run
continues where it was.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal, load_images, require_same_settings, run_task  # noqa: E402
from benchmarks.learning_report import FIRST, Round, format_table, write_report  # noqa: E402
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS  # noqa: E402
from ymir_detectron2.sources.labelled_image import AnnotatedImage  # noqa: E402
from ymir_detectron2.tools.packed_model import pack_best_stage  # noqa: E402
from ymir_detectron2.tools.task_folder import asset_name, write_task_folder  # noqa: E402

_SETTINGS = ("voc", "budget", "first_steps", "max_iter", "from_scratch", "learning_rate", "precision")
"""Options that must be the same for all results in a folder; seeds and algorithms may be added."""
TRAINING_CONFIG = {
    "config_file": "configs/CPU/retinanet_R_18_FPN_small.yaml",
    "batch_size": 4,
    "args_options": "INPUT.MIN_SIZE_TRAIN (160,) INPUT.MIN_SIZE_TEST 160",
}
Key = Tuple[int, str, int]
"""Seed, algorithm, round."""


@dataclass(frozen=True)
class Plan:
    """Settings that all rounds have in common."""

    out: Path
    pool: Sequence[AnnotatedImage]
    val: Sequence[AnnotatedImage]
    budget: int
    """Images in round 0, and added in each further one."""
    rounds: int
    first_steps: int
    """Of the training in round 0."""
    config: Mapping[str, Any]
    """For config.yaml of a training; its `precision` holds for mining too, its `max_iter` not for round 0."""
    from_scratch: bool = False
    """Start every round from random weights, not from the model of the round before."""

    def task_folder(self, key: Key) -> Path:
        return self.out / "tasks" / "seed{}-{}-{}".format(*key)


Rounds = Journal[Round]
"""rounds.jsonl."""


def find_round(journal: Rounds, key: Key) -> Round | None:
    """Return a finished round."""
    return journal.find(seed=key[0], algorithm=key[1], round=key[2])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the missing rounds, then report all."""
    options = _read_arguments(arguments)
    out = options.out.resolve()
    (out / "tasks").mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    form = {name: getattr(options, name) for name in ("max_iter", "precision", "learning_rate")}
    plan = Plan(
        out,
        *load_images(options.voc, out / "images"),
        budget=options.budget,
        rounds=options.rounds,
        first_steps=options.first_steps,
        config={**TRAINING_CONFIG, **form},
        from_scratch=options.from_scratch,
    )
    journal = Journal(out / "rounds.jsonl", Round)
    started_s = time.perf_counter()
    try:
        run_missing(plan, journal, options.seeds, options.algorithms, options.jobs)
    finally:
        write_report(out, journal.results)
    print(f"\n{format_table(journal.results)}\nwall time {(time.perf_counter() - started_s) / 60:.1f} min", flush=True)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--voc", type=Path, metavar="DIR", help="Pascal VOC set with train.txt and val.txt; else drawn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--algorithms", nargs="+", default=list(MINING_ALGORITHMS), choices=MINING_ALGORITHMS)
    parser.add_argument("--budget", type=int, default=20, help="images per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of mining (%(default)s)")
    parser.add_argument("--first-steps", type=int, default=200, help="steps of the first training (%(default)s)")
    parser.add_argument("--steps", type=int, default=70, dest="max_iter", help="of each further one (%(default)s)")
    parser.add_argument("--from-scratch", action="store_true", help="start every training from random weights")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--precision", default="auto", help="bf16 is faster on processors that have it")
    parser.add_argument("--jobs", type=int, default=2, help="tasks at a time (%(default)s)")
    return parser.parse_args(arguments)


def run_missing(plan: Plan, journal: Rounds, seeds: Sequence[int], algorithms: Sequence[str], jobs: int) -> None:
    """Run the missing rounds, number by number: after an interruption all algorithms have come equally far."""
    futures: dict[Key, Future[Round]] = {}
    with ThreadPoolExecutor(jobs) as threads:  # first in, first out: no round waits for one that is queued after it
        for seed in seeds:
            futures[seed, FIRST, 0] = threads.submit(_run_first, plan, journal, seed)
        for number, seed, algorithm in itertools.product(range(1, plan.rounds + 1), seeds, algorithms):
            before = futures[(seed, algorithm, number - 1) if number > 1 else (seed, FIRST, 0)]
            key = (seed, algorithm, number)
            futures[key] = threads.submit(_run_round, plan, journal, key, before)
        try:
            for future in futures.values():
                future.result()
        finally:  # after a failure no further round is started
            for future in futures.values():
                future.cancel()


def _run_first(plan: Plan, journal: Rounds, seed: int) -> Round:
    """Run round 0 on images drawn at random."""
    done = find_round(journal, (seed, FIRST, 0))
    if done is not None:
        return done
    drawn = random.Random(seed).sample(list(plan.pool), plan.budget)
    return _train(plan, journal, (seed, FIRST, 0), drawn, None, time.perf_counter())


def _run_round(plan: Plan, journal: Rounds, key: Key, running: Future[Round]) -> Round:
    """Mine with the model of the round before, label, train."""
    before, done = running.result(), find_round(journal, key)
    if done is not None:
        return done
    started_s = time.perf_counter()
    model_task = plan.task_folder((before.seed, before.algorithm, before.round))
    by_name = {image.path.name: image for image in plan.pool}
    labelled = [by_name[name] for name in before.labelled]
    model = model_task / "out" / "models"
    labelled += _mine(plan, key, labelled, model)
    done = _train(plan, journal, key, labelled, None if plan.from_scratch else model, started_s)
    if before.round > 0:  # the model of round 0 is shared by all algorithms
        shutil.rmtree(str(model_task))
    return done


def _mine(plan: Plan, key: Key, labelled: Sequence[AnnotatedImage], model: Path) -> list[AnnotatedImage]:
    """Run a mining task; return the images to label next."""
    known = {image.path for image in labelled}
    candidates = [image for image in plan.pool if image.path not in known]
    config = {"mining_algorithm": key[1], "seed": key[0], "precision": plan.config["precision"]}
    root = plan.task_folder(key).with_suffix(".mining")
    images = [image.path for image in candidates]
    _run_task(root, task="mining", class_names=_class_names(plan), candidates=images, model=model, config=config)
    picked = pick_next(root / "out" / "result.tsv", candidates, plan.budget)
    shutil.rmtree(str(root))
    return picked


def pick_next(result_file: Path, candidates: Sequence[AnnotatedImage], budget: int) -> list[AnnotatedImage]:
    """Return the images of the first lines of a result.tsv, as the platform takes them."""
    by_name = {asset_name(image.path): image for image in candidates}
    lines = result_file.read_text(encoding="utf-8").splitlines()
    return [by_name[Path(line.split("\t")[0]).name] for line in lines[:budget]]


def _train(
    plan: Plan, journal: Rounds, key: Key, labelled: Sequence[AnnotatedImage], model: Path | None, started_s: float
) -> Round:
    """Train on `labelled`, from `model` or from random weights; record and return the result."""
    root, steps = plan.task_folder(key), plan.config["max_iter"] if key[2] else plan.first_steps
    # one evaluation, at the end: no choice of a lucky stage
    config = {**plan.config, "max_iter": steps, "eval_period": steps, "seed": key[0]}
    images = {"train": labelled, "val": plan.val}
    _run_task(root, task="train", class_names=_class_names(plan), **images, config=config, pretrained=model)
    ap50 = pack_best_stage(root / "out" / "models").m_ap
    names, boxes = [image.path.name for image in labelled], sum(len(image.boxes) for image in labelled)
    done = Round(*key, names, boxes, round(ap50, 4), round(time.perf_counter() - started_s, 1))
    journal.add(done)
    print(f"seed {key[0]}  {key[1]}  round {key[2]}: AP50 {ap50:.3f}, {boxes} boxes, {done.seconds:.0f} s", flush=True)
    return done


def _class_names(plan: Plan) -> list[str]:
    return sorted({box[0] for image in plan.pool for box in image.boxes})


def _run_task(root: Path, **content: Any) -> None:
    """Write a task folder and run it; its log.txt names the reason of a failure."""
    if root.exists():  # of an interrupted run
        shutil.rmtree(str(root))
    status = run_task(write_task_folder(root, **content), root / "log.txt")
    if status:
        raise subprocess.CalledProcessError(status, f"start.py, see {root / 'log.txt'}")


if __name__ == "__main__":
    main()
