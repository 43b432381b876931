"""Datasets that make_task converts: Pascal VOC, COCO JSON, YOLO, lists of images, through its command line."""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any, Callable, Mapping

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools.make_task import main

from .annotation_files import ODD_NUMBERS, as_bytes, small_image, voc_document
from .mutation import choose, oddity_of_input
from .yaml_values import document, value

EXPECTED = (ExecutorError,)
"""What the reader may raise."""

_STEMS = ("a", "b", "é")
_ODD_LINES = (
    "", "c", "../a", "a.jpg", "\0", "\udcff", "a\tb", "/dev/zero", "images", "x" * 300, "x" * 5000, "a 1", "\u2028",
    ".", "a/" * 3000, "images\\a.png", "a.png a.xml", "/their/images/a.png", "\x85", "\x0c", "a b c",
)  # fmt: skip
_ODD_JSON: tuple[Any, ...] = (
    None, True, False, -1, 2**31, 2**70, 10**400, 0.5, float("inf"), float("nan"), 1e308, 1e-320, "", "cat", "\ud800",
    "\0", "a\nb", "x" * 5000, "7", "1e400", "9" * 5000, [], [1], [[]], {}, {"id": 1}, [1, 2, 3, 4], [None] * 4,
    ["1"] * 4, [float("inf")] * 4, [1e308] * 4, [2**70] * 4, "../a.png", "/dev/zero", [[1, 2, 3, 4, 5, 6]], [[[]]],
    {"rotation": "up"}, {"rotation": 1e308}, [0.1, 0.2, 0.3, 0.4],
)  # fmt: skip
_CLASS_LISTS = ("cat\ndog\n", "cat\r\ndog", "cat dog\nbird")
_ODD_CLASS_LISTS = ("", "cat\n\ndog", "\0", "a\x0cb", "\udcff\ncat", "x" * 5000)
_DATA_YAML: Mapping[str, tuple[str, ...]] = {
    "path": (".", "../x", "''"), "train": ("train.txt", "[train.txt]", "."), "val": ("val.txt", "."),
    "names": ("[cat, dog]", "{0: cat, 1: dog}"), "nc": ("2", "'2'"),
}  # fmt: skip
_OBJ_DATA = ("train = train.txt\nvalid = val.txt\nnames = obj.names\n", "classes = 2\ntrain = data/train.txt\n")
_ODD_OBJ_DATA = ("train = \n", "train = /dev/zero", "train = " + "a/" * 3000, "train = " + "x" * 300, "train = a\0b")


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write a dataset in one of the forms, or in several, and the command line that converts it; return that file."""
    images = folder / choose(rng, ("images", "JPEGImages"), ("train/images", "a", "."), 0.1)
    images.mkdir(parents=True, exist_ok=True)
    oddity = oddity_of_input(rng)
    for stem in _STEMS:
        (images / f"{stem}.png").write_bytes(small_image() + stem.encode("utf-8"))
    form = rng.choice(tuple(_FORMS))
    line = f"{images.relative_to(folder)}/{{}}.png" if form == "yolo" else "{}"
    for name in ("train", "val"):
        usual = tuple(line.format(stem) for stem in _STEMS)
        lines = (choose(rng, usual, _ODD_LINES, oddity) for _ in range(rng.randrange(1, 5)))
        (folder / f"{name}.txt").write_bytes(as_bytes("\n".join(lines), rng))
    for name in {form, choose(rng, (form,), tuple(_FORMS), 0.1)}:
        _FORMS[name](folder, images, rng, oddity)
    path = folder / "arguments.argv"
    path.write_text(json.dumps(_arguments(form, folder, images, rng, oddity)), encoding="utf-8")
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


def _write_voc(folder: Path, _images: Path, rng: random.Random, oddity: float) -> None:
    annotations = folder / choose(rng, ("annotations", "Annotations"), ("other",), 0.05)
    annotations.mkdir(exist_ok=True)
    for stem in _STEMS:
        if rng.random() >= oddity / 4:
            (annotations / f"{stem}.xml").write_bytes(as_bytes(voc_document(rng, oddity), rng))


def _write_coco(folder: Path, _images: Path, rng: random.Random, oddity: float) -> None:
    for name in ("train", "val"):
        (folder / f"{name}.json").write_bytes(as_bytes(_coco_text(rng, oddity), rng))


def _write_yolo(folder: Path, images: Path, rng: random.Random, oddity: float) -> None:
    labels = folder / choose(rng, ("labels",), (str(images.relative_to(folder)), "other"), 0.1)
    labels.mkdir(parents=True, exist_ok=True)
    for stem in _STEMS:
        if rng.random() >= oddity / 4:
            lines = "\n".join(_yolo_line(rng, oddity) for _ in range(rng.randrange(4)))
            (labels / f"{stem}.txt").write_bytes(as_bytes(lines, rng))
    for name in choose(rng, (("obj.names",), ("classes.txt",)), ((), ("classes.txt", "a.names")), oddity):
        text = choose(rng, _CLASS_LISTS, _ODD_CLASS_LISTS, oddity)
        (folder / name).write_bytes(as_bytes(text, rng))
    kind = rng.randrange(3)
    if kind == 0:
        (folder / "data.yaml").write_bytes(as_bytes(document(rng, _DATA_YAML, oddity), rng))
    elif kind == 1:
        (folder / "obj.data").write_bytes(as_bytes(choose(rng, _OBJ_DATA, _ODD_OBJ_DATA, oddity), rng))


_FORMS: Mapping[str, Callable[[Path, Path, random.Random, float], None]] = {
    "voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo,
}  # fmt: skip


def _yolo_line(rng: random.Random, oddity: float) -> str:
    count = choose(rng, (4, 4, 8), (0, 3, 5, 6, 99), oddity)
    class_id = choose(rng, ("0", "1"), ODD_NUMBERS, oddity)
    return " ".join([class_id, *(choose(rng, ("0.25", "0.5", "0.4"), ODD_NUMBERS, oddity) for _ in range(count))])


def _arguments(form: str, folder: Path, images: Path, rng: random.Random, oddity: float) -> list[str]:
    source = rng.choice({
        "voc": ([str(folder)], ["--voc", str(folder)], ["--voc", str(folder), "--split", "train.txt", "val.txt"]),
        "coco": (
            [str(folder)], ["--coco", str(folder)], [str(folder / "train.json")],
            ["--coco", str(images), "--coco-json", str(folder / "train.json"), str(folder / "val.json")],
        ),
        "yolo": ([str(folder)], ["--yolo", str(folder)], [str(_description(folder))]),
    }[form])  # fmt: skip
    options = [
        ["--task", rng.choice(("train", "infer"))], ["--export-format", rng.choice(("ark", "voc"))],
        ["--release", rng.choice(("1.1.0", "2.5.0"))], ["--names", rng.choice(("own", "sha1"))],
        ["--classes", choose(rng, ("cat,dog",), (",", "a\nb", "\udcff"), oddity)],
        ["--candidates", choose(rng, ("val", "train"), (
            str(folder / "train.txt"), str(folder), str(folder / "train.json"), "x" * 300,
        ), oddity)],
        ["--config", f"batch_size={value(rng, ('2',), oddity)}"],
    ]  # fmt: skip
    chosen = [word for option in options if rng.random() < 0.5 for word in option]
    return [*source, "--out", str(folder / "task"), *chosen]


def _description(folder: Path) -> Path:
    return next((folder / name for name in ("data.yaml", "obj.data") if (folder / name).exists()), folder)


def _coco_text(rng: random.Random, oddity: float) -> str:
    def odd(usual: Any) -> Any:
        return rng.choice(_ODD_JSON) if rng.random() < oddity else usual

    images = [
        {"id": odd(number), "file_name": odd(f"{stem}.png"), "width": odd(24), "height": odd(16)}
        for number, stem in enumerate(_STEMS)
    ]
    categories = [{"id": odd(number), "name": odd(name)} for number, name in enumerate(("cat", "dog"))]
    annotations = [
        {
            "id": odd(number), "image_id": odd(rng.randrange(3)), "category_id": odd(rng.randrange(2)),
            "iscrowd": odd(rng.randrange(2)), "bbox": odd([odd(rng.randrange(20)) for _ in range(4)]),
            "segmentation": odd([[odd(rng.randrange(20)) for _ in range(6)]]), "attributes": odd({"rotation": odd(0)}),
        }
        for number in range(rng.randrange(6))
    ]  # fmt: skip
    content = {"images": images, "categories": categories, "annotations": annotations}
    for entries in content.values():
        if entries and rng.random() < oddity:
            entries[rng.randrange(len(entries))] = rng.choice(_ODD_JSON)
    text = json.dumps(odd({key: odd(entries) for key, entries in content.items()}))
    depth = choose(rng, (0,), (100, 900, 5000), oddity / 4)
    return text.replace("[", "[" * (depth + 1), 1).replace("]", "]" * (depth + 1), 1)
