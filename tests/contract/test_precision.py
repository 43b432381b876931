"""Precision from machine to machine: a processor limited to AVX2, by torch's own variables, stands for another one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Mapping

import pytest
import torch
import yaml

from tests.conftest import CLASS_NAMES, MakeTree, Trained, Tree, draw_image
from tests.platform_reader import InferredBox, read_infer_result, read_mining_result
from tests.running import Outcome, run_start, run_steps, start_script
from ymir_detectron2.engines.devices import read_facts
from ymir_detectron2.inference.predict import BLOCK

THRESHOLD = 0.1
THIS: dict[str, str] = {}
OTHER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
needs_bf16 = pytest.mark.skipif(
    not read_facts(torch.device("cpu")).has_bf16, reason="the processor has no bf16, or torch does not tell"
)


def computed_in(outcome: Outcome) -> list[str]:
    return re.findall(r"computing in (\w+) on CPU", outcome.output)


def warnings_of(outcome: Outcome, *words: str) -> list[str]:
    return [line for line in outcome.lines if "WARNING" in line and all(word in line for word in words)]


def test_fp16_on_the_cpu_is_fp32_with_one_warning(ymir_tree: MakeTree, trained: Trained):
    """Carried over by the form, for two steps. What the model was trained in, here fp16 too, decides nothing."""
    results = []
    for precision in ("fp16", "auto"):
        tree = ymir_tree("mining+infer", folder=precision, config={"precision": precision})
        (package,) = (Path(path) for path in trained.give_to(tree) if path.endswith(".yaml"))
        config = tree.real(str(package))
        content = yaml.safe_load(config.read_text())
        content["SOLVER"]["AMP"] = {"ENABLED": True}
        config.write_text(yaml.safe_dump(content))
        outcome = run_steps(tree.env_file)
        outcome.require_success()
        assert len(warnings_of(outcome, "precision: fp16 needs a GPU; computing in fp32")) == (precision == "fp16")
        assert computed_in(outcome) == ["fp32"]
        results.append([(tree.out_dir / name).read_bytes() for name in ("result.tsv", "infer-result.json")])
    assert results[0] == results[1]


def test_a_training_in_fp16_on_the_cpu_is_one_in_fp32(ymir_tree: MakeTree):
    tree = ymir_tree(config={"precision": "fp16", "max_iter": 20, "eval_period": 20})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert computed_in(outcome) == ["fp32"] * 2, "the training, and the pass over its images after it"
    assert len(warnings_of(outcome, "precision: fp16 needs a GPU; computing in fp32")) == 1
    packed = yaml.safe_load((tree.out_dir / "models" / "config.yaml").read_text())
    assert packed["SOLVER"]["AMP"]["ENABLED"] is False


def train(ymir_tree: MakeTree, precision: str, machine: Mapping[str, str]) -> Trained:
    tree = ymir_tree(
        folder="training", config={"precision": precision, "max_iter": 60, "eval_period": 60, "learning_rate": 0.02}
    )
    outcome = run_start(tree.env_file, environment=machine)
    outcome.require_success()
    return Trained(tree, outcome)


def predict(ymir_tree: MakeTree, trained: Trained, machine: Mapping[str, str], precision: str) -> tuple[Outcome, Tree]:
    folder = f"{precision}-{len(machine)}"
    tree = ymir_tree("mining+infer", folder=folder, config={"precision": precision, "conf_threshold": THRESHOLD})
    trained.give_to(tree)
    outcome = run_start(tree.env_file, environment=machine)
    outcome.require_success()
    return outcome, tree


def boxes_of(tree: Tree) -> dict[str, list[InferredBox]]:
    return read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), CLASS_NAMES)


def distance(a: InferredBox, b: InferredBox) -> float:
    """The largest difference of two sides, in pixels."""
    return max(abs(getattr(a, side) - getattr(b, side)) for side in ("x", "y", "w", "h"))


def share_of_same_boxes(tree: Tree, other: Tree, *, pixels: float, score: float) -> float:
    """Of the boxes that are not at the threshold itself, how many have a partner of their own in the other result."""
    found = []
    for name, boxes in boxes_of(tree).items():
        left = list(boxes_of(other)[name])
        for box in boxes:
            fitting = [
                one for one in left if one.class_name == box.class_name and distance(one, box) <= pixels
                and abs(one.score - box.score) <= score
            ]  # fmt: skip
            if fitting:
                left.remove(min(fitting, key=lambda one: abs(one.score - box.score)))
            if box.score >= THRESHOLD + score:
                found.append(bool(fitting))
    assert len(found) >= 10
    return sum(found) / len(found)


@needs_bf16
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "machine"), [("bf16", THIS), ("fp32", OTHER)])
def test_a_model_is_mined_and_inferred_on_another_machine(
    ymir_tree: MakeTree, precision: str, machine: Mapping[str, str]
):
    """Whatever it was trained in: the task's own key decides. docs/mining.md states the differences."""
    trained = train(ymir_tree, precision, machine)
    assert computed_in(trained.outcome) == [precision] * 2, "the training, and the pass over its images after it"
    there, in_fp32 = predict(ymir_tree, trained, OTHER, "auto")
    asked, fallen_back = predict(ymir_tree, trained, OTHER, "bf16")
    here, also_in_fp32 = predict(ymir_tree, trained, THIS, "auto")
    _, in_bf16 = predict(ymir_tree, trained, THIS, "bf16")
    assert computed_in(there) == computed_in(asked) == computed_in(here) == ["fp32"]
    assert [len(warnings_of(one, "precision: bf16 on the CPU needs")) for one in (there, asked, here)] == [0, 1, 0]
    assert (fallen_back.out_dir / "infer-result.json").read_bytes() == (
        in_fp32.out_dir / "infer-result.json"
    ).read_bytes()
    assert share_of_same_boxes(in_fp32, also_in_fp32, pixels=1, score=1e-4) == 1
    # not all: of two that overlap, another may be suppressed
    assert share_of_same_boxes(in_bf16, also_in_fp32, pixels=4, score=0.03) > 0.9
    candidates = in_bf16.candidates()
    for tree in (in_fp32, also_in_fp32, in_bf16):
        assert len(read_mining_result(tree.out_dir / "result.tsv", candidates)) == len(candidates)


