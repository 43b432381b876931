"""Inference speed of both engines, compared with what a user would take instead.

    python3 -m benchmarks.inference_speed [--quick]

Each baseline goes from JPEG files to a JSON file with boxes, and then runs only its network on a batch in memory.
Weights are random, scaled so that an image has some fifty candidates above the threshold.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from benchmarks.measuring import (
    Measurement,
    compare,
    describe_machine,
    devices,
    has_bf16,
    has_detectron2,
    parse,
    serve,
    timed,
)
from benchmarks.page import promise, promises_table, publish, table


class Size(NamedTuple):
    """One input size of the networks, and how much is measured at it."""

    min_size: int
    max_size: int
    images: int
    """A multiple of all batches."""
    repeats: int
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.min_size} x {self.max_size}"


SIZES = {
    # 2.5 s for a large image on two cores
    "cpu": (Size(800, 1333, 4, 3, (1, 4)), Size(320, 533, 8, 3, (1, 4))),
    "cuda": (Size(800, 1333, 256, 3, (1, 16, 32)), Size(320, 533, 512, 3, (1, 16, 64))),
}
QUICK_SIZES = {"cpu": (Size(64, 107, 2, 1, (1, 2)),), "cuda": (Size(320, 533, 32, 1, (1, 16)),)}


class Switch(NamedTuple):
    """What makes the torch engine faster or slower than it is in a task with default settings."""

    label: str
    settings: Mapping[str, Any] = {}
    """Keys of config.yaml."""
    loading: Mapping[str, bool] = {}
    """Arguments of its `load_detector`, which no task changes."""


SWITCHES = (
    Switch("`compile: always`", settings={"compile": "always"}),
    Switch("without fusing", loading={"fuse": False}),
    Switch("without channels-last", loading={"channels_last": False}),
)
"""Each is measured at the smaller size, with the largest batch."""

Key = Tuple[str, str, int, str]
"""Name, label of a switch or '', batch, precision: the first cells of a row."""


def main() -> None:
    """Measure all devices, or be one worker."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        _work(arguments.work)
        return
    for device in devices():
        sizes = (QUICK_SIZES if arguments.quick else SIZES)[device]
        with tempfile.TemporaryDirectory() as folder:
            sections = [_compare(device, size, Path(folder), with_switches=size == sizes[-1]) for size in sizes]
        memory = "on the GPU, as torch allocates it" if device == "cuda" else "resident"
        note = "" if has_detectron2() else " detectron2 could not be imported: no rows for it and for the predecessor."
        content = f"{describe_machine(device)} Memory is the peak of the process, {memory}.{note}\n\n"
        publish(f"inference-{device}", content + "\n\n".join(sections), arguments.page)


def _compare(device: str, size: Size, folder: Path, *, with_switches: bool) -> str:
    """Measure one size; return its tables."""
    from benchmarks.baselines import NUM_CLASSES
    from benchmarks.synthetic_data import RETINANET_50, write_images, write_model

    images = write_images(folder / f"images{size.min_size}", size.images)
    edges = {"INPUT.MIN_SIZE_TEST": size.min_size, "INPUT.MAX_SIZE_TEST": size.max_size}
    model = folder / f"model{size.min_size}"
    write_model(model, RETINANET_50, NUM_CLASSES, images[0], edges)
    # no row without hardware bf16: it would measure its emulation
    keys = plan(size.batches, has_bf16=has_bf16(device), has_detectron2=has_detectron2(), with_switches=with_switches)
    shared = {"device": device, "min_size": size.min_size, "max_size": size.max_size, "model": str(model)}
    by_label = {"": Switch(""), **{switch.label: switch for switch in SWITCHES}}
    workers = {
        (name, label, batch, precision): {
            "case": {
                **shared, "name": name, "batch": batch, "precision": precision,
                "settings": dict(by_label[label].settings), "loading": dict(by_label[label].loading),
            },
            "images": str(images[0].parent),
        }
        for name, label, batch, precision in keys
    }  # fmt: skip
    measured = compare(workers, "inference_speed", ["files", "network"], size.repeats)
    promised = promises_table(promises(measured["files"], device, size))
    return f"{size.name}:\n\n{_table(keys, measured['files'], measured['network'])}\n\n{promised}"


