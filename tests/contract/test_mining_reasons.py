"""Why images come first, after a mining task by start.py: in the log, in files next to result.tsv, and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import CLASS_NAMES, Drawn, Trained, Tree
from tests.platform_reader import read_mining_result, verifier_checks
from tests.running import Outcome, run_start
from ymir_detectron2.contract.mining_result import read_mining_result as read_scores
from ymir_detectron2.results.mining_explanations import FILE_NAME, read_explanations
from ymir_detectron2.results.mining_parts import FILE_NAME as PARTS_NAME
from ymir_detectron2.results.mining_parts import read_parts
from ymir_detectron2.tools.task_folder import write_task_folder


def mine(root: Path, drawn: Drawn, trained: Trained, **config: object) -> tuple[Tree, Outcome]:
    images = [image.path for image in (*drawn.train, *drawn.val)]
    env_file = write_task_folder(root, task="mining", class_names=CLASS_NAMES, candidates=images, config=config)
    tree = Tree(root, env_file)
    trained.give_to(tree)
    outcome = run_start(env_file)
    outcome.require_success()
    verifier_checks(tree.out_dir, "mining", tree.candidates())
    return tree, outcome


def rows_of_log(outcome: Outcome) -> list[list[str]]:
    lines = outcome.output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith("worth labelling first:"))
    return [line.split(maxsplit=3) for line in lines[start + 1 : start + 6]]


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn, trained: Trained) -> tuple[Tree, Outcome]:
    """A task with an algorithm in which an image counts by those before it; everything else is too faint for a box."""
    root = tmp_path_factory.mktemp("ordered")
    return mine(root, drawn, trained, mining_algorithm="submodular", conf_threshold=0.02)


def test_every_ranked_image_has_the_parts_of_its_score(ordered: tuple[Tree, Outcome]):
    tree, _ = ordered
    ranked = list(read_scores(tree.out_dir / "result.tsv"))
    rows = read_parts(tree.out_dir / PARTS_NAME)
    assert [(row.image, row.score) for row in rows] == ranked
    assert {row.class_name for row in rows} <= set(CLASS_NAMES)
    names = {Path(asset).name for asset, _ in ranked}
    assert {row.resembles for row in rows} <= {*names, ""}
    assert all(row.score == pytest.approx(row.gain * (row.novelty or 1.0), abs=2e-3) for row in rows)


def test_the_first_images_have_them_by_class(ordered: tuple[Tree, Outcome]):
    tree, _ = ordered
    explanations = read_explanations(tree.out_dir / FILE_NAME)
    assert explanations is not None
    assert explanations.algorithm == "submodular"
    assert [(one.asset, one.score) for one in explanations.images] == list(read_scores(tree.out_dir / "result.tsv"))
    for image in explanations.images:
        assert image.parts is not None
        assert sum(part.gain for part in image.parts.classes) == pytest.approx(image.parts.gain, rel=1e-6)
    assert any(image.boxes for image in explanations.images)


def test_the_log_and_the_page_say_it_and_the_platform_does_not_notice(ordered: tuple[Tree, Outcome]):
    tree, outcome = ordered
    ranked = list(read_scores(tree.out_dir / "result.tsv"))
    rows = rows_of_log(outcome)
    assert [(int(rank), name) for rank, name, *_ in rows] == [
        (rank, Path(asset).name) for rank, (asset, _) in enumerate(ranked[:5], start=1)
    ]
    assert all(len(row) == 4 for row in rows), "each has a reason"
    assert 'id="mining-shares"' in (tree.out_dir / "report.html").read_text(encoding="utf-8")
    assert read_mining_result(tree.out_dir / "result.tsv", tree.candidates(), topk=3)


@pytest.mark.parametrize(("algorithm", "word"), [("entropy", " x "), ("random", "")])
def test_other_algorithms_leave_no_parts_and_have_their_own_words(
    tmp_path: Path, drawn: Drawn, trained: Trained, algorithm: str, word: str
):
    tree, outcome = mine(tmp_path / "task", drawn, trained, mining_algorithm=algorithm, conf_threshold=0.005)
    assert not (tree.out_dir / PARTS_NAME).exists()
    rows = rows_of_log(outcome)
    assert len(rows) == 5
    assert all(word in row[3] if word else len(row) == 3 for row in rows)