def checkpoints(tree: Tree) -> list[Path]:
    return list((tree.out_dir / ".unfinished" / "training").glob("step_*.pth"))


@needs_bf16
@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(THIS, OTHER), (OTHER, THIS)])
def test_a_training_is_resumed_on_a_machine_with_another_arithmetic(
    ymir_tree: MakeTree, first: Mapping[str, str], second: Mapping[str, str]
):
    form = {"precision": "bf16", "max_iter": 24, "eval_period": 12, "args_options": "SOLVER.CHECKPOINT_PERIOD 3"}
    tree = ymir_tree(config=form)
    running = start_script("start.py", tree.env_file, environment=first)
    running.wait_for(lambda: checkpoints(tree))
    running.kill()
    (tree.out_dir / "monitor.txt").unlink()  # progress never falls within a run, but a new one begins at 0
    outcome = run_start(tree.env_file, environment=second)
    outcome.require_success()
    names = ("bf16", "fp32") if second is OTHER else ("fp32", "bf16")
    assert len(warnings_of(outcome, "was computed in {}, and goes on in {}".format(*names))) == 1
    assert re.search(r"resuming from step \d+ of 24", outcome.output)
    assert computed_in(outcome) == [names[1]] * 2, "the training, and the pass over its images after it"


@needs_bf16
@pytest.mark.slow
def test_partial_results_of_another_arithmetic_are_kept_with_one_warning(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree("infer", config={"precision": "bf16"})
    trained.give_to(tree)
    first = draw_image(tree.in_dir / "assets" / "0000.jpg", [("brick", 5, 8, 40, 50)]).path
    for number in range(1, 12 * BLOCK):
        shutil.copy(first, first.with_name(f"{number:04}.jpg"))
    tree.write_index("candidate", [f"/in/assets/{number:04}.jpg" for number in range(12 * BLOCK)])
    running = start_script("start.py", tree.env_file)
    unfinished = tree.out_dir / ".unfinished"
    running.wait_for(lambda: any(file.stat().st_size for file in unfinished.rglob("*.tsv")))
    running.kill()
    (tree.out_dir / "monitor.txt").unlink()
    outcome = run_start(tree.env_file, environment=OTHER)
    outcome.require_success()
    assert re.search(r"\d+ of 384 images were inferred before", outcome.output)
    (sentence,) = warnings_of(outcome, "the finished images were computed in bf16 on CPU (")
    assert "the others are now in fp32 on CPU (AVX2)" in sentence
    assert len(boxes_of(tree)) == 12 * BLOCK
