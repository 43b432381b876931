"""Images with a good header and bad pixels, and odd shapes: noticed during training, skipped and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import MakeTree, Tree, draw_image
from tests.platform_reader import read_training_result, verifier_checks
from tests.running import run_steps


def cut(path: Path) -> None:
    """Take the second half of an image's bytes away: its header still has width and height."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def rot(path: Path) -> None:
    """Overwrite pixels in the middle of a file whose header and end stay good: only decoding it shows that."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(bytes(content))


def add(tree: Tree, set_name: str, image: Path, labels: str) -> None:
    annotation = tree.in_dir / "annotations" / f"{image.name}.txt"
    annotation.write_text(labels)
    line = f"/in/assets/{image.name}\t/in/annotations/{annotation.name}"
    tree.write_index(set_name, [*tree.index_lines(set_name), line])


def test_damaged_and_odd_images_do_not_stop_a_training(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 12, "eval_period": 4, "batch_size": 3})
    folder = tree.in_dir / "assets"
    for name in ("cut_train.jpg", "cut_val.jpg", "rotten_train.png", "rotten_val.png", "no_end.jpg"):
        draw_image(folder / name, [("brick", 5, 5, 60, 50)])
    for role in ("train", "val"):
        cut(folder / f"cut_{role}.jpg")
        rot(folder / f"rotten_{role}.png")
    (folder / "no_end.jpg").write_bytes((folder / "no_end.jpg").read_bytes()[:-2])
    Image.fromarray(np.full((40, 50), 40_000, dtype=np.uint16)).save(folder / "grey16.png")
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(folder / "cmyk.jpg")
    Image.new("RGBA", (50, 40), (200, 0, 0, 128)).save(folder / "rgba.png")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    for name in ("grey16.png", "cmyk.jpg", "rgba.png"):
        add(tree, "train", folder / name, "0, 5, 5, 30, 30\n")
    add(tree, "train", folder / "one.png", "1, 0, 0, 0, 0\n")
    for role in ("train", "val"):
        for name in (f"cut_{role}.jpg", f"rotten_{role}.png", "no_end.jpg"):
            add(tree, role, folder / name, "0, 5, 5, 60, 50\n")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert read_training_result(tree.out_dir / "models").best.files
    verifier_checks(tree.out_dir, "train")
    report = outcome.json("dataset-report.json")
    assert report["training"]["images"] == 12
    for role, deep in (("train", {"image of more than 8 bits per channel, stretched to 8": 1}), ("val", {})):
        name = {"train": "training", "val": "validation"}[role]
        found = report[name]["findings"]
        late = "unreadable image, found when its pixels were decoded, left out"
        assert {reason: entry["count"] for reason, entry in found.items()} == {
            "unreadable image": 1, "image file without its end, used": 1, late: 1, **deep,
        }  # fmt: skip
        assert f"cut_{role}.jpg" in found["unreadable image"]["first"][0]
        assert f"rotten_{role}.png" in found[late]["first"][0]
        for reason in found:  # the log has the same numbers, however often an image was drawn and evaluated
            assert outcome.output.count(f"{name} set: 1 x {reason}, e.g. ") == 1
