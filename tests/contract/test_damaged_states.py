"""A damaged state of an unfinished training costs the steps since the one before it, and changes no weight."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any, Callable

import pytest
import torch

from tests.conftest import CLASS_NAMES, ENGINE, Drawn, Tree
from tests.platform_reader import read_training_result
from tests.running import TINY_CONFIG, Outcome, run_start, start_warm
from ymir_detectron2.retinanet.checkpoint import read_content, write_content
from ymir_detectron2.tools.task_folder import write_task_folder

STEPS = 8
FORM = {
    **ENGINE, "config_file": str(TINY_CONFIG), "max_iter": STEPS, "eval_period": 4, "ema": 0.9, "num_workers": 0,
    "learning_rate": 0.02, "args_options": "SOLVER.CHECKPOINT_PERIOD 2",
}  # fmt: skip
STATES = Path(".unfinished", "training")
Damage = Callable[[Path], None]


def task_folder(folder: Path, drawn: Drawn) -> Tree:
    env_file = write_task_folder(
        folder, task="train", config=FORM, class_names=CLASS_NAMES, train=drawn.train, val=drawn.val
    )
    return Tree(folder, env_file, FORM)


def final_weights(tree: Tree) -> dict[str, torch.Tensor]:
    return read_content(tree.out_dir / "models" / f"iter_{STEPS:07d}.pth")["model"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> dict[str, torch.Tensor]:
    """The last weights of a training that nothing has interrupted."""
    tree = task_folder(tmp_path_factory.mktemp("whole"), drawn)
    start_warm("ymir_train.py", tree.env_file).finish().require_success()
    return final_weights(tree)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Tree:
    """A training that was killed with the states of steps 4 and 6; `saved` has a copy of its output."""
    tree = task_folder(tmp_path_factory.mktemp("interrupted"), drawn)
    running = start_warm("ymir_train.py", tree.env_file)
    running.wait_for(lambda: (tree.out_dir / STATES / "step_0000006.pth").is_file())
    running.kill()
    (tree.out_dir / "monitor.txt").unlink()
    for later in (tree.out_dir / STATES).glob("step_0000008.pth"):
        later.unlink()
    shutil.copytree(tree.out_dir, tree.root / "saved")
    return tree


def restart(tree: Tree, damage: Damage) -> tuple[Outcome, Path]:
    """Put the interrupted output back, damage its newest state, and start the task."""
    shutil.rmtree(tree.out_dir)
    shutil.copytree(tree.root / "saved", tree.out_dir)
    newest = max((tree.out_dir / STATES).glob("step_*.pth"))
    damage(newest)
    return run_start(tree.env_file), newest


def require_fallback(outcome: Outcome, newest: Path, tree: Tree, expected: dict[str, torch.Tensor]) -> None:
    outcome.require_success()
    warnings = [line for line in outcome.lines if "WARNING" in line and str(newest) in line]
    assert len(warnings) == 1, outcome.output
    assert f"resuming from step 4 of {STEPS}" in outcome.output
    weights = final_weights(tree)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name
    stages = read_training_result(tree.out_dir / "models", "2.5.0").stages
    assert list(stages) == ["iter_0000004", "iter_0000008"]
    assert not (tree.out_dir / STATES).exists()


def changed(change: Callable[[dict[str, Any]], None]) -> Damage:
    """A state that reads well, and holds something else."""

    def damage(path: Path) -> None:
        content = read_content(path)
        change(content)
        write_content(path, content)

    return damage


def zero(first: float, last: float) -> Damage:
    """Zeros in a part of the file, from a share of its size to another, as a power cut may leave them."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        start, end = int(first * len(content)), int(last * len(content))
        content[start:end] = bytes(end - start)
        path.write_bytes(content)

    return damage


def zero_the_directory(path: Path) -> None:
    """The directory of a zip file is at its end: names, places and check sums of all entries."""
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    content = bytearray(path.read_bytes())
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)


def of_other_classes(content: dict[str, Any]) -> None:
    content["fingerprint"]["class_names"] = "brick, leaf, sky, sea"


def with_more_classes(content: dict[str, Any]) -> None:
    """The class layer of a network of four classes, under the fingerprint of this training."""
    model = content["trainer"]["state"]["model"]
    for name in ("head.cls_score.weight", "head.cls_score.bias"):
        model[name] = torch.cat([model[name], model[name][: len(model[name]) // len(CLASS_NAMES)]])


def with_nan(content: dict[str, Any]) -> None:
    content["trainer"]["state"]["model"]["head.cls_score.bias"][0] = float("nan")


def with_nan_momentum(content: dict[str, Any]) -> None:
    content["trainer"]["state"]["optimizer"]["state"][0]["momentum_buffer"][0] = float("inf")


def with_misshapen_momentum(content: dict[str, Any]) -> None:
    content["trainer"]["state"]["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(3)


def with_one_average_for_all(content: dict[str, Any]) -> None:
    """Copying would broadcast it."""
    content["trainer"]["state"]["average"]["means"]["head.cls_score.bias"] = torch.zeros(1)


def without_random_state(content: dict[str, Any]) -> None:
    del content["trainer"]["random"]


def with_text_for_a_count(content: dict[str, Any]) -> None:
    content["end"]["patience"]["since"] = "3"


def of_a_later_step(content: dict[str, Any]) -> None:
    content["step"] = content["measured_step"] = STEPS + 1


@pytest.mark.parametrize(
    "damage", [zero_the_directory, changed(with_misshapen_momentum)], ids=["zip directory", "misshapen momentum"]
)
def test_a_damaged_newest_state_gives_way_to_the_one_before(
    interrupted: Tree, expected: dict[str, torch.Tensor], damage: Damage
):
    outcome, newest = restart(interrupted, damage)
    require_fallback(outcome, newest, interrupted, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:3000]), id="cut"),
        pytest.param(zero(0.7, 1), id="zeros at the end"),
        pytest.param(zero(0, 0.3), id="zeros at the start"),
        *(
            pytest.param(changed(change), id=change.__name__)
            for change in (
                of_other_classes, with_more_classes, with_nan, with_nan_momentum, with_one_average_for_all,
                without_random_state, with_text_for_a_count, of_a_later_step,
            )
        ),
    ],
)  # fmt: skip
def test_each_damage_of_the_newest_state(interrupted: Tree, expected: dict[str, torch.Tensor], damage: Damage):
    outcome, newest = restart(interrupted, damage)
    require_fallback(outcome, newest, interrupted, expected)


def damage_all(damage: Damage) -> Damage:
    def damage_each(newest: Path) -> None:
        for path in newest.parent.glob("step_*.pth"):
            damage(path)

    return damage_each


def test_with_all_states_damaged_it_starts_from_step_1(interrupted: Tree, expected: dict[str, torch.Tensor]):
    outcome, _ = restart(interrupted, damage_all(changed(with_misshapen_momentum)))
    outcome.require_success()
    assert f"step 1/{STEPS}" in outcome.output
    weights = final_weights(interrupted)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
