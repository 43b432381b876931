"""The stages of a training after a power cut at one operation on /out or another; whole tasks are for `make chaos`."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.disk_shim import DiskShim, Watch
from chaos.power_cut import damage_contents, read_journal, undo_names
from chaos.results import file_names, read_results
from tests.platform_reader import read_training_result
from tests.running import PROJECT_DIR

STAGES = """
import sys
from pathlib import Path
from ymir_detectron2.atomic_file import atomic_write, remove_abandoned
from ymir_detectron2.contract import training_result
from ymir_detectron2.contract.training_result import Stage, TrainingResult

out, training_result.IMPORT_LIMIT_BYTES = Path(sys.argv[1]), int(sys.argv[2])
remove_abandoned(out)
models = out / "models"
result = TrainingResult(models, models / "result.yaml", writes_stages=True, record=out / ".unfinished" / "stages.json")
result.restore()
newest = max((stage.name for stage in result.stages), default="")
for step in range(1, 14):  # more than are kept
    name = f"iter_{step:02}"
    if name > newest:
        with atomic_write(models / f"{name}.pth", "wb") as file:
            file.write(name.encode() * 1000)
        with atomic_write(models / name / "config.yaml") as file:
            file.write(name)
        result.add(Stage(name, (f"{name}.pth", "config.yaml"), 0.5 if step == 2 else 0.1))
        if result.best().name == name:
            result.attach("evaluation", {"plot.png": bytes(100)})
"""


def make_stages(out_dir: Path, limit_bytes: int, watch: Watch | None = None) -> int:
    """Make those that are missing, in a process of its own; return its exit status."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), **(watch.options.environment if watch else {})}
    command = [sys.executable, "-c", STAGES, str(out_dir), str(limit_bytes)]
    return subprocess.run(command, env=environment, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit_bytes", "kept", "period"),
    [pytest.param(1 << 30, 11, 11, id="ten and the best"), pytest.param(120_000, 6, 23, id="as many as are imported")],
)
def test_stages_after_a_power_cut_at_any_operation(tmp_path: Path, limit_bytes: int, kept: int, period: int):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    shim, whole, out_dir = DiskShim(tmp_path), tmp_path / "whole", tmp_path / "out"
    whole.mkdir()
    watch = shim.watch(whole, tmp_path / "disk")
    assert make_stages(whole, limit_bytes, watch) == 0
    assert len(read_training_result(whole / "models").stages) == kept
    for number in range(0, sum(watch.operations().values()), period):
        shutil.rmtree(out_dir, ignore_errors=True)
        out_dir.mkdir()
        watch = shim.watch(out_dir, tmp_path / "disk", action="kill", first=number, has_journal=True)
        assert make_stages(out_dir, limit_bytes, watch) == -9
        operations, rng = read_journal(watch.journal), random.Random(number)
        story = [*undo_names(operations, watch.kept, rng), *damage_contents(operations, out_dir, rng)]
        if (out_dir / "models" / "result.yaml").exists():
            read_training_result(out_dir / "models")  # the platform packs whatever is there
        assert make_stages(out_dir, limit_bytes) == 0
        assert read_results(out_dir) == read_results(whole), (number, story)
        assert file_names(out_dir) == file_names(whole), (number, story)
