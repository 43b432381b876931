"""Training and inference on real photographs, if they are next to the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.platform_reader import read_infer_result, read_training_result, verifier_checks
from tests.running import PROJECT_DIR, TINY_CONFIG, run_start
from ymir_detectron2.tools.make_task import main

BCCD = PROJECT_DIR.parent / "shared" / "data" / "bccd"

pytestmark = [
    pytest.mark.bccd,
    pytest.mark.slow,
    pytest.mark.skipif(not (BCCD / "train.txt").exists(), reason=f"{BCCD} is not there"),
]


def test_blood_cells_from_voc_files_to_boxes(tmp_path: Path):
    """A few steps only: whether it learns is measured elsewhere; here each step reads the files of the one before."""
    voc = ["--voc", str(BCCD), "--split", str(BCCD / "train.txt"), str(BCCD / "val.txt")]
    form = [f"config_file={TINY_CONFIG}", "max_iter=6", "eval_period=6", "learning_rate=0.01", "batch_size=4"]
    assert main([*voc, "--out", str(tmp_path / "train"), "--config", *form]) == 0
    outcome = run_start(tmp_path / "train" / "in" / "env.yaml")
    outcome.require_success()
    report = outcome.json("dataset-report.json")
    assert report["training"]["images"] == len((BCCD / "train.txt").read_text().split())
    assert set(report["training"]["boxes_per_class"]) == {"platelets", "rbc", "wbc"}
    models = tmp_path / "train" / "out" / "models"
    assert list(read_training_result(models).stages) == ["iter_0000006"]

    form = ["--task", "infer", "--model", str(models), "--config", "conf_threshold=0.005"]
    assert main([*voc, "--out", str(tmp_path / "infer"), *form]) == 0
    outcome = run_start(tmp_path / "infer" / "in" / "env.yaml")
    outcome.require_success()
    candidates = (tmp_path / "infer" / "in" / "candidate-index.tsv").read_text().split()
    names = yaml.safe_load((tmp_path / "infer" / "in" / "config.yaml").read_text())["class_names"]
    pred = read_infer_result(outcome.out_dir / "infer-result.json", candidates, names)
    assert len(pred) == len((BCCD / "val.txt").read_text().split())
    verifier_checks(outcome.out_dir, "infer", candidates)
