"""Cost of each mining algorithm relative to plain inference, and the speed-up by a second process.

    python3 -m benchmarks.mining_speed [--quick]

On the CPU with the small network, on a GPU with RetinaNet R50, drawn images, random weights. "Passes" is the time of
an algorithm in units of plain inference over the same images.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import yaml

from benchmarks.measuring import Measurement, compare, describe_machine, devices, parse, serve, timed
from benchmarks.page import promise, promises_table, publish, table
from benchmarks.task_runs import list_candidates, prepare_task, run_task

INFERENCE = "inference"
BY_NAME = "random"
"""The algorithm that reads no image: its score depends on the name only."""
SCORES_AT_ONCE = 10_000
"""How many of its scores are timed together: one takes microseconds."""


class Amount(NamedTuple):
    """How much is measured."""

    images: int
    repeats: int
    task_images: int
    """For the comparison of processes, each of which is a whole task."""


AMOUNTS = {"cpu": Amount(32, 5, 256), "cuda": Amount(256, 3, 0)}
QUICK_AMOUNTS = {"cpu": Amount(4, 1, 8), "cuda": Amount(16, 1, 0)}


def main() -> None:
    """Measure all devices, or be one worker."""
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
    from benchmarks.synthetic_data import RETINANET_50, SMALL, write_images, write_model
    from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS

    # the small network finds about equally much in all drawn images, RetinaNet R50 does not: see `write_images`
    images = write_images(folder / "images", amount.images, different=16 if device == "cpu" else 1)
    config, num_classes = (RETINANET_50, 80) if device == "cuda" else (SMALL, 3)
    write_model(folder / "model", config, num_classes, images[0], {})
    shared = {"device": device, "model": str(folder / "model"), "images": str(images[0].parent)}
    workers = {name: {**shared, "algorithm": name} for name in (INFERENCE, *MINING_ALGORITHMS)}
    measured = compare(workers, "mining_speed", ["score"], amount.repeats)["score"]
    rows = [
        [name, one.images_per_s, passes(measured, name), None if name == BY_NAME else one.peak_mib]
        for name, one in measured.items()
    ]
    promised = promise("CALD, passes", most=4.7, measured=passes(measured, "cald"))
    columns = ["algorithm", "images/s", "passes", "MiB"]
    return f"{config.stem}, images of 640 x 384:\n\n{table(columns, rows)}\n\n{promises_table([promised])}"


def passes(measured: Mapping[str, Measurement], name: str) -> float | None:
    """Return the time of an algorithm in units of plain inference; None if it reads no image."""
    if name not in measured or INFERENCE not in measured or name == BY_NAME:
        return None
    return measured[INFERENCE].images_per_s / measured[name].images_per_s


def _processes(amount: Amount, folder: Path) -> str:
    """Compare whole tasks: one process with all threads, two processes with half of them each."""
    import torch

    threads = torch.get_num_threads()  # a task divides them among its processes
    ways: dict[str, dict[str, Any]] = {
        f"1 process, {threads} threads": {},
        f"2 processes, {max(1, threads // 2)} threads each": {"args_options": "--num-gpus 2"},
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(max(1, amount.repeats // 2)):  # whole tasks are long: fewer repeats
        for number, (way, config) in enumerate(ways.items()):
            root = folder / f"task{repeat}{number}"
            env_file = prepare_task(root, "infer", folder / "model", {"engine": "torch", **config})
            list_candidates(root, sorted((folder / "images").glob("*.jpg")), amount.task_images)
            start_s = time.perf_counter()
            run_task(env_file)
            seconds[way].append(time.perf_counter() - start_s)
            summary = yaml.safe_load((root / "out" / "infer-summary.json").read_text(encoding="utf-8"))
            rates[way].append(float(summary["images_per_second"]))
    rows = [[way, statistics.median(rates[way]), statistics.median(seconds[way])] for way in ways]
    columns = ["inference as a task", "images/s", "start to exit, s"]
    return f"{amount.task_images} images:\n\n{table(columns, rows)}"


def _work(spec: Mapping[str, Any]) -> None:
    """Be the worker of one algorithm: warm up, then score all images on request."""
    from benchmarks.synthetic_data import SCORE_THRESHOLD, package_in
    from ymir_detectron2.config.prediction_settings import InferSettings
    from ymir_detectron2.detections import Detections
    from ymir_detectron2.engines.base import DetectorOptions
    from ymir_detectron2.engines.registry import load_engine
    from ymir_detectron2.inference.predict import PredictionHooks, predict_images
    from ymir_detectron2.mining.algorithms import build_algorithm

    paths = sorted(Path(spec["images"]).glob("*.jpg"))
    options = DetectorOptions(
        settings=InferSettings(), gpu_ids=(0,) if spec["device"] == "cuda" else (), batch_size=0,
        score_threshold=SCORE_THRESHOLD, overrides={}, class_names=(),
    )  # fmt: skip
    detector = load_engine("torch").load_detector(package_in(Path(spec["model"])), options)
    name = spec["algorithm"]
    algorithm = None
    if name != INFERENCE:
        algorithm = build_algorithm(
            name, detect=detector.detect, seed=0, class_names=detector.class_names
        )

    def score_images(paths: list[Path]) -> int:
        hooks = PredictionHooks() if algorithm is None else PredictionHooks(algorithm.extract, algorithm.score_tiles)
        count = 0
        for image in predict_images(detector, paths, hooks=hooks):
            assert image.detections is not None, image.error
            if algorithm is not None:
                algorithm.score_image(image.path.name, image.detections, image.tile_scores)
            count += 1
        return count

    def score_names() -> int:
        assert algorithm is not None
        for number in range(SCORES_AT_ONCE):
            algorithm.score_image(f"{number}.jpg", Detections.empty(), ())
        return SCORES_AT_ONCE

    if name == BY_NAME:
        serve({"score": timed(score_names)})
    else:
        score_images(paths[: detector.preferred_chunk])  # warm-up
        serve({"score": timed(lambda: score_images(paths))})


if __name__ == "__main__":
    main()
