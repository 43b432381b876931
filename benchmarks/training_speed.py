"""Training speed of a RetinaNet R50 compared with detectron2's DefaultTrainer, and the time of each phase of a step.

    python3 -m benchmarks.training_speed [--quick]

From JPEG files with boxes to updated weights. detectron2's trainer supports fp32 and, on a GPU, fp16.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from benchmarks.measuring import (
    Measurement,
    Worker,
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

OURS, THEIRS = "torch engine", "DefaultTrainer"


class Size(NamedTuple):
    """One input size and batch, and how much is measured at it."""

    min_size: int
    max_size: int
    batch: int
    steps: int
    """Per measurement."""
    repeats: int

    @property
    def name(self) -> str:
        return f"{self.min_size} x {self.max_size}, batch {self.batch}"


SIZES = {
    "cpu": (Size(800, 1333, 2, 1, 3), Size(320, 533, 4, 2, 3)),  # 20 s for a step of two large images on two cores
    "cuda": (Size(800, 1333, 16, 20, 3), Size(800, 1333, 32, 20, 3)),
}
QUICK_SIZES = {"cpu": (Size(64, 107, 2, 1, 1),), "cuda": (Size(320, 533, 8, 2, 1),)}

Key = Tuple[str, str]
"""Name of a trainer, and precision."""


def main() -> None:
    """Measure all devices, or be one worker."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        _work(arguments.work)
        return
    for device in devices():
        sizes = (QUICK_SIZES if arguments.quick else SIZES)[device]
        with tempfile.TemporaryDirectory() as folder:
            sections = [_compare(device, size, Path(folder) / str(number)) for number, size in enumerate(sizes)]
        note = "" if has_detectron2() else " detectron2 could not be imported: no rows for its trainer."
        publish(f"training-{device}", f"{describe_machine(device)}{note}\n\n" + "\n\n".join(sections), arguments.page)


def plan(device: str, *, with_bf16: bool, with_detectron2: bool) -> list[Key]:
    """List what is compared, in the order of the table."""
    ours = [(OURS, "fp32"), *([(OURS, "bf16")] if with_bf16 else [])]
    theirs = [(THEIRS, "fp32"), *([(THEIRS, "fp16")] if device == "cuda" else [])]
    # detectron2 has no bf16, and its fp16 needs a GPU
    return ours + (theirs if with_detectron2 else [])


def _compare(device: str, size: Size, folder: Path) -> str:
    """Measure one size; return its tables."""
    from benchmarks.trainers import write_training_data

    write_training_data(folder, 4 * size.batch, size.min_size, size.max_size)
    shared = {
        "device": device, "batch": size.batch, "min_size": size.min_size, "max_size": size.max_size,
        "folder": str(folder),
    }  # fmt: skip
    keys = plan(device, with_bf16=has_bf16(device), with_detectron2=has_detectron2())
    specs = {key: {"case": {**shared, "name": key[0], "precision": key[1]}, "steps": size.steps} for key in keys}
    measured = compare(specs, "training_speed", ["train"], size.repeats)["train"]
    phases = {key: _phases(specs[key], size.repeats) for key in keys if key in measured and key[0] == OURS}
    promised = promises_table(promises(measured, device))
    return "\n\n".join([f"{size.name}:", _table(keys, measured), promised, _phases_table(phases)])


def _table(keys: Sequence[Key], measured: Mapping[Key, Measurement]) -> str:
    reference = measured.get((THEIRS, "fp32"))
    rows: list[list[Any]] = []
    for key in keys:
        rate, peak_mib = measured.get(key, (None, None))
        ratio = rate / reference.images_per_s if rate and reference else None
        rows.append([*key, "does not run" if rate is None else rate, ratio, peak_mib])
    return table(["", "precision", "images/s", "ratio", "MiB"], rows)


def promises(measured: Mapping[Key, Measurement], device: str) -> list[list[Any]]:
    """Build the rows of the promises about training, which are made for one H200 only."""
    ours, theirs = measured.get((OURS, "bf16")), measured.get((THEIRS, "fp32"))
    ours, theirs = (ours, theirs) if device == "cuda" else (None, None)
    ratio = ours.images_per_s / theirs.images_per_s if ours and theirs else None
    return [
        promise("torch engine, bf16, images/s on one H200", 250, measured=ours.images_per_s if ours else None),
        promise("torch engine, bf16, to DefaultTrainer on the same GPU", 3.0, measured=ratio),
    ]


def _phases(spec: Mapping[str, Any], repeats: int) -> dict[str, float]:
    """Return medians in seconds per image, measured in a separate worker: no other one holds memory."""
    with Worker("training_speed", spec) as worker:
        rounds = [worker.run("phases") for _ in range(repeats)]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _phases_table(phases: Mapping[Key, Mapping[str, float]]) -> str:
    names = next(iter(phases.values()))
    rows: list[list[Any]] = [[name, *(1000 * one[name] for one in phases.values())] for name in names]
    rows.append(["all phases", *(1000 * sum(one.values()) for one in phases.values())])
    columns = [f"torch engine, {precision}" for _, precision in phases]
    note = "In a training, images are prefetched by separate processes."
    return f"{table(['ms per image', *columns], rows)}\n\n{note}"


def _work(spec: Mapping[str, Any]) -> None:
    """Be one worker: warm up with two steps, then run the jobs on request."""
    from benchmarks.trainers import TRAINERS, TorchEngine, TrainingCase

    case = TrainingCase(**spec["case"])
    trainer = TRAINERS[case.name](case)

    def train() -> int:
        trainer.train(spec["steps"])
        _wait_for(case.device)
        return int(spec["steps"]) * case.batch

    trainer.train(2)  # the first one allocates the momentum buffers
    jobs: dict[str, Any] = {"train": timed(train)}
    if isinstance(trainer, TorchEngine):
        jobs["phases"] = trainer.phases
    serve(jobs)


def _wait_for(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
