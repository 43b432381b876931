"""The rounds of active learning: what is taken from a result.tsv, what an algorithm's text means, what is run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest

from benchmarks.experiment import Journal
from benchmarks.labelled_sets import LabelledSet
from benchmarks.learning_rounds import FIRST, LearningCurves, Plan, Round, parse_algorithm, pick_next
from benchmarks.shared_trainings import SharedTraining, SharedTrainings
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.draw_dataset import draw_images
from ymir_detectron2.tools.task_folder import asset_name


def test_first_lines_of_the_result_are_taken_in_its_order(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 4, seed=0)
    scores = zip((asset_name(image.path) for image in images), (0.1, 0.4, 0.2, 0.3))
    write_mining_result(tmp_path / "result.tsv", [(f"/in/assets/17/{name}", score) for name, score in scores])
    assert pick_next(tmp_path / "result.tsv", images, 3) == [images[1], images[3], images[2]]


def test_score_column_is_not_read(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 2, seed=0)
    lines = [f"/in/assets/17/{asset_name(image.path)}\t{score}\n" for image, score in zip(images, (0.0, 1.0))]
    (tmp_path / "result.tsv").write_text("".join(lines))
    assert pick_next(tmp_path / "result.tsv", images, 1) == [images[0]]


def test_fewer_candidates_than_the_budget_are_all_taken(tmp_path: Path) -> None:
    images = draw_images(tmp_path, 1, seed=0)
    (tmp_path / "result.tsv").write_text(f"/in/assets/17/{asset_name(images[0].path)}\t0.5\n")
    assert pick_next(tmp_path / "result.tsv", images, 20) == images


def test_result_that_names_no_candidate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "result.tsv").write_text("/in/assets/17/other.jpg\t0.5\n")
    with pytest.raises(KeyError, match=r"other\.jpg"):
        pick_next(tmp_path / "result.tsv", draw_images(tmp_path, 1, seed=0), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("random_stratified", {}, id="chance that the benchmark draws"),
        pytest.param("cald", {"mining_algorithm": "cald"}, id="an algorithm as it is"),
        pytest.param(
            "margin:conf_threshold=0.05:diversity_pool=100",
            {"mining_algorithm": "margin", "conf_threshold": 0.05, "diversity_pool": 100},
            id="with settings, as numbers",
        ),
        pytest.param(
            "aldd:class_distribution_scores=1.0,0.5",
            {"mining_algorithm": "aldd", "class_distribution_scores": "1.0,0.5"},
            id="a setting with commas",
        ),
    ],
)
def test_algorithms_with_settings(text: str, expected: dict[str, Any]) -> None:
    assert parse_algorithm(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("cold", "no such algorithm; choose one of cald", id="unknown algorithm"),
        pytest.param("", "no such algorithm", id="nothing"),
        pytest.param("cald:treshold=0.1", "'treshold=0.1' is no KEY=VALUE", id="unknown key"),
        pytest.param("cald:conf_threshold", "'conf_threshold' is no KEY=VALUE", id="no value"),
        pytest.param("random_stratified:seed=1", "no such algorithm", id="chance has no settings"),
    ],
)
def test_what_would_be_a_copy_of_another_row_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_algorithm(text)


def a_round(seed: int, algorithm: str, number: int, names: Sequence[str]) -> Round:
    return Round(seed, algorithm, number, list(names), 7, 0, 0, {"a": 2}, 0.5, {"a": 0.5}, 0.0, 1.5, "CPU")


def a_plan(out: Path, pool: Sequence[AnnotatedImage], rounds: int = 1) -> Plan:
    data = LabelledSet("drawn", pool, pool[:1])
    return Plan(out, data, start_images=2, budget=2, rounds=rounds, trainings=SharedTrainings(out, data, {}))


def test_finished_rounds_are_not_run_again(tmp_path: Path) -> None:
    """Any task would fail: without a configuration no training starts."""
    pool = draw_images(tmp_path / "images", 6, seed=0)
    names = [image.path.name for image in pool]
    journal = Journal(tmp_path / "rounds.jsonl", Round)
    finished = [a_round(seed, FIRST, 0, names[:2]) for seed in (0, 1)]
    finished += [a_round(seed, name, 1, names[:4]) for seed in (0, 1) for name in ("cald", "random")]
    for one in finished:
        journal.add(one)
    LearningCurves(a_plan(tmp_path, pool), journal).run_missing((0, 1), ("cald", "random"), jobs=2)
    assert Journal(tmp_path / "rounds.jsonl", Round).results == finished


def test_models_of_finished_seeds_are_removed_and_those_of_the_first_round_stay(tmp_path: Path) -> None:
    pool = draw_images(tmp_path / "images", 6, seed=0)
    names = [image.path.name for image in pool]
    journal = Journal(tmp_path / "rounds.jsonl", Round)
    for one in (a_round(0, FIRST, 0, names[:2]), a_round(0, "cald", 1, names[:4])):
        journal.add(one)
    for group in (FIRST, "seed0", "seed1"):
        (tmp_path / "models" / group / "key").mkdir(parents=True)
    LearningCurves(a_plan(tmp_path, pool), journal).run_missing([0], ["cald"], jobs=1)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [FIRST, "seed1"]


def test_a_round_is_described_by_its_images(tmp_path: Path) -> None:
    """Its training is there already, and stratified chance needs no task."""
    pool = draw_images(tmp_path / "images", 12, seed=0)
    start, journal = pool[:2], Journal(tmp_path / "rounds.jsonl", Round)
    journal.add(a_round(0, FIRST, 0, [image.path.name for image in start]))
    plan = a_plan(tmp_path, pool)
    trainings = Journal(tmp_path / "trainings.jsonl", SharedTraining)
    everything = [image for image in pool if image not in start]
    for one in everything:
        for other in everything:  # whatever is drawn
            key = plan.trainings.key([*start, one, other], 0)
            trainings.add(SharedTraining(key, 0.25, {"disc": 0.5}, 9.5, "bf16 on CPU"))
    plan = a_plan(tmp_path, pool)  # reads them
    LearningCurves(plan, journal).run_missing([0], ["random_stratified"], jobs=1)
    done = journal.results[-1]
    images = {image.path.name: image for image in pool}
    labelled = [images[name] for name in done.labelled]
    assert (done.seed, done.algorithm, done.round, len(set(labelled))) == (0, "random_stratified", 1, 4)
    assert done.boxes == sum(len(image.boxes) for image in labelled)
    assert done.empty_images == sum(not image.boxes for image in labelled)
    shown = [name for image in labelled for name in {box[0] for box in image.boxes}]
    assert done.images_by_class == {name: shown.count(name) for name in set(shown)}
    assert (done.ap50, done.ap50_by_class, done.training_s, done.device) == (0.25, {"disc": 0.5}, 9.5, "bf16 on CPU")
