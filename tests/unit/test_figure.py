"""Drawing leaves matplotlib as it was, and class names are no formulas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ymir_detectron2.evaluation.figure import new_figure

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent


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


def test_a_class_name_is_no_formula():
    """matplotlib takes what is between two $ for one: of this, it could not draw anything."""
    with new_figure(100) as output:
        output.figure.suptitle(r"price in $, not \frac in $")
    assert output.png.startswith(b"\x89PNG")
