"""The active learning experiment as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import active_learning
from benchmarks.experiment import Journal
from benchmarks.learning_rounds import Round
from benchmarks.shared_trainings import SharedTraining
from tests.annotated_sets import write_voc
from ymir_detectron2.errors import ConfigError


def test_folder_with_rounds_of_other_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"steps": 5}))
    with pytest.raises(ConfigError, match="other settings"):
        active_learning.main(["--out", str(tmp_path), "--steps", "6"])


def test_unknown_algorithm_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such algorithm"):
        active_learning.main(["--out", str(tmp_path / "out"), "--algorithms", "cold"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--training", "--mining"])
def test_unknown_key_of_a_task_is_refused(tmp_path: Path, option: str) -> None:
    folder = write_voc(tmp_path / "set", {"a": [("cat", 1, 1, 9, 9)], "b": []}, {"train.txt": ["a"], "val.txt": ["b"]})
    command = ["--out", str(tmp_path / "out"), "--set", f"cats={folder}", "--rounds", "0", "--start-images", "1"]
    with pytest.raises(ConfigError, match=r"'lerning_rate=0\.1' is no KEY=VALUE of a task"):
        active_learning.main([*command, option, "lerning_rate=0.1"])


def test_pool_that_is_too_small_is_refused(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set", {"a": [("cat", 1, 1, 9, 9)], "b": []}, {"train.txt": ["a"], "val.txt": ["b"]})
    with pytest.raises(ConfigError, match="200 images are to be labelled, of 1; fewer --rounds"):
        active_learning.main(["--out", str(tmp_path / "out"), "--set", f"cats={folder}"])


def test_command_line_of_the_report_has_no_places_of_files(tmp_path: Path) -> None:
    options = active_learning.read_arguments([
        "--out", str(tmp_path), "--set", "pcb=/data/boards/pcb", "--start", "/models/half.pth", "--training",
        "learning_rate=0.0025", "anchors=auto", "--args-options", "MODEL.BACKBONE.FREEZE_AT 4", "--precision", "bf16",
        "--start-config", "/models/half.yaml",
    ])  # fmt: skip
    assert active_learning.command_line(options) == (
        "active_learning.py --set pcb=pcb --start half.pth --start-config half.yaml --start-images 40 --budget 40"
        " --steps 150 --image-size 160 --training learning_rate=0.0025 anchors=auto"
        " --args-options 'MODEL.BACKBONE.FREEZE_AT 4' --precision bf16 --rounds 4"
    )


@pytest.mark.slow
def test_experiment_runs_reports_and_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six images, of which two are labelled first, and two more in a round."""
    boxes = {name: [("cat", 2, 2, 20 + 3 * place, 25)] for place, name in enumerate("abcdef")}
    folder = write_voc(tmp_path / "set", boxes, {"train.txt": ["a", "b", "c", "d", "e"], "val.txt": ["f"]})
    out, document = tmp_path / "out", tmp_path / "mining.md"
    document.write_text("Before\n<!-- measured: learning-cats -->\n<!-- end of learning-cats -->\nAfter\n")
    command = [
        "--out", str(out), "--set", f"cats={folder}", "--seeds", "0", "--start-images", "2", "--budget", "2",
        "--rounds", "1", "--steps", "1", "--image-size", "64", "--docs", str(document), "--jobs", "1",
    ]  # fmt: skip
    # the second draws the same images as the first
    active_learning.main([*command, "--algorithms", "random", "random:conf_threshold=0.3", "margin"])
    rounds = Journal(out / "rounds.jsonl", Round).results
    assert [(one.algorithm, one.round, len(one.labelled)) for one in rounds] == [
        ("first", 0, 2), ("random", 1, 4), ("random:conf_threshold=0.3", 1, 4), ("margin", 1, 4),
    ]  # fmt: skip
    assert rounds[1].labelled == rounds[2].labelled
    distinct = {tuple(one.labelled) for one in rounds}
    assert len(Journal(out / "trainings.jsonl", SharedTraining).results) == len(distinct)
    assert all(one.labelled[:2] == rounds[0].labelled and "CPU" in one.device for one in rounds)
    assert rounds[3].mining_s > 0
    text = document.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("After\n")
    assert "| `margin` |" in text
    assert "`margin`" in (out / "active_learning.md").read_text(encoding="utf-8")
    assert "<code>margin</code>" in (out / "active_learning.html").read_text(encoding="utf-8")

    files = {path: path.read_bytes() for path in out.glob("*.jsonl")}
    capsys.readouterr()
    active_learning.main([*command, "--algorithms", "random", "margin", "random_stratified"])
    assert "seed 0  random_stratified  4 images" in capsys.readouterr().out
    assert all(path.read_bytes().startswith(content) for path, content in files.items())
    assert len(Journal(out / "rounds.jsonl", Round).results) == 5
