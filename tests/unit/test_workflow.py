"""The workflow of continuous integration, which nobody sees run before it is pushed: its names are names that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

PROJECT_DIR = Path(__file__).resolve().parents[2]
WORKFLOW = PROJECT_DIR / ".github" / "workflows" / "ci.yml"
JOBS = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
COMMANDS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]


def test_ids_of_jobs_are_accepted_by_github():
    """One dot in one of them, and GitHub refuses the whole file."""
    assert [name for name in JOBS if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII)] == []


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_hangs_is_stopped_within_hours(name: str):
    assert JOBS[name]["timeout-minutes"] <= 120


def test_targets_of_make_exist():
    targets = re.findall(r"^([\w-]+):", (PROJECT_DIR / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    called = [target for command in COMMANDS for target in re.findall(r"^make ([\w-]+)$", command, re.MULTILINE)]
    assert len(called) >= 3
    assert set(called) <= set(targets)


def test_files_of_requirements_exist():
    named = [file for command in COMMANDS for file in re.findall(r"-r (\S+)", command)]
    assert len(named) >= 3
    assert [file for file in named if not (PROJECT_DIR / file).is_file()] == []


def test_detectron2_is_the_one_that_the_stored_numbers_come_from():
    golden = json.loads((PROJECT_DIR / "tests" / "golden" / "retinanet.json").read_text(encoding="utf-8"))
    commits = re.findall(r"detectron2\.git@(\w+)", "\n".join(COMMANDS))
    assert commits == golden["made_with"]["commit"].split()[:1]
