"""The table of models in both READMEs: published figures, and measured ones out of docs/benchmarks.md."""

from __future__ import annotations

import pytest

from tests.running import PROJECT_DIR
from ymir_detectron2.tools.model_table import machine_of, model_table, read_measurements

BENCHMARKS = (PROJECT_DIR / "docs" / "benchmarks.md").read_text(encoding="utf-8")
PAGE = """
<!-- measured: inference-cpu -->
Measured on Abacus 9 (beads), 2 cores, CPU only, Python 3.11.7, torch 2.

800 x 1333:

|  | batch | precision | files to boxes, images/s | MiB |
|---|---|---|---|---|
| torch engine | 1 | fp32 | 0.5 | 1,216 |
| torch engine | 4 | fp32 | 0.8 | 1,216 |
| torch engine | 1 | bf16 | 2.0 | 1,216 |
| torchvision | 1 | fp32 | 99 | 1,513 |

320 x 533:

|  | batch | precision | files to boxes, images/s | MiB |
|---|---|---|---|---|
| torch engine | 1 | fp32 | 77 | 1 |
<!-- end of inference-cpu -->
<!-- measured: training-cpu -->
Measured on Abacus 9 (beads), 2 cores, CPU only, Python 3.11.7, torch 2.

800 x 1333, batch 4:

|  | precision | images/s | ratio | MiB |
|---|---|---|---|---|
| torch engine | fp32 | 0.25 | 1.00 | 2,048 |
| torch engine | bf16 | 8.0 | 1.00 | 1,536 |
| DefaultTrainer | fp32 | 99 | 1.00 | 4,884 |
<!-- end of training-cpu -->
<!-- measured: inference-cuda -->
No GPU was available.
<!-- end of inference-cuda -->
<!-- measured: training-cuda -->
No GPU was available.
<!-- end of training-cuda -->
"""


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_published_figures_are_those_of_the_model_zoo():
    """As in the table of RetinaNet in detectron2's MODEL_ZOO.md."""
    rows = [row for row in rows_of(model_table("en", PAGE)) if "published" in row[2]]
    assert [(row[0].partition("]")[0], row[1], *row[3:7]) for row in rows] == [
        ("[R50", "1x", "0.205 (batch 16)", "0.041", "4.1 GB", "37.4"),
        ("[R50", "3x", "0.205 (batch 16)", "0.041", "4.1 GB", "38.7"),
        ("[R101", "3x", "0.291 (batch 16)", "0.054", "5.2 GB", "40.4"),
    ]
    assert rows[2][7] == (
        "[coco-R-101-3x](https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/retinanet_R_101_FPN_3x/190397697/"
        "model_final_971ab9.pkl)"
    )


def test_measured_figures_are_seconds_of_what_the_page_has_per_second():
    rows = rows_of(model_table("en", PAGE))
    assert rows[2] == ["R50", "", "measured, Abacus 9, 2 cores, CPU only, fp32", "16 (batch 4)", "2", "2.0 GiB",
                       "not measured", ""]  # fmt: skip
    assert rows[3][2:6] == ["measured, Abacus 9, 2 cores, CPU only, bf16", "0.5 (batch 4)", "0.5", "1.5 GiB"]
    assert rows[5] == ["R101", "", *["not measured"] * 5, ""]
    assert len(rows) == 6


def test_what_was_measured_on_a_gpu_gets_rows_too():
    gpu = PAGE.replace("-cuda", "-x").replace("-cpu", "-cuda").replace("-x", "-cpu").replace("Abacus 9", "GPU 7")
    rows = rows_of(model_table("zh", gpu))
    assert [row[2].rpartition(", ") for row in rows[2:4]] == [
        ("实测，GPU 7, 2 cores, CPU only", ", ", precision) for precision in ("fp32", "bf16")
    ]


def test_where_nothing_was_measured_the_table_says_so():
    nothing = PAGE.replace("800 x 1333", "8 x 13")
    assert list(read_measurements(nothing, "cpu")) == []
    assert rows_of(model_table("zh", nothing))[2] == ["R50", "", *["未测"] * 5, ""]


def test_the_page_of_the_project_can_be_read():
    assert [measured.precision for measured in read_measurements(BENCHMARKS, "cpu")] == ["fp32", "bf16"]
    assert machine_of(BENCHMARKS, "cpu")


def test_a_section_that_is_missing_is_named():
    with pytest.raises(ValueError, match="no section 'inference-cuda'"):
        list(read_measurements(PAGE.replace("inference-cuda", ""), "cuda"))
