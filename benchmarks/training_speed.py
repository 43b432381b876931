"""How fast a RetinaNet R50 learns, beside detectron2's DefaultTrainer, and where the time of a step goes.

    python3 -m benchmarks.training_speed [--quick]

From JPEG files with boxes to moved weights. detectron2's trainer knows fp32 and, on a GPU, fp16.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from benchmarks.measuring import (
    Measurement,
    Subject,
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

OURS, THEIRS = "torch engine", "DefaultTrainer"


class Size(NamedTuple):
    """One size at which networks learn, and how much of it is measured."""

    min_size: int
    max_size: int
    batch: int
    steps: int
    """Between two looks at the clock."""
    repeats: int

    @property
    def name(self) -> str:
        return f"{self.min_size} x {self.max_size}, batch {self.batch}"


SIZES = {
    "cpu": (Size(800, 1333, 2, 1, 3), Size(320, 533, 4, 2, 3)),  # 20 s for a step of two large pictures on two cores
    "cuda": (Size(800, 1333, 16, 20, 3), Size(800, 1333, 32, 20, 3)),
}
QUICK_SIZES = {"cpu": (Size(64, 107, 2, 1, 1),), "cuda": (Size(320, 533, 8, 2, 1),)}

Key = Tuple[str, str]
"""Who, and in which precision."""


def main() -> None:
    """Measure all devices, or be one subject."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        _work(arguments.work)
        return
    for device in devices():
        sizes = (QUICK_SIZES if arguments.quick else SIZES)[device]
        with tempfile.TemporaryDirectory() as folder:
            parts = [_compare(device, size, Path(folder) / str(number)) for number, size in enumerate(sizes)]
        note = "" if has_detectron2() else " detectron2 could not be imported: no rows of its trainer."
        publish(f"training-{device}", f"{describe_machine(device)}{note}\n\n" + "\n\n".join(parts), arguments.page)


def plan(device: str, *, with_bf16: bool, with_detectron2: bool) -> list[Key]:
    """What is compared, in the order of the table."""
    ours = [(OURS, "fp32"), *([(OURS, "bf16")] if with_bf16 else [])]
    theirs = [(THEIRS, "fp32"), *([(THEIRS, "fp16")] if device == "cuda" else [])]
    return ours + (theirs if with_detectron2 else [])


def _compare(device: str, size: Size, folder: Path) -> str:
    """The tables of one size."""
    from benchmarks.learners import write_lesson

    write_lesson(folder, 4 * size.batch, size.min_size, size.max_size)
    shared = {
        "device": device, "batch": size.batch, "min_size": size.min_size, "max_size": size.max_size,
        "folder": str(folder),
    }  # fmt: skip
    keys = plan(device, with_bf16=has_bf16(device), with_detectron2=has_detectron2())
    specs = {key: {"lesson": {**shared, "who": key[0], "precision": key[1]}, "steps": size.steps} for key in keys}
    found = compare(specs, "training_speed", ["learn"], size.repeats)["learn"]
    phases = {key: _phases(specs[key], size.repeats) for key in keys if key in found and key[0] == OURS}
    parts = [f"{size.name}:", _table(keys, found), promises_table(promises(found, device)), _phases_table(phases)]
    return "\n\n".join(parts)


def _table(keys: Sequence[Key], found: Mapping[Key, Measurement]) -> str:
    reference = found.get((THEIRS, "fp32"))
    rows: list[list[Any]] = []
    for key in keys:
        rate, peak_mib = found.get(key, (None, None))
        ratio = rate / reference.images_per_s if rate and reference else None
        rows.append([*key, "does not run" if rate is None else rate, ratio, peak_mib])
    return table(["", "precision", "images/s", "ratio", "MiB"], rows)


def promises(found: Mapping[Key, Measurement], device: str) -> list[list[Any]]:
    """What is promised about training: of one H200 only."""
    ours, theirs = found.get((OURS, "bf16")), found.get((THEIRS, "fp32"))
    ours, theirs = (ours, theirs) if device == "cuda" else (None, None)
    ratio = ours.images_per_s / theirs.images_per_s if ours and theirs else None
    return [
        promise("torch engine, bf16, images/s on one H200", 250, measured=ours.images_per_s if ours else None),
        promise("torch engine, bf16, to DefaultTrainer on the same GPU", 3.0, measured=ratio),
    ]


def _phases(spec: Mapping[str, Any], repeats: int) -> dict[str, float]:
    """Medians, in seconds per picture, of a learner of its own: nobody else holds memory."""
    with Subject("training_speed", spec) as subject:
        rounds = [subject.ask("phases") for _ in range(repeats)]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _phases_table(phases: Mapping[Key, Mapping[str, float]]) -> str:
    names = next(iter(phases.values()))
    rows: list[list[Any]] = [[name, *(1000 * one[name] for one in phases.values())] for name in names]
    rows.append(["all of them", *(1000 * sum(one.values()) for one in phases.values())])
    columns = [f"torch engine, {precision}" for _, precision in phases]
    note = "In a training, pictures are read ahead by processes of their own."
    return f"{table(['ms per picture', *columns], rows)}\n\n{note}"


def _work(spec: Mapping[str, Any]) -> None:
    """Be one subject: warm up with a step, then do as asked."""
    from benchmarks.learners import LEARNERS, Lesson, TorchEngine

    lesson = Lesson(**spec["lesson"])
    learner = LEARNERS[lesson.who](lesson)

    def learn() -> int:
        learner.learn(spec["steps"])
        _wait_for(lesson.device)
        return int(spec["steps"]) * lesson.batch

    learner.learn(2)
    jobs: dict[str, Any] = {"learn": timed(learn)}
    if isinstance(learner, TorchEngine):
        jobs["phases"] = learner.phases
    serve(jobs)


def _wait_for(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
