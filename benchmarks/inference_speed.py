"""How fast pictures become boxes, beside what a user would take instead.

    python3 -m benchmarks.inference_speed [--quick]

Each rival goes from JPEG files to a JSON file with boxes, and then runs its network alone on a batch in memory. Weights
are random, scaled so that a picture has some fifty candidates above the threshold.
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
)  # fmt: skip
from benchmarks.page import promise, promises_table, publish, table


class Size(NamedTuple):
    """One size at which networks look, and how much of it is measured."""

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
    # 2.5 s for a large picture on two cores
    "cpu": (Size(800, 1333, 4, 3, (1, 4)), Size(320, 533, 8, 3, (1, 4))),
    "cuda": (Size(800, 1333, 256, 3, (1, 16, 32)), Size(320, 533, 512, 3, (1, 16, 64))),
}
QUICK_SIZES = {"cpu": (Size(64, 107, 2, 1, (1, 2)),), "cuda": (Size(320, 533, 32, 1, (1, 16)),)}

SWITCHES = ({"compile": "always"}, {"fuse": "never"}, {"channels_last": "never"})
"""Each is measured at the smaller size, at the largest batch."""

Key = Tuple[str, Tuple[Tuple[str, str], ...], int, str]
"""Who, switches, batch, precision: what a row begins with."""


def main() -> None:
    """Measure all devices, or be one subject."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        _work(arguments.work)
        return
    for device in devices():
        sizes = (QUICK_SIZES if arguments.quick else SIZES)[device]
        with tempfile.TemporaryDirectory() as folder:
            parts = [_compare(device, size, Path(folder), with_switches=size == sizes[-1]) for size in sizes]
        memory = "on the GPU, as torch allocates it" if device == "cuda" else "resident"
        note = "" if has_detectron2() else " detectron2 could not be imported: no rows of it and of the predecessor."
        content = f"{describe_machine(device)} Memory is the peak of the process, {memory}.{note}\n\n"
        publish(f"inference-{device}", content + "\n\n".join(parts), arguments.page)


def _compare(device: str, size: Size, folder: Path, *, with_switches: bool) -> str:
    """The tables of one size."""
    from benchmarks.rivals import NUM_CLASSES
    from benchmarks.stand_ins import RETINANET_50, write_model, write_pictures

    pictures = write_pictures(folder / f"pictures{size.min_size}", size.images)
    edges = {"INPUT.MIN_SIZE_TEST": size.min_size, "INPUT.MAX_SIZE_TEST": size.max_size}
    model = folder / f"model{size.min_size}"
    write_model(model, RETINANET_50, NUM_CLASSES, pictures[0], edges)
    keys = plan(size.batches, has_bf16=has_bf16(device), has_detectron2=has_detectron2(), with_switches=with_switches)
    shared = {"device": device, "min_size": size.min_size, "max_size": size.max_size, "model": str(model)}
    subjects = {
        (who, switches, batch, precision): {
            "look": {**shared, "who": who, "switches": dict(switches), "batch": batch, "precision": precision},
            "pictures": str(pictures[0].parent),
        }
        for who, switches, batch, precision in keys
    }
    found = compare(subjects, "inference_speed", ["files", "network"], size.repeats)
    promised = promises_table(promises(found["files"], device, size))
    return f"{size.name}:\n\n{_table(keys, found['files'], found['network'])}\n\n{promised}"


def plan(batches: tuple[int, ...], *, has_bf16: bool, has_detectron2: bool, with_switches: bool) -> list[Key]:
    """What is compared at one size, in the order of the table."""
    precisions = ("fp32", "bf16") if has_bf16 else ("fp32",)
    whos = ("torch engine", "detectron2 engine", "torchvision") if has_detectron2 else ("torch engine", "torchvision")
    keys: list[Key] = [(who, (), batch, kind) for who in whos for kind in precisions for batch in batches]
    if has_detectron2:
        keys += [("DefaultPredictor", (), 1, "fp32"), ("predecessor", (), 1, "fp32")]
    if with_switches:
        keys += [
            ("torch engine", tuple(switch.items()), batches[-1], kind) for switch in SWITCHES for kind in precisions
        ]
    return keys


def _table(keys: Sequence[Key], files: Mapping[Key, Measurement], network: Mapping[Key, Measurement]) -> str:
    reference_files, reference_network = (best(found, "torchvision", "fp32") for found in (files, network))
    rows: list[list[Any]] = []
    for key in keys:
        who, switches, batch, precision = key
        words = ", ".join([who, *(f"`{name}: {value}`" for name, value in switches)])
        if key not in files:
            rows.append([words, batch, precision, "does not run", *[None] * 4])
            continue
        rate, peak_mib = files[key]
        alone = network[key].images_per_s
        ratios = _ratio(rate, reference_files), _ratio(alone, reference_network)
        rows.append([words, batch, precision, rate, ratios[0], alone, ratios[1], peak_mib])
    columns = ["", "batch", "precision", "files to boxes, images/s", "ratio", "network, images/s", "ratio", "MiB"]
    return f"{table(columns, rows)}\n\nRatios are to torchvision in fp32 at its best batch."


def promises(files: Mapping[Key, Measurement], device: str, size: Size) -> list[list[Any]]:
    """The promises about inference, of which each size shows those that are made for it."""
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
    if size.min_size == 800:
        rows.append(promise("torch engine, bf16, images/s on one H200", 500, measured=ours["bf16"]))
    return rows


def best(found: Mapping[Key, Measurement], who: str, precision: str) -> float | None:
    """images/s at the best batch with all switches at their defaults; None if there is no such row."""
    rates = [one.images_per_s for key, one in found.items() if key[:2] == (who, ()) and key[3] == precision]
    return max(rates, default=None)


def _ratio(rate: float | None, reference: float | None) -> float | None:
    return rate / reference if rate and reference else None


def _work(spec: Mapping[str, Any]) -> None:
    """Be one subject: warm up with one batch, then do as asked."""
    import torch

    from benchmarks.rivals import RIVALS, Look, Rival

    look = Look(**spec["look"])
    paths = sorted(Path(spec["pictures"]).glob("*.jpg"))
    torch.set_grad_enabled(False)
    rival: Rival = RIVALS[look.who](look)
    batch = look.blank_batch()
    # a pass of a GPU is over before a clock is read
    passes = 20 if look.device == "cuda" else 1

    def files(paths: list[Path]) -> int:
        with tempfile.TemporaryFile("w") as file:
            json.dump({path.name: boxes for path, boxes in zip(paths, rival.boxes(paths))}, file)
        return len(paths)

    def network(passes: int) -> int:
        for _ in range(passes):
            rival.network(batch)
        if look.device == "cuda":
            torch.cuda.synchronize()
        return passes * look.batch

    files(paths[: look.batch])
    network(1)
    serve({"files": timed(lambda: files(paths)), "network": timed(lambda: network(passes))})


if __name__ == "__main__":
    main()
