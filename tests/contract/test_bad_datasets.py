"""Sets and images, lines and boxes that cannot be used: refused as a whole, or skipped and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CLASS_NAMES, MakeTree, Tree, draw_image
from tests.running import run_start
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.dataset.conversion import convert_task
from ymir_detectron2.errors import DatasetError

UNREADABLE = "unreadable image"
DEEP = "image of more than 8 bits per channel, stretched to 8"
INFINITE = "box with an infinite corner, dropped"
MISSING_IMAGE = "image file that does not exist"
MISSING_ANNOTATION = "image whose annotation file is missing"
LISTED_TWICE = "image listed twice"
BAD_LINE = "annotation line that is not 'class, x1, y1, x2, y2'"
UNKNOWN_CLASS = "object of an unknown class"
NO_AREA = "box without area or with swapped corners, dropped"
OUTSIDE = "box outside the image, dropped"
CLIPPED = "box over the edge of the image, clipped"


def convert(tree: Tree) -> dict[str, Any]:
    """Convert the sets of a training task; the report."""
    convert_task(load_task(tree.env_file))
    return json.loads((tree.out_dir / "dataset-report.json").read_text(encoding="utf-8"))


def require_refusal(tree: Tree, *findings: str) -> None:
    with pytest.raises(DatasetError) as error:
        convert(tree)
    assert all(finding in str(error.value) for finding in findings), error.value


def coco_of(tree: Tree) -> dict[str, Any]:
    return json.loads((tree.out_dir / "dataset" / "train.json").read_text(encoding="utf-8"))


def counts(report: dict[str, Any], role: str = "training") -> dict[str, int]:
    return {reason: issue["count"] for reason, issue in report[role]["findings"].items()}


def add_image(tree: Tree, name: str, write: Any = None, annotation: str | None = "0, 1, 1, 5, 5, -1.0, 0.0\n") -> str:
    """Add an image of any kind to the drawn ones, and return its line for the index."""
    image, labels = tree.in_dir / "assets" / name, tree.in_dir / "annotations" / f"{name}.txt"
    if write is None:
        draw_image(image)
    else:
        write(image)
    if annotation is not None:
        labels.write_text(annotation)
    return f"/in/assets/{name}\t/in/annotations/{name}.txt"


# --- refused as a whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train", "val"])
@pytest.mark.parametrize(
    "content", [b"", b"\n \r\n\t\n", b"\xef\xbb\xbf", None], ids=["empty", "blank", "bom", "missing"]
)
def test_index_without_images(ymir_tree: MakeTree, name: str, content: bytes | None):
    tree = ymir_tree()
    index = tree.in_dir / f"{name}-index.tsv"
    index.unlink()
    if content is not None:
        index.write_bytes(content)
    require_refusal(tree, str(index), "cannot be read" if content is None else "set is empty")


def test_a_training_without_images_ends_before_torch(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    tree.write_index("train", [])
    run_start(tree.env_file, environment=no_torch).require_failure(300002, "train-index.tsv", "set is empty")


def test_candidates_without_images(ymir_tree: MakeTree, no_torch: dict[str, str]):
    """A weight file is there, so that it is the index that is at fault."""
    tree = ymir_tree("mining+infer")
    (tree.in_dir / "models" / "a.pth").write_bytes(b"PK")
    tree.edit("config.yaml", model_params_path=["/in/models/a.pth"])
    tree.write_index("candidate", [])
    run_start(tree.env_file, environment=no_torch).require_failure(300002, "candidate-index.tsv", "set is empty")


def test_env_yaml_that_names_no_index(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.edit("env.yaml", input={"training_index_file": ""})
    require_refusal(tree, "env.yaml names no training index file")


def test_index_whose_images_do_not_exist(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.write_index("train", ["/in/assets/00/gone.jpg\t/in/annotations/00/gone.txt", "/in/assets/11/too.jpg"])
    require_refusal(
        tree, "train-index.tsv: none of its images can be used", f"2 x {MISSING_IMAGE}",
        str(tree.in_dir / "assets/00/gone.jpg"), "check the mounted folders",
    )  # fmt: skip


def test_index_that_is_not_text(ymir_tree: MakeTree):
    tree = ymir_tree()
    (tree.in_dir / "train-index.tsv").write_bytes("/in/assets/a.jpg\n".encode("utf-16") + b"x")
    require_refusal(tree, "train-index.tsv: the training index is damaged text", "save it as UTF-8")


def test_set_in_which_every_box_is_degenerate(ymir_tree: MakeTree):
    tree = ymir_tree()
    lines = [add_image(tree, f"{n}.jpg", annotation="0, 50, 50, 10, 10\n0, 900, 900, 950, 950\n") for n in range(3)]
    tree.write_index("train", lines)
    require_refusal(tree, "no usable box of any class in 3 images", f"3 x {NO_AREA}", f"3 x {OUTSIDE}")


def test_set_without_any_box(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.write_index("train", [add_image(tree, "0.jpg", annotation="")])
    require_refusal(tree, "no usable box", "every annotation file is empty", "choose a set that is labelled")


def test_annotations_as_json_are_refused_with_the_key_that_changes_them(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.write_index("train", [add_image(tree, "0.jpg", annotation='{"images": []}')])
    require_refusal(tree, "0.jpg.txt: holds JSON", "'ark:raw'")


# --- skipped and counted -----------------------------------------------------------------------------------------


def truncated_jpeg(path: Path) -> None:
    draw_image(path, [("brick", 5, 5, 40, 40)])
    path.write_bytes(path.read_bytes()[:-400])


def grey_16_bit(path: Path) -> None:
    Image.fromarray(np.full((40, 50), 40_000, dtype=np.uint16)).save(path)


def cmyk(path: Path) -> None:
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(path)


def rgba(path: Path) -> None:
    Image.new("RGBA", (50, 40), (200, 0, 0, 128)).save(path)


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1)).save(path)


def test_odd_images_are_used_and_files_that_are_not_images_are_skipped(ymir_tree: MakeTree):
    tree = ymir_tree()
    loop = tree.in_dir / "assets" / "loop.jpg"
    loop.symlink_to(loop)
    usable = [
        add_image(tree, "grey16.png", grey_16_bit),
        add_image(tree, "cmyk.jpg", cmyk),
        add_image(tree, "rgba.png", rgba),
        add_image(tree, "one.png", one_pixel, "0, 0, 0, 0, 0\n"),
        add_image(tree, "no_annotation_column.jpg").split("\t")[0],
    ]
    skipped = [
        add_image(tree, "truncated.jpg", truncated_jpeg),
        add_image(tree, "text.jpg", lambda path: path.write_text("not an image")),
        add_image(tree, "zero_bytes.jpg", lambda path: path.write_bytes(b"")),
        add_image(tree, "folder.jpg", lambda path: path.mkdir()),
    ]
    missing = [
        "/in/assets/loop.jpg\t/in/annotations/text.jpg.txt",
        f"/in/assets/{'x' * 300}.jpg\t/in/annotations/text.jpg.txt",
        "/in/assets/nul\0byte.jpg\t/in/annotations/text.jpg.txt",
    ]
    tree.write_index("train", usable + skipped + missing)
    report = convert(tree)
    assert counts(report) == {UNREADABLE: 4, MISSING_IMAGE: 3, DEEP: 1}
    assert report["training"]["images"] == 5
    assert report["training"]["images_without_boxes"] == 1
    assert report["training"]["image_width"] == {"min": 1, "median": 50, "max": 96}
    assert counts(report, "validation") == {}


def test_annotations_that_say_nothing_usable_are_counted_by_reason(
    ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture
):
    good = "1, 10, 10, 20, 20\n"
    texts = {
        "letters": (good + "0, a, 1, 5, 5\nzero, 1, 1, 5, 5\n", 1),
        "too few": (good + "0, 1, 1, 5\n0\n,,,,\n", 1),
        "unknown": (good + "3, 1, 1, 5, 5\n-1, 1, 1, 5, 5\n", 1),
        "swapped": (good + "0, 20, 1, 10, 5\n", 1),
        "outside": (good + "0, 96, 1, 99, 5\n0, -9, -9, -1, -1\n", 1),
        "edge": (good + "0, 90, 60, 400, 70\n", 2),
        "nan": (good + "0, nan, 1, 5, 5\n0, 1, inf, 5, 5\n", 1),
        "huge": (good + "0, -1e300, -inf, 1e300, inf\n0, 1, 1, 99999999999999999999999999, 5\n", 2),
        "binary": (good + "\x00\x01\x02\n", 1),
        "clean": ("\ufeff\n" + good + "2,30,30,40,40,-1.0,0.0\r\n\n", 2),
    }
    tree = ymir_tree()
    lines = [add_image(tree, f"{name}.jpg", annotation=text) for name, (text, _) in texts.items()]
    tree.write_index("train", lines)
    report = convert(tree)
    training = report["training"]
    assert counts(report) == {BAD_LINE: 6, UNKNOWN_CLASS: 2, NO_AREA: 3, OUTSIDE: 2, CLIPPED: 2, INFINITE: 1}
    assert training["images"] == len(texts)
    assert training["boxes"] == sum(usable for _, usable in texts.values())
    assert training["boxes_per_class"] == {"brick": 2, "leaf": 10, "sky": 1}
    place = f"{tree.in_dir}/annotations/swapped.jpg.txt:2: (0, 20.0, 1.0, 11.0, 6.0)"
    assert place in training["findings"][NO_AREA]["first"]
    assert f"training set: 2 x {UNKNOWN_CLASS}, e.g. {tree.in_dir}/annotations/unknown.jpg.txt:2" in caplog.text
    boxes = coco_of(tree)["annotations"]
    widths = {box["bbox"][0] + box["bbox"][2] for box in boxes} | {0}
    assert max(widths) <= 96


def test_voc_files_are_read_by_their_content_and_bad_ones_counted(ymir_tree: MakeTree):
    """`truncated` is the word `unknown`, and a box without extent has no <bndbox>: the platform writes it so."""
    tree = ymir_tree()
    box = "<bndbox><xmin>10</xmin><ymin>11</ymin><xmax>19</xmax><ymax>30</ymax></bndbox>"
    objects = "".join(
        f"<object><name>{name}</name><truncated>unknown</truncated>{corners}</object>"
        for name, corners in [("Leaf ", box), ("cat", box), ("", box), ("sky", ""), ("sky", box.replace("10", "x"))]
    )
    lines = [
        add_image(tree, "good.jpg", annotation=f"<annotation>{objects}</annotation>"),
        add_image(tree, "cut.jpg", annotation=f"<annotation>{objects}"),
    ]
    tree.write_index("train", lines)
    report = convert(tree)
    assert counts(report) == {
        UNKNOWN_CLASS: 2, "object without a readable box": 2, "image whose annotation file is not Pascal VOC": 1,
    }  # fmt: skip
    coco = coco_of(tree)
    assert [annotation["bbox"] for annotation in coco["annotations"]] == [[10, 11, 10, 20]]


def test_index_with_duplicates_blank_lines_and_foreign_line_ends(ymir_tree: MakeTree):
    tree = ymir_tree()
    lines = tree.index_lines("train")
    odd = ["\ufeff" + lines[0], "", *lines[1:], "  ", lines[2].replace("/in/", "/in/./")]
    tree.write_index("train", odd, end="\r\n")
    report = convert(tree)
    assert counts(report) == {LISTED_TWICE: 1}
    assert report["training"]["images"] == len(lines)


def test_a_missing_annotation_file_costs_its_image_and_no_other(ymir_tree: MakeTree):
    tree = ymir_tree()
    gone = tree.index_lines("train")[0]
    tree.real(gone.split("\t")[1]).unlink()
    folder = add_image(tree, "labels_are_a_folder.jpg", annotation=None)
    tree.real(folder.split("\t")[1]).mkdir()
    nul = f"{add_image(tree, 'nul.jpg')}\0"
    tree.write_index("train", [*tree.index_lines("train"), folder, nul])
    report = convert(tree)
    assert counts(report) == {MISSING_ANNOTATION: 3}
    assert report["training"]["images"] == 5


def convert_in_a_process(tree: Tree, environment: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Run a training as far as torch, where `environment` ends it: its log, and the report."""
    outcome = run_start(tree.env_file, environment=environment)
    assert "torch was imported" in outcome.output, outcome.output
    assert "Logging error" not in outcome.output
    return outcome.output, outcome.json("dataset-report.json")