def plan(batches: tuple[int, ...], *, has_bf16: bool, has_detectron2: bool, with_switches: bool) -> list[Key]:
    """List what is compared at one size, in the order of the table."""
    precisions = ("fp32", "bf16") if has_bf16 else ("fp32",)
    names = ("torch engine", "detectron2 engine", "torchvision") if has_detectron2 else ("torch engine", "torchvision")
    # first all rows at default settings: the promises compare their best batches
    keys: list[Key] = [(name, "", batch, kind) for name in names for kind in precisions for batch in batches]
    if has_detectron2:
        keys += [("DefaultPredictor", "", 1, "fp32"), ("predecessor", "", 1, "fp32")]
    if with_switches:
        keys += [
            ("torch engine", switch.label, batches[-1], kind) for switch in SWITCHES for kind in precisions
        ]
    return keys


def _table(keys: Sequence[Key], files: Mapping[Key, Measurement], network: Mapping[Key, Measurement]) -> str:
    reference_files, reference_network = (best(rates, "torchvision", "fp32") for rates in (files, network))
    rows: list[list[Any]] = []
    for key in keys:
        name, switch, batch, precision = key
        label = ", ".join(filter(None, [name, switch]))
        if key not in files:  # its worker ended, for example without a compiler for `compile`
            rows.append([label, batch, precision, "does not run", *[None] * 4])
            continue
        rate, peak_mib = files[key]
        network_rate = network[key].images_per_s
        ratios = _ratio(rate, reference_files), _ratio(network_rate, reference_network)
        rows.append([label, batch, precision, rate, ratios[0], network_rate, ratios[1], peak_mib])
    columns = ["", "batch", "precision", "files to boxes, images/s", "ratio", "network, images/s", "ratio", "MiB"]
    return f"{table(columns, rows)}\n\nRatios are to torchvision in fp32 at its best batch."


def promises(files: Mapping[Key, Measurement], device: str, size: Size) -> list[list[Any]]:
    """Build the rows of the promises about inference that apply to this device and size."""
    ours = {kind: best(files, "torch engine", kind) for kind in ("fp32", "bf16")}
    torchvision = best(files, "torchvision", "fp32")
    if device == "cpu":
        predecessor = best(files, "predecessor", "fp32")
        return [
            promise("torch engine, fp32, to torchvision", 1.1, measured=_ratio(ours["fp32"], torchvision)),
            promise("torch engine, bf16, to torchvision in fp32", 2.0, measured=_ratio(ours["bf16"], torchvision)),
            promise("torch engine, fp32, to the predecessor", 2.0, measured=_ratio(ours["fp32"], predecessor)),
        ]
    rows = [
        promise(
            "torch engine, bf16, to DefaultPredictor", 8.0,
            measured=_ratio(ours["bf16"], best(files, "DefaultPredictor", "fp32")),
        )
    ]  # fmt: skip
    if size.min_size == 800:  # promised for the input size of COCO only
        rows.append(promise("torch engine, bf16, images/s on one H200", 500, measured=ours["bf16"]))
    return rows


def best(measured: Mapping[Key, Measurement], name: str, precision: str) -> float | None:
    """Return images/s at the best batch with all switches at their defaults; None if there is no such row."""
    rates = [one.images_per_s for key, one in measured.items() if key[:2] == (name, "") and key[3] == precision]
    return max(rates, default=None)


def _ratio(rate: float | None, reference: float | None) -> float | None:
    return rate / reference if rate and reference else None


def _work(spec: Mapping[str, Any]) -> None:
    """Be one worker: warm up with one batch, then run the jobs on request."""
    import torch

    from benchmarks.baselines import BASELINES, Baseline, InferenceCase

    case = InferenceCase(**spec["case"])
    paths = sorted(Path(spec["images"]).glob("*.jpg"))
    torch.set_grad_enabled(False)  # for all alike, whether or not their documentation does so
    baseline: Baseline = BASELINES[case.name](case)
    batch = case.random_batch()
    passes = 20 if case.device == "cuda" else 1  # one pass of a GPU is too short to be timed

    def files(paths: list[Path]) -> int:
        with tempfile.TemporaryFile("w") as file:  # JSON is part of the way to a result, the disk is not
            json.dump({path.name: boxes for path, boxes in zip(paths, baseline.predict(paths))}, file)
        return len(paths)

    def network(passes: int) -> int:
        for _ in range(passes):
            baseline.forward(batch)
        if case.device == "cuda":
            torch.cuda.synchronize()
        return passes * case.batch

    files(paths[: case.batch])  # compiles, allocates and picks kernels
    network(1)
    serve({"files": timed(lambda: files(paths)), "network": timed(lambda: network(passes))})


if __name__ == "__main__":
    main()
