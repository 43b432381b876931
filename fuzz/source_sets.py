"""Datasets that make_task converts: COCO JSON, Pascal VOC, lists of images, through its command line."""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools.make_task import main

from .annotation_files import as_bytes, small_image, voc_document
from .mutation import choose, oddity_of_input
from .yaml_values import odd_value

EXPECTED = (ExecutorError,)
"""What the reader may raise."""

_STEMS = ("a", "b", "é")
_ODD_LINES = ("", "c", "../a", "a.jpg", "\0", "\udcff", "a\tb", "/dev/zero", "images", "x" * 5000, "a 1", "\u2028", ".")
_ODD_JSON: tuple[Any, ...] = (
    None, True, False, -1, 2**31, 2**70, 10**400, 0.5, float("inf"), float("nan"), 1e308, "", "cat", "\ud800", "\0",
    "a\nb", "x" * 5000, [], [1], [[]], {}, {"id": 1}, [1, 2, 3, 4], [None] * 4, ["1"] * 4, [float("inf")] * 4,
    [1e308] * 4, [2**70] * 4, "../a.png", "/dev/zero",
)  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write a dataset in both forms, and the command line that converts it; return the file of that."""
    images = folder / rng.choice(("images", "JPEGImages"))
    annotations = folder / choose(rng, ("annotations",), ("Annotations", "other"), 0.02)
    for path in (images, annotations):
        path.mkdir()
    oddity = oddity_of_input(rng)
    for stem in _STEMS:
        (images / f"{stem}.png").write_bytes(small_image() + stem.encode("utf-8"))
        if rng.random() >= oddity / 4:
            (annotations / f"{stem}.xml").write_bytes(as_bytes(voc_document(rng, oddity), rng))
    for name in ("train", "val"):
        lines = (choose(rng, _STEMS, _ODD_LINES, oddity) for _ in range(rng.randrange(1, 5)))
        (folder / f"{name}.txt").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        (folder / f"{name}.json").write_bytes(as_bytes(_coco_text(rng, oddity), rng))
    path = folder / "arguments.json"
    path.write_text(json.dumps(_arguments(folder, images, rng, oddity)), encoding="utf-8")
    return path


def read(path: Path) -> None:
    """Run the command; an error that it does not translate escapes, one sentence of it is raised."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(json.loads(path.read_text(encoding="utf-8")))
    output.getvalue().encode("utf-8")
    if status:
        _, _, sentence = errors.getvalue().rpartition("make_task: ")
        # the folder of the output is fine: an error that blames it was not translated where it arose
        assert "task: cannot be written" not in sentence, sentence
        raise ExecutorError(sentence)


def _arguments(folder: Path, images: Path, rng: random.Random, oddity: float) -> list[str]:
    source = rng.choice((
        ["--voc", str(folder), "--split", "train.txt", "val.txt"],
        ["--coco", str(images), "--coco-json", str(folder / "train.json"), str(folder / "val.json")],
    ))  # fmt: skip
    options = [
        ["--task", rng.choice(("train", "infer"))], ["--export-format", rng.choice(("ark", "voc"))],
        ["--release", rng.choice(("1.1.0", "2.5.0"))],
        ["--classes", choose(rng, ("cat,dog",), (",", "a\nb", "\udcff"), oddity)],
        ["--candidates", choose(rng, ("val", "train"), (str(folder / "train.txt"), str(folder)), oddity)],
        ["--config", f"batch_size={odd_value(rng)}"],
    ]  # fmt: skip
    chosen = [word for option in options if rng.random() < 0.5 for word in option]
    return [*source, "--out", str(folder / "task"), *chosen]


def _coco_text(rng: random.Random, oddity: float) -> str:
    def odd(value: Any) -> Any:
        return rng.choice(_ODD_JSON) if rng.random() < oddity else value

    images = [{"id": odd(number), "file_name": odd(f"{stem}.png")} for number, stem in enumerate(_STEMS)]
    categories = [{"id": odd(number), "name": odd(name)} for number, name in enumerate(("cat", "dog"))]
    annotations = [
        {
            "id": odd(number), "image_id": odd(rng.randrange(3)), "category_id": odd(rng.randrange(2)),
            "iscrowd": odd(rng.randrange(2)), "bbox": odd([odd(rng.randrange(20)) for _ in range(4)]),
        }
        for number in range(rng.randrange(6))
    ]  # fmt: skip
    content = {"images": images, "categories": categories, "annotations": annotations}
    for entries in content.values():
        if entries and rng.random() < oddity:
            entries[rng.randrange(len(entries))] = rng.choice(_ODD_JSON)
    text = json.dumps(odd({key: odd(entries) for key, entries in content.items()}))
    depth = choose(rng, (0,), (100, 5000), oddity / 4)
    return text.replace("[", "[" * (depth + 1), 1).replace("]", "]" * (depth + 1), 1)
