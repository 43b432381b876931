"""One model, two engines: whoever trained it, both find the same boxes and mine in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeTree, Trained, Tree, draw_image
from tests.running import Outcome, run_start
from tests.shown_sizes import require_image_size
from ymir_detectron2.engines.registry import load_engine
from ymir_detectron2.engines.zoo import detectron2_is_there
from ymir_detectron2.retinanet.checkpoint import read_content, write_content
from ymir_detectron2.tile_windows import Tiling

pytestmark = [
    pytest.mark.detectron2,
    pytest.mark.skipif(not detectron2_is_there(), reason="detectron2 is not installed"),
]

ENGINES = ("torch", "detectron2")
TASKS = {"trained": "mining+infer", "trained_by_detectron2": "infer"}

Box = tuple  # x, y, w, h, score


def boxes_by_class(outcome: Outcome) -> dict[tuple[str, str], list[Box]]:
    """(image, class) -> boxes, best score first."""
    found: dict[tuple[str, str], list[Box]] = {}
    for name, entry in outcome.json("infer-result.json")["detection"].items():
        for box in entry["boxes"]:
            found.setdefault((name, box["class_name"]), []).append((*box["box"].values(), box["score"]))
    return found


def agree(ours: Box, theirs: Box) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(ours[:4], theirs[:4])) and abs(ours[4] - theirs[4]) <= 0.001


@pytest.mark.parametrize("model", TASKS)
def test_a_model_gives_the_same_result_in_both(request: pytest.FixtureRequest, ymir_tree: MakeTree, model: str):
    trained: Trained = request.getfixturevalue(model)
    outcomes = {}
    for engine in ENGINES:
        tree = ymir_tree(TASKS[model], folder=engine, config={"engine": engine, "conf_threshold": 0.01})
        trained.give_to(tree)
        outcomes[engine] = run_start(tree.env_file)
        outcomes[engine].require_success()
        assert f"engine {engine} " in outcomes[engine].lines[0]
    ours, theirs = (boxes_by_class(outcomes[engine]) for engine in ENGINES)
    assert ours.keys() == theirs.keys()
    assert sum(map(len, ours.values())) > 50
    for key, boxes in ours.items():
        left = list(theirs[key])
        assert len(left) == len(boxes)
        for box in boxes:
            match = next((other for other in left if agree(box, other)), None)
            assert match is not None, f"{key}: {box} is not among {left}"
            left.remove(match)
    if "mining" in TASKS[model]:
        scores, their_scores = (scores_of(outcomes[engine]) for engine in ENGINES)
        assert scores == pytest.approx(their_scores, abs=1e-3)


def test_both_augment_alike(ymir_tree: MakeTree, trained: Trained):
    """In copies of an image, by one key; which copy a box comes from may depend on a digit of its score."""
    best = {}
    for engine in ENGINES:
        options = "TEST.AUG.ENABLED True TEST.AUG.MIN_SIZES (48,64,80)"
        config = {"engine": engine, "conf_threshold": 0.01, "args_options": options}
        tree = ymir_tree("infer", folder=engine, config=config)
        trained.give_to(tree)
        outcome = run_start(tree.env_file)
        outcome.require_success()
        assert "boxes are predicted in 6 copies of every image" in outcome.output
        best[engine] = boxes_by_class(outcome)
    ours, theirs = best.values()
    assert ours.keys() == theirs.keys()
    for key, boxes in ours.items():
        assert len(boxes) == len(theirs[key])
        assert [box[4] for box in boxes] == pytest.approx([box[4] for box in theirs[key]], abs=0.001)
        assert agree(boxes[0], theirs[key][0])


def trained_on_tiles(tree: Tree, trained: Trained, key: str) -> None:
    """Give a model whose file says that its images were cut into tiles of 48 px."""
    (weights,) = [tree.real(path) for path in trained.give_to(tree, key) if path.endswith(".pth")]
    write_content(weights, {**read_content(weights), **Tiling(48, 9).as_metadata()})


def test_both_predict_on_the_tiles_of_the_model(ymir_tree: MakeTree, trained: Trained):
    counts = {}
    for engine in ENGINES:
        for tile_size in (0, "none"):
            config = {"engine": engine, "conf_threshold": 0.01, "tile_size": tile_size}
            tree = ymir_tree("infer", folder=f"{engine}-{tile_size}", config=config)
            trained_on_tiles(tree, trained, "model_params_path")
            outcome = run_start(tree.env_file)
            outcome.require_success()
            counts[engine, tile_size] = {key: len(boxes) for key, boxes in boxes_by_class(outcome).items()}
    assert counts["torch", 0] == counts["detectron2", 0] != counts["torch", "none"] == counts["detectron2", "none"]


def test_detectron2_does_not_train_on_the_tiles_of_a_chosen_model(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree(config={"engine": "detectron2", "max_iter": 1})
    trained_on_tiles(tree, trained, "pretrained_model_params")
    finding = "tile_size: the chosen model was trained on tiles of 48 px, which needs engine: torch"
    run_start(tree.env_file).require_failure(300001, finding)
    for folder, config, engine in (
        ("whole", {"engine": "detectron2", "tile_size": "none"}, "engine detectron2 (config.yaml asks for it)"),
        ("auto", {"engine": "auto"}, "engine torch (detectron2 does not train on the tiles of the chosen model)"),
    ):
        other = ymir_tree(folder=folder, config={"max_iter": 1, **config})
        trained_on_tiles(other, trained, "pretrained_model_params")
        outcome = run_start(other.env_file)
        outcome.require_success()
        assert engine in outcome.output


@pytest.mark.parametrize(("config", "engine"), [
    ({}, "engine detectron2 (detectron2 is installed)"),
    ({"tile_size": "auto"}, "engine torch (detectron2 does not implement tile_size)"),
    ({"tile_size": "none"}, "engine detectron2 (detectron2 is installed)"),
    ({"class_weights": "auto"}, "engine torch (detectron2 does not implement class_weights)"),
    ({"augment": "mosaic", "accumulate": 2}, "engine torch (detectron2 does not implement accumulate, augment)"),
])  # fmt: skip
def test_a_key_of_the_form_that_detectron2_lacks_needs_no_other_key(ymir_tree: MakeTree, config: dict, engine: str):
    tree = ymir_tree(config={"engine": "auto", "config_file": "missing.yaml", **config})
    outcome = run_start(tree.env_file)
    outcome.require_failure(300001, "config_file: missing.yaml does not exist")
    assert engine in outcome.output


@pytest.mark.filterwarnings("ignore")  # detectron2 calls things that torch deprecates
@pytest.mark.parametrize("engine_name", ENGINES)
def test_both_show_images_at_the_size_of_the_form(tmp_path: Path, engine_name: str):
    require_image_size(load_engine(engine_name), tmp_path)


def scores_of(outcome: Outcome) -> dict[str, float]:
    lines = (outcome.out_dir / "result.tsv").read_text(encoding="utf-8").splitlines()
    return {Path(line.split("\t")[0]).name: float(line.split("\t")[1]) for line in lines}


def test_both_learn_the_same_from_the_same(ymir_tree: MakeTree, tmp_path: Path):
    """Same configuration, steps and seed, judged by each class in its own place: a label shifted by one has AP 0."""
    corners = [(5, 6, 44, 45), (40, 10, 90, 50), (30, 20, 80, 60), (10, 5, 50, 40)]
    names = ("brick", "sky")
    images = tuple(
        draw_image(tmp_path / f"{index}.jpg", [(names[index % 2], *box)]) for index, box in enumerate(corners)
    )
    form = {"max_iter": 160, "eval_period": 160, "learning_rate": 0.02, "batch_size": 2}
    ap50 = {}
    for engine in ENGINES:
        config = {**form, "engine": engine}
        tree = ymir_tree(folder=engine, config=config, train=images, val=images, class_names=names)
        outcome = run_start(tree.env_file)
        outcome.require_success()
        ap50[engine] = outcome.json("train-summary.json")["ap50"]
    assert ap50["torch"] > 0.9
    assert abs(ap50["torch"] - ap50["detectron2"]) <= 0.05
