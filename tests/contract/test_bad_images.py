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


def add(tree: Tree, set_name: str, image: Path, labels: str) -> None:
    annotation = tree.in_dir / "annotations" / f"{image.name}.txt"
    annotation.write_text(labels)
    line = f"/in/assets/{image.name}\t/in/annotations/{annotation.name}"
    tree.write_index(set_name, [*tree.index_lines(set_name), line])


def test_damaged_and_odd_images_do_not_stop_a_training(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 8, "eval_period": 8, "batch_size": 3})
    folder = tree.in_dir / "assets"
    for name in ("cut_train.jpg", "cut_val.jpg"):
        draw_image(folder / name, [("brick", 5, 5, 60, 50)])
        cut(folder / name)
    Image.fromarray(np.full((40, 50), 40_000, dtype=np.uint16)).save(folder / "grey16.png")
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(folder / "cmyk.jpg")
    Image.new("RGBA", (50, 40), (200, 0, 0, 128)).save(folder / "rgba.png")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    for name in ("grey16.png", "cmyk.jpg", "rgba.png"):
        add(tree, "train", folder / name, "0, 5, 5, 30, 30\n")
    add(tree, "train", folder / "one.png", "1, 0, 0, 0, 0\n")
    add(tree, "train", folder / "cut_train.jpg", "0, 5, 5, 60, 50\n")
    add(tree, "val", folder / "cut_val.jpg", "0, 5, 5, 60, 50\n")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert read_training_result(tree.out_dir / "models").best.files
    verifier_checks(tree.out_dir, "train")
    report = outcome.json("dataset-report.json")
    assert report["training"]["images"] == 11
    assert report["training"]["findings"] == {}
    assert "x unreadable image, left out of its batch, e.g." in outcome.output
    assert str(folder / "cut_train.jpg") in outcome.output
    assert str(folder / "cut_val.jpg") in outcome.output, "an image that was not evaluated is named, too"
