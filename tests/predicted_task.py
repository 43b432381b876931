"""A finished task of inference, written without a network: what `convert` and the pages read."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.tools.task_folder import write_task_folder


def write_predicted_task(
    root: Path,
    images: Sequence[Path],
    boxes: Mapping[str, Sequence[ResultBox]],
    class_names: Sequence[str] = ("cat", "dog"),
    *,
    task: str = "infer",
) -> Path:
    """Write the folder of a task and its infer-result.json; return the folder.

    Args:
        root: missing or empty.
        images: the candidates.
        boxes: by the names that the images get in the task; those without have none.
        class_names: of the task.
        task: `infer` or `mining+infer`.
    """
    write_task_folder(root, task=task, class_names=class_names, candidates=images, own_names=True)
    lines = (root / "in" / "candidate-index.tsv").read_text(encoding="utf-8").splitlines()
    with InferResultWriter(root / "out" / "infer-result.json", writes_stages=True) as writer:
        for line in lines:
            writer.add(line, boxes.get(Path(line).name, ()))
    return root