def test_file_names_that_are_not_utf8_are_found_and_named(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    lines = [add_image(tree, name), "/in/assets/gone\udce9.jpg"]
    tree.write_index("train", [*tree.index_lines("train"), *lines])
    output, report = convert_in_a_process(tree, no_torch)
    assert report["training"]["images"] == 7
    assert counts(report) == {MISSING_IMAGE: 1}
    assert "gone\\udce9.jpg" in report["training"]["findings"][MISSING_IMAGE]["first"][0]
    assert "gone\\udce9.jpg" in output


def test_blanks_and_other_alphabets_in_paths_and_class_names(tmp_path: Path, ymir_tree: MakeTree, no_torch: dict):
    image = draw_image(tmp_path / "source" / "a.jpg", [("猫 cat", 1, 1, 20, 20)])
    tree = ymir_tree(folder="task with blanks", class_names=["猫 cat", "Straße"], train=[image], val=[image])
    odd = add_image(tree, "mit  Leer zeichen ü.jpg", annotation="1, 1, 1, 5, 5\n")
    tree.write_index("train", [*tree.index_lines("train"), odd])
    _, report = convert_in_a_process(tree, {**no_torch, "LC_ALL": "C"})
    assert report["training"]["boxes_per_class"] == {"猫 cat": 1, "Straße": 1}
    assert counts(report) == {}


def test_sizes_and_boxes_are_those_of_the_upright_image(ymir_tree: MakeTree):
    """turned.jpg is stored 96 wide and 64 high, and shown 64 wide and 96 high."""
    tree = ymir_tree()
    convert(tree)
    coco = coco_of(tree)
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    found = {tuple(box["bbox"]): sizes[box["image_id"]] for box in coco["annotations"]}
    assert found[(8, 30, 43, 41)] == (64, 96)
    assert found[(5, 6, 26, 35)] == (96, 64)
    assert [category["name"] for category in coco["categories"]] == list(CLASS_NAMES)


@pytest.mark.parametrize("release", ["1.1.0", "1.2.1dev", "2.0.0", "2.5.0"])
@pytest.mark.parametrize("annotation_format", ["ark", "voc"])
def test_every_release_gives_the_same_dataset(ymir_tree: MakeTree, release: str, annotation_format: str):
    tree = ymir_tree(release=release, annotation_format=annotation_format)
    report = convert(tree)
    assert report["training"] == {
        "images": 6, "images_without_boxes": 1, "boxes": 7, "boxes_per_class": {"brick": 3, "leaf": 2, "sky": 2},
        # of the areas 26x35, 31x31, 51x31, 43x41, 31x41, 31x31 and 36x34, three are below 32x32
        "boxes_by_size": {"small": 3, "medium": 4, "large": 0},
        "image_width": {"min": 64, "median": 72, "max": 96}, "image_height": {"min": 64, "median": 64, "max": 96},
        "findings": {},
    }  # fmt: skip
    assert report["validation"]["images"] == 3
