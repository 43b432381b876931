"""The command that trains the weights of a start."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import start_weights
from tests.annotated_sets import write_voc


@pytest.mark.slow
def test_weights_know_the_classes_of_their_set_and_start_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = {name: [("cat", 2, 2, 20 + 3 * place, 25)] for place, name in enumerate("abc")}
    folder = write_voc(tmp_path / "set", boxes, {"train.txt": ["a", "b"], "val.txt": ["c"]})
    command = ["--set", f"cats={folder}", "--steps", "1", "--image-size", "64"]
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    start_weights.main([*command, "--out", str(first)])
    start_weights.main([*command, "--out", str(second), "--start", str(first), "--training", "learning_rate=1e-9"])
    models = [torch.load(str(path), map_location="cpu") for path in (first, second)]
    assert [model["class_names"] for model in models] == [["cat"]] * 2
    learned = {name: value for name, value in models[0]["model"].items() if name.endswith((".weight", ".bias"))}
    assert len(learned) > 50
    for name, value in learned.items():  # a step of almost no length from the first
        assert torch.allclose(value, models[1]["model"][name], atol=1e-5), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pth", "second.pth", "set"]
    assert "first.pth: AP50 0.000 on its own validation images" in capsys.readouterr().out
