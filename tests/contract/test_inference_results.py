"""Mining and inference that go well, among candidates of which some cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CLASS_NAMES, Drawn, MakeTree, Trained, Tree, draw_image
from tests.platform_reader import RELEASES, read_infer_result, read_mining_result, verifier_checks
from tests.running import Outcome, run_start, run_steps, start_warm
from ymir_detectron2.tools.task_folder import write_task_folder

UNREADABLE = ("text.jpg", "cut.jpg", "zero.png", "folder.jpg", "gone.jpg")
ODD = {"grey16.png": (50, 40), "cmyk.jpg": (50, 40), "rgba.png": (50, 40), "palette.png": (50, 40), "one.png": (1, 1)}
"""Name -> upright width and height."""


def add_odd_candidates(tree: Tree) -> None:
    """Unreadable and unusual files, in front of, between and behind the good ones, one of them listed twice."""
    folder = tree.in_dir / "assets"
    draw_image(folder / "cut.jpg", [("brick", 5, 5, 50, 50)])
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-300])
    (folder / "text.jpg").write_text("not an image")
    (folder / "zero.png").write_bytes(b"")
    (folder / "folder.jpg").mkdir()
    Image.fromarray(np.full((40, 50), 40_000, dtype=np.uint16)).save(folder / "grey16.png")
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(folder / "cmyk.jpg")
    Image.new("RGBA", (50, 40), (200, 0, 0, 128)).save(folder / "rgba.png")
    Image.new("RGB", (50, 40), (9, 99, 199)).quantize(8).save(folder / "palette.png")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    good, odd = tree.candidates(), [f"/in/assets/{name}" for name in (*UNREADABLE, *ODD)]
    tree.write_index("candidate", [odd[0], *good[:4], *odd[1:], *good[4:], good[0], ""])


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn, trained: Trained) -> tuple[Tree, Outcome]:
    """A task of mining and inference, by start.py and what it starts, whose results several tests read."""
    root = tmp_path_factory.mktemp("mined")
    images = [image.path for image in (*drawn.train, *drawn.val)]
    config = {"conf_threshold": "0.005", "batch_size": 4}
    env_file = write_task_folder(root, task="mining+infer", class_names=CLASS_NAMES, candidates=images, config=config)
    tree = Tree(root, env_file)
    add_odd_candidates(tree)
    trained.give_to(tree)
    return tree, run_start(tree.env_file)


def test_mining_and_inference_end_well_and_share_one_progress(mined: tuple[Tree, Outcome]):
    tree, outcome = mined
    outcome.require_success()
    unique = list(dict.fromkeys(tree.candidates()))
    verifier_checks(tree.out_dir, "mining+infer", unique)
    assert not (tree.out_dir / ".unfinished").exists()
    assert outcome.output.index("mined 19 images") < outcome.output.index("inferred 19 images")


def test_mining_lists_every_candidate_best_first_and_unreadable_ones_last(mined: tuple[Tree, Outcome]):
    tree, _ = mined
    ids = read_mining_result(tree.out_dir / "result.tsv", tree.candidates())
    assert len(ids) == 19
    lines = (tree.out_dir / "result.tsv").read_text().splitlines()
    scores = [float(line.split("\t")[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert set(ids[-5:]) == {Path(name).stem for name in UNREADABLE}
    assert scores[-5] < -1 <= scores[-6]
    assert read_mining_result(tree.out_dir / "result.tsv", tree.candidates(), topk=3) == ids[:3]


@pytest.mark.parametrize("release", RELEASES[RELEASES.index("1.3.0dev") :])
def test_inference_lists_every_candidate_in_index_order(mined: tuple[Tree, Outcome], release: str):
    tree, _ = mined
    pred = read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), CLASS_NAMES, release)
    assert list(pred) == [Path(path).name for path in dict.fromkeys(tree.candidates())]
    assert all(pred[name] == [] for name in UNREADABLE)
    assert sum(map(len, pred.values())) > 0


def test_boxes_are_inside_the_upright_image(mined: tuple[Tree, Outcome], drawn: Drawn):
    tree, _ = mined
    pred = read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), CLASS_NAMES)
    sizes = {**ODD, **{Path(path).name: upright_wh(tree.real(path)) for path in tree.candidates()[1:5]}}
    assert (64, 96) in sizes.values(), "the rotated image is among them"
    for name, (width, height) in sizes.items():
        for box in pred[name]:
            assert box.x >= 0
            assert box.y >= 0
            assert box.w >= 1
            assert box.h >= 1
            assert box.x + box.w <= width
            assert box.y + box.h <= height
            assert 0.005 < box.score <= 1


def upright_wh(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        is_rotated = image.getexif().get(0x0112) in (5, 6, 7, 8)  # EXIF orientation
        return (image.height, image.width) if is_rotated else image.size


@pytest.mark.parametrize("summary", ["mining-summary.json", "infer-summary.json"])
def test_what_was_skipped_is_counted_and_named(mined: tuple[Tree, Outcome], summary: str):
    _, outcome = mined
    report = outcome.json(summary)
    assert report["images"] == 19
    assert {reason: issue["count"] for reason, issue in report["findings"].items()} == {
        "image listed twice": 1, "unreadable image": 5, "image of more than 8 bits per channel, stretched to 8": 1,
    }  # fmt: skip
    assert len(report["findings"]["unreadable image"]["first"]) == 5
    assert "candidates: 5 x unreadable image, e.g. " in outcome.output


def test_the_batch_size_changes_nothing(mined: tuple[Tree, Outcome], ymir_tree: MakeTree, trained: Trained):
    """Run without start.py, with a threshold in args_options, and paths with blanks.

    Scores are written with six digits, of which the last is rounded differently where sums run in another order.
    """
    _, outcome = mined
    form = {"batch_size": 1, "conf_threshold": 0.9, "args_options": "MODEL.RETINANET.SCORE_THRESH_TEST 0.005"}
    tree = ymir_tree("infer", folder="with blanks", config=form)
    add_odd_candidates(tree)
    trained.give_to(tree)
    second = start_warm("ymir_infer.py", tree.env_file).finish()
    second.require_success()
    expected, pred = (boxes_by_image(run) for run in (outcome, second))
    assert list(pred) == list(expected)
    for name, boxes in expected.items():
        assert pred[name] == pytest.approx(boxes, abs=2.1e-6)


def boxes_by_image(outcome: Outcome) -> dict[str, dict[tuple, float]]:
    """Image -> (box, class) -> score."""
    detection = outcome.json("infer-result.json")["detection"]
    return {
        name: {(*box["box"].values(), box["class_name"]): box["score"] for box in entry["boxes"]}
        for name, entry in detection.items()
    }


def test_release_1_1_gets_annotations_and_its_own_file_names(ymir_tree: MakeTree, trained: Trained, drawn: Drawn):
    """Direct inference of that release: no gpu_id in the config, one image uploaded under its own name."""
    tree = ymir_tree("infer", release="1.1.0", gpu_id=None)
    trained.give_to(tree)
    draw_image(tree.in_dir / "assets" / "inference_image" / "My cat.jpg", [("leaf", 9, 9, 50, 50)])
    tree.write_index("candidate", [*tree.candidates(), "/in/assets/inference_image/My cat.jpg"])
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    pred = read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), CLASS_NAMES, "1.1.0")
    assert list(pred)[-1] == "My cat.jpg"
    assert len(pred) == len(tree.candidates())
    assert not (tree.out_dir / "result.tsv").exists()
    verifier_checks(tree.out_dir, "infer", tree.candidates())


def test_two_candidates_of_one_name_and_names_of_other_alphabets(ymir_tree: MakeTree, trained: Trained):
    """The platform knows images by their file name: the second of a name is left out and counted."""
    tree = ymir_tree("mining+infer")
    trained.give_to(tree)
    folder = tree.in_dir / "assets"
    for name in ("a/same.jpg", "b/same.jpg", "猫.jpg", b"caf\xe9.jpg".decode("utf-8", "surrogateescape")):
        draw_image(folder / name)
    names = ["a/same.jpg", "b/same.jpg", "猫.jpg", "caf\udce9.jpg", "gone\udce9.jpg"]
    tree.write_index("candidate", [f"/in/assets/{name}" for name in names])
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    written = list(outcome.json("infer-result.json")["detection"])
    assert written == ["same.jpg", "猫.jpg", "caf\udce9.jpg", "gone\udce9.jpg"]
    for summary in ("infer-summary.json", "mining-summary.json"):
        issues = outcome.json(summary)["findings"]
        assert issues["file name that another candidate has too, left out"]["count"] == 1
    rows = (tree.out_dir / "result.tsv").read_bytes().splitlines()
    assert len(rows) == 4
    assert any(row.startswith(b"/in/assets/caf\xe9.jpg\t") for row in rows)


def test_candidates_of_which_none_can_be_read(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree("infer")
    trained.give_to(tree)
    tree.write_index("candidate", ["/in/assets/a.jpg", "/in/assets/b.jpg"])
    outcome = run_steps(tree.env_file)
    outcome.require_failure(300002, "candidate-index.tsv: none of its 2 images can be read", "a.jpg")
    assert not (tree.out_dir / "infer-result.json").exists()
