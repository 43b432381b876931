"""Which text of class names can be drawn, and that drawing leaves matplotlib as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ymir_detectron2.evaluation.figure import drawable_names, text_width

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
UNKNOWN = "\U0010fffd"
"""A character that no font has."""


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        pytest.param("cat", "cat", id="as it is"),
        pytest.param(" two\nlines\t", "two lines", id="one line"),
        pytest.param("$x^2$", r"\$x^2\$", id="no formula"),
        pytest.param(UNKNOWN, "#1", id="a character that no font has"),
        pytest.param(f"{UNKNOWN} RBC", "#1 RBC", id="and others that it has"),
        pytest.param("", "#1", id="nothing"),
        pytest.param("a" * 24, "a" * 24, id="just short enough"),
        pytest.param("a" * 25, "a" * 23 + "…", id="too long"),
    ],
)
def test_names_as_they_are_drawn(name: str, drawn: str):
    assert drawable_names(["first", name])[1] == drawn


def test_names_that_are_the_same_once_they_are_shortened_are_shown_with_their_positions():
    long = "a" * 30
    assert drawable_names([f"{long}0", "cat", f"{long}1"]) == ["#0 " + "a" * 20 + "…", "cat", "#2 " + "a" * 20 + "…"]


def test_chinese_characters_are_twice_as_wide():
    assert text_width("红细胞 RBC") == 10


def printed(code: str) -> str:
    """Run code in a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_plots_leave_no_trace_in_matplotlib():
    """No pyplot, which keeps every figure, and no setting changed for others."""
    code = """
import sys, matplotlib
def settings():  # reading the backend would choose one, with pyplot
    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if "backend" not in key}
before = settings()
from ymir_detectron2.evaluation import plots, report
plots.plot_losses({}, {})
print(settings() == before, "matplotlib.pyplot" in sys.modules)
"""
    assert printed(code) == "True False"


def test_metrics_need_no_matplotlib():
    assert printed("import sys, ymir_detectron2.evaluation.metrics; print('matplotlib' in sys.modules)") == "False"
