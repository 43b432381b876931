"""What each mining algorithm costs beside plain inference, and what a second process brings.

    python3 -m benchmarks.mining_speed [--quick]

On the CPU with the small network, on a GPU with RetinaNet R50, drawn pictures, random weights. "Passes" is the time of
an algorithm in units of plain inference over the same pictures.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import numpy as np
import yaml

from benchmarks.measuring import Measurement, compare, describe_machine, devices, parse, serve, timed
from benchmarks.page import promise, promises_table, publish, table
from benchmarks.task_runs import list_candidates, prepare_task, run_task

INFERENCE = "inference"
BY_NAME = "random"
"""The algorithm that looks at no picture."""
LOTS = 10_000
"""How many of its scores are timed together: one takes microseconds."""


class Amount(NamedTuple):
    """How much is measured."""

    images: int
    repeats: int
    task_images: int
    """For the comparison of processes, which start anew each time."""


AMOUNTS = {"cpu": Amount(32, 5, 256), "cuda": Amount(256, 3, 0)}
QUICK_AMOUNTS = {"cpu": Amount(4, 1, 8), "cuda": Amount(16, 1, 0)}


def main() -> None:
    """Measure all devices, or be one subject."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        _work(arguments.work)
        return
    for device in devices():
        amount = (QUICK_AMOUNTS if arguments.quick else AMOUNTS)[device]
        with tempfile.TemporaryDirectory() as folder:
            content = f"{describe_machine(device)}\n\n{_algorithms(device, amount, Path(folder))}"
            if amount.task_images:
                content += f"\n\n{_processes(amount, Path(folder))}"
        publish(f"mining-{device}", content, arguments.page)


def _algorithms(device: str, amount: Amount, folder: Path) -> str:
    from benchmarks.stand_ins import RETINANET_50, SMALL, write_model, write_pictures
    from ymir_detectron2.settings import MINING_ALGORITHMS

    pictures = write_pictures(folder / "pictures", amount.images, different=16 if device == "cpu" else 1)
    config, num_classes = (RETINANET_50, 80) if device == "cuda" else (SMALL, 3)
    write_model(folder / "model", config, num_classes, pictures[0], {})
    shared = {"device": device, "model": str(folder / "model"), "pictures": str(pictures[0].parent)}
    subjects = {name: {**shared, "algorithm": name} for name in (INFERENCE, *MINING_ALGORITHMS)}
    found = compare(subjects, "mining_speed", ["look"], amount.repeats)["look"]
    rows = [
        [name, one.images_per_s, passes(found, name), None if name == BY_NAME else one.peak_mib]
        for name, one in found.items()
    ]
    promised = promise("CALD, passes", most=4.7, measured=passes(found, "cald"))
    columns = ["algorithm", "images/s", "passes", "MiB"]
    return f"{config.stem}, pictures of 640 x 384:\n\n{table(columns, rows)}\n\n{promises_table([promised])}"


def passes(found: Mapping[str, Measurement], name: str) -> float | None:
    """How often plain inference could have been done in the same time; None for what looks at no picture."""
    if name not in found or INFERENCE not in found or name == BY_NAME:
        return None
    return found[INFERENCE].images_per_s / found[name].images_per_s


def _processes(amount: Amount, folder: Path) -> str:
    """Whole tasks, as one process with two threads and as two with one."""
    import torch

    threads = torch.get_num_threads()
    ways: dict[str, dict[str, Any]] = {
        f"1 process, {threads} threads": {},
        f"2 processes, {max(1, threads // 2)} threads each": {"args_options": "--num-gpus 2"},
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(max(1, amount.repeats // 2)):
        for number, (way, config) in enumerate(ways.items()):
            root = folder / f"task{repeat}{number}"
            env_file = prepare_task(root, "infer", folder / "model", {"engine": "torch", **config})
            list_candidates(root, sorted((folder / "pictures").glob("*.jpg")), amount.task_images)
            start_s = time.perf_counter()
            run_task(env_file)
            seconds[way].append(time.perf_counter() - start_s)
            summary = yaml.safe_load((root / "out" / "infer-summary.json").read_text(encoding="utf-8"))
            rates[way].append(float(summary["images_per_second"]))
    rows = [[way, statistics.median(rates[way]), statistics.median(seconds[way])] for way in ways]
    columns = ["inference as a task", "images/s", "start to exit, s"]
    return f"{amount.task_images} pictures:\n\n{table(columns, rows)}"


def _work(spec: Mapping[str, Any]) -> None:
    """Be one algorithm: warm up, then look at all pictures as asked."""
    from benchmarks.stand_ins import SCORE_THRESHOLD, package_in
    from ymir_detectron2.engines.base import Detections, DetectorOptions
    from ymir_detectron2.engines.choice import load_engine
    from ymir_detectron2.inference.stream import Wanted, look_at
    from ymir_detectron2.mining.algorithms import build_algorithm
    from ymir_detectron2.settings import InferSettings

    paths = sorted(Path(spec["pictures"]).glob("*.jpg"))
    options = DetectorOptions(
        settings=InferSettings(), gpu_ids=(0,) if spec["device"] == "cuda" else (), batch_size=0,
        score_threshold=SCORE_THRESHOLD, overrides={}, class_names=(),
    )  # fmt: skip
    detector = load_engine("torch").load_detector(package_in(Path(spec["model"])), options)
    name = spec["algorithm"]
    algorithm = None
    if name != INFERENCE:
        algorithm = build_algorithm(
            name, detect=detector.detect, seed=0, class_names=detector.class_names, class_distribution_scores=""
        )

    def look(paths: list[Path]) -> int:
        wanted = Wanted() if algorithm is None else Wanted(algorithm.read, algorithm.part_values)
        count = 0
        for picture in look_at(detector, paths, wanted=wanted):
            assert picture.detections is not None, picture.error
            if algorithm is not None:
                algorithm.score(picture.path.name, picture.detections, picture.values)
            count += 1
        return count

    def draw_lots() -> int:
        assert algorithm is not None
        nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
        for number in range(LOTS):
            algorithm.score(f"{number}.jpg", nothing, ())
        return LOTS

    if name == BY_NAME:
        serve({"look": timed(draw_lots)})
    else:
        look(paths[: detector.parts_at_once])
        serve({"look": timed(lambda: look(paths))})


if __name__ == "__main__":
    main()
