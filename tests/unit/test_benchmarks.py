"""What the benchmarks make of their figures, and that they count what a network really does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import training_speed
from benchmarks.inference_speed import best, plan
from benchmarks.measuring import PROJECT_DIR, Measurement
from benchmarks.page import PAGE, cell, promise, publish, table, with_section

OURS, THEIRS = ("torch engine", (), 4, "fp32"), ("torchvision", (), 1, "fp32")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("fp32", "fp32"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (99.96, "100"),
        (1.0, "1.00"),
        (0.40004, "0.400"),
        (23.46, "23.5"),
    ],
)
def test_a_cell_has_three_digits_that_count(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_table_is_markdown() -> None:
    assert table(["who", "images/s"], [["us", 2.5], ["them", None]]) == (
        "| who | images/s |\n|---|---|\n| us | 2.50 |\n| them | - |"
    )


def test_a_row_that_does_not_fit_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells and the table 2 columns"):
        table(["who", "images/s"], [["us"]])


@pytest.mark.parametrize(
    ("least", "most", "measured", "bound", "verdict"),
    [
        (1.1, None, 1.1, "at least 1.1", "kept"),
        (1.1, None, 1.09, "at least 1.1", "missed"),
        (None, 4.7, 4.7, "at most 4.7", "kept"),
        (None, 4.7, 5.0, "at most 4.7", "missed"),
        (500, None, None, "at least 500", "not measured here"),
    ],
)
def test_a_promise_is_kept_missed_or_open(
    least: float | None, most: float | None, measured: float | None, bound: str, verdict: str
) -> None:
    assert promise("it", least, most, measured=measured) == ["it", bound, measured, verdict]


def test_only_what_is_between_the_markers_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- measured: b -->\nkept\n<!-- end of b -->\n"
    page.write_text(f"by hand\n<!-- measured: a -->\nold\nlines\n<!-- end of a -->\nalso\n{other}")
    publish("a", "new \\1 | figures\n", page)
    assert page.read_text() == (
        f"by hand\n<!-- measured: a -->\nnew \\1 | figures\n<!-- end of a -->\nalso\n{other}"
    )


@pytest.mark.parametrize("page", ["", "<!-- measured: a -->", 2 * "<!-- measured: a -->x<!-- end of a -->"])
def test_a_page_without_the_one_section_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="expected one section"):
        with_section(page, "a", "new")


def test_the_page_has_a_section_for_each_benchmark() -> None:
    names = re.findall("<!-- measured: (.*) -->", PAGE.read_text(encoding="utf-8"))
    measured = ("inference", "where", "mining", "training")
    by_device = [f"{name}-{device}" for name in measured for device in ("cpu", "cuda")]
    assert sorted(names) == sorted([*by_device, "memory", "conversion"])


def test_the_best_batch_leaves_out_switches_and_other_precisions() -> None:
    found = {
        OURS: Measurement(2.0, 1.0),
        ("torch engine", (), 1, "fp32"): Measurement(1.5, 1.0),
        ("torch engine", (("fuse", "never"),), 4, "fp32"): Measurement(9.0, 1.0),
        ("torch engine", (), 4, "bf16"): Measurement(8.0, 1.0),
        THEIRS: Measurement(7.0, 1.0),
    }
    assert best(found, "torch engine", "fp32") == 2.0
    assert best(found, "predecessor", "fp32") is None


def test_what_cannot_be_measured_is_not_planned() -> None:
    assert plan((1, 4), has_bf16=False, has_detectron2=False, with_switches=False) == [
        ("torch engine", (), 1, "fp32"), OURS, THEIRS, ("torchvision", (), 4, "fp32"),
    ]  # fmt: skip
    everything = plan((1, 4), has_bf16=True, has_detectron2=True, with_switches=True)
    assert ("torch engine", (("compile", "always"),), 4, "bf16") in everything
    assert ("predecessor", (), 1, "fp32") in everything
    assert len(everything) == len(set(everything)) == 20


def test_learners_are_planned_in_the_precisions_that_they_know() -> None:
    assert training_speed.plan("cpu", with_bf16=False, with_detectron2=False) == [("torch engine", "fp32")]
    assert training_speed.plan("cuda", with_bf16=True, with_detectron2=True) == [
        ("torch engine", "fp32"), ("torch engine", "bf16"), ("DefaultTrainer", "fp32"), ("DefaultTrainer", "fp16"),
    ]  # fmt: skip


def test_what_is_promised_of_training_on_a_gpu_is_not_judged_on_a_cpu() -> None:
    found = {("torch engine", "bf16"): Measurement(300.0, 1.0), ("DefaultTrainer", "fp32"): Measurement(120.0, 1.0)}
    assert [row[2:] for row in training_speed.promises(found, "cuda")] == [[300.0, "kept"], [2.5, "missed"]]
    assert [row[2:] for row in training_speed.promises(found, "cpu")] == [[None, "not measured here"]] * 2


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch 1.10 cannot convolve meta tensors")
def test_multiplications_of_the_network_are_those_of_the_reference() -> None:
    """RetinaNet R50 with 80 classes at 800 x 1344: 245.5e9, counted by hand from its layers."""
    from benchmarks.stand_ins import RETINANET_50
    from benchmarks.where_time_goes import conv_gmac
    from ymir_detectron2.retinanet.config import load_config
    from ymir_detectron2.retinanet.model import build_retinanet

    assert conv_gmac(build_retinanet(load_config(RETINANET_50), 80), (800, 1344)) == pytest.approx(245.5, abs=0.05)


def test_a_subject_answers_as_often_as_it_is_asked_and_its_memory_is_its_own() -> None:
    """The parent of this one may hold a gigabyte, which the kernel's `ru_maxrss` would count to its children."""
    program = (
        "from benchmarks.measuring import serve, timed\n"
        "serve({'job': timed(lambda: 3), 'names': lambda: ['a']})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="job\nnames\n", capture_output=True, text=True, check=True,
        cwd=str(PROJECT_DIR),
    )  # fmt: skip
    ready, measured, names = (json.loads(line.partition(": ")[2]) for line in done.stdout.splitlines())
    assert (ready, names) == (None, ["a"])
    images_per_s, peak_mib = measured
    assert images_per_s > 3
    assert 5 < peak_mib < 100
