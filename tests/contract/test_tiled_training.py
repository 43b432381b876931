"""A model that was trained on tiles: evaluated, mined and inferred on tiles without a word, fine-tuned and resumed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import ymir_detectron2
from tests.conftest import CLASS_NAMES, ENGINE, Drawn, MakeTree, Trained, Tree, draw_image
from tests.platform_reader import read_training_result
from tests.running import TINY_CONFIG, Outcome, run_steps
from ymir_detectron2.retinanet.checkpoint import read_content
from ymir_detectron2.tools.task_folder import write_task_folder

TILE = 48
NO_CHANGE = {"max_iter": 1, "learning_rate": 1e-12}


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Trained:
    """Images that are smaller than a tile, a single row of pixels, and one that a box covers are among them."""
    root = tmp_path_factory.mktemp("tiled")
    odd = (
        draw_image(root / "own" / "small.png", [("sky", 3, 3, 25, 25)], wh=(32, 40)),
        draw_image(root / "own" / "row.png", [("leaf", 60, 0, 90, 0)], wh=(200, 1)),
        draw_image(root / "own" / "covered.png", [("brick", 0, 0, 95, 63)], wh=(96, 64)),
    )
    form = {
        **ENGINE, "config_file": str(TINY_CONFIG), "max_epochs": 1, "eval_period": 8, "learning_rate": 0.01,
        "tile_size": TILE, "precision": "fp32",
    }  # fmt: skip
    env_file = write_task_folder(
        root / "task", task="train", class_names=CLASS_NAMES, train=(*drawn.train, *odd), val=drawn.val, config=form
    )
    outcome = run_steps(env_file)
    outcome.require_success()
    return Trained(Tree(root / "task", env_file), outcome)


def stored(models_dir: Path) -> tuple[int, int]:
    files = read_training_result(models_dir).best.files
    content = read_content(next(path for name, path in files.items() if name.endswith(".pth")))
    return content["tile_size"], content["tile_overlap"]


def test_the_log_the_model_and_the_summary_say_which_tiles(tiled: Trained):
    output = tiled.outcome.output
    assert re.search(rf"tiles of {TILE} px, neighbours sharing 9 px: \d+ training images and tiles", output)
    assert stored(tiled.models_dir) == (TILE, 9)
    assert tiled.outcome.json("train-summary.json")["tile_size"] == TILE
    assert "predicted as a whole and tile by tile" in (tiled.tree.out_dir / "report.html").read_text(encoding="utf-8")


def test_an_epoch_is_a_pass_through_images_and_tiles(tiled: Trained):
    match = re.search(r"(\d+) training images and tiles, (\d+) of them in each pass", tiled.outcome.output)
    assert match
    count, drawn_in_a_pass = map(int, match.groups())
    assert 9 < drawn_in_a_pass <= count
    assert f"max_epochs 1: {-(-drawn_in_a_pass // 2)} steps of 2" in tiled.outcome.output


def mine_and_infer(ymir_tree: MakeTree, model: Trained, folder: str, **form: object) -> Outcome:
    tree = ymir_tree("mining+infer", folder=folder, config={"precision": "fp32", "mining_algorithm": "entropy", **form})
    model.give_to(tree)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    return outcome


def results(outcome: Outcome) -> tuple[bytes, bytes]:
    return (outcome.out_dir / "result.tsv").read_bytes(), (outcome.out_dir / "infer-result.json").read_bytes()


def test_mining_and_inference_follow_the_model_unless_the_form_says_otherwise(ymir_tree: MakeTree, tiled: Trained):
    silent, zero, stated, none = (
        mine_and_infer(ymir_tree, tiled, folder, **form)
        for folder, form in (
            ("silent", {}), ("zero", {"tile_size": 0}), ("stated", {"tile_size": TILE}), ("none", {"tile_size": "none"})
        )
    )  # fmt: skip
    sentence = f"images are predicted as a whole and in tiles of {TILE} px"
    assert f"{sentence}, as in the training of the model" in silent.output
    assert f"{sentence}\n" in stated.output
    assert "in tiles of" not in none.output
    assert results(silent) == results(zero) == results(stated)
    assert results(silent)[0] != results(none)[0]
    assert results(silent)[1] != results(none)[1]


def test_a_model_trained_without_tiles_is_used_without(ymir_tree: MakeTree, trained: Trained):
    assert stored(trained.models_dir) == (0, 0)
    assert results(mine_and_infer(ymir_tree, trained, "silent")) == results(
        mine_and_infer(ymir_tree, trained, "none", tile_size="none")
    )


def test_load_model_follows_too(tiled: Trained, drawn: Drawn):
    """The boxes of a whole image lie beside those of its tiles, so that fewer of them are found alone."""
    images = [image.path for image in drawn.val]
    found = {}
    for tile_size in (0, TILE, "none"):
        model = ymir_detectron2.load_model(
            tiled.models_dir, device="cpu", engine="torch", precision="fp32", tile_size=tile_size
        )
        found[tile_size] = [prediction.boxes_xyxy for prediction in model.predict(images, threshold=0.005)]
    for silent, stated, whole in zip(found[0], found[TILE], found["none"]):
        np.testing.assert_array_equal(silent, stated)
        assert silent.shape != whole.shape or not np.array_equal(silent, whole)


def test_fine_tuning_goes_on_with_the_tiles_of_the_chosen_model(ymir_tree: MakeTree, tiled: Trained):
    for folder, form, expected in (
        ("silent", {}, (TILE, 9)), ("other", {"tile_size": 64}, (64, 12)), ("none", {"tile_size": "none"}, (0, 0)),
    ):  # fmt: skip
        tree = ymir_tree(folder=folder, config={**NO_CHANGE, **form})
        tiled.give_to(tree, "pretrained_model_params")
        outcome = run_steps(tree.env_file)
        outcome.require_success()
        assert stored(tree.out_dir / "models") == expected
        assert ("as in the training of the chosen model" in outcome.output) == (folder == "silent")


def test_auto_chooses_by_the_training_boxes(ymir_tree: MakeTree, tmp_path: Path):
    """Squares of 12 px are 3 px in images of 256 that the network is shown at 64. Tiles of 32 px would be 100."""
    images = [
        draw_image(tmp_path / "own" / f"{n}.png", [("brick", 20 * n, 100, 20 * n + 11, 111)], wh=(256, 256))
        for n in range(4)
    ]
    tree = ymir_tree(train=images, val=images[:1], class_names=["brick"], config={"tile_size": "auto", **NO_CHANGE})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "tile_size: auto: 64: a tenth of the training boxes is below 3.0 px" in outcome.output
    assert stored(tree.out_dir / "models") == (64, 12)
