"""The tables of an active learning experiment."""

from __future__ import annotations

from pathlib import Path

from benchmarks.labelled_sets import LabelledSet
from benchmarks.learning_report import build_tables, describe_experiment, format_tables
from tests.unit.test_learning_curves import TWO_SEEDS, finished
from ymir_detectron2.sources.labelled_image import AnnotatedImage


def test_curves_show_mean_and_deviation() -> None:
    """Cald: (0.25 + 0.5) / 2 and (0.75 + 0.625) / 2; boxes 2 * (15 + 13) / 2; empty (5 + 7) / 2."""
    table = build_tables(TWO_SEEDS)[0]
    assert list(table.columns) == ["images labelled", "10", "20", "boxes drawn", "empty images shown", "seeds"]
    assert table.rows[1] == ["`cald`", "0.375 ± 0.125", "0.688 ± 0.062", "28", "6", "2"]
    assert [row[0] for row in table.rows] == ["`margin`", "`cald`", "`random`"]


def test_figures_against_chance_have_intervals() -> None:
    """Labels: `random` ends at 0.625 on average, cald goes from 0.375 to 0.688: after 0.8 of the way, at 18 labels."""
    table = build_tables(TWO_SEEDS)[1]
    name, over_random, over_stratified, saved, saved_over_stratified, minutes = table.rows[1]
    assert (name, over_random, over_stratified) == ("`cald`", "+0.062 [-0.125, +0.250]", "")
    assert saved.startswith("+10 % [")  # in place of 20
    assert (saved_over_stratified, minutes) == ("", "2.5")  # 60 s, then 30 s and 60 s
    assert list(table.rows[2])[1:5] == ["", "", "", ""]  # chance


def test_spent_labels_are_those_after_the_first_images() -> None:
    table = build_tables(TWO_SEEDS)[2]
    assert list(table.columns)[1:] == ["empty", "near copies", "`star`", "`disc`", "boxes per image"]
    assert table.rows[1] == ["`cald`", "10.0 %", "10.0 %", "40.0 %", "90.0 %", "1.80"]


def test_classes_have_the_mean_over_the_rounds_and_the_end() -> None:
    rounds = [one for seed in (0, 1) for number in (1, 2) for one in [finished(seed, "random", number, 0.2 * number)]]
    table = build_tables([*TWO_SEEDS[:2], *rounds])[3]
    assert table.rows == [["`random`", "0.150, 0.200", "0.300, 0.400"]]


def test_no_complete_curve_no_table() -> None:
    assert build_tables(TWO_SEEDS[:2]) == []


def test_tables_as_markdown() -> None:
    text = format_tables(build_tables(TWO_SEEDS))
    assert text.startswith("**AP50 on the validation images.** Mean over the seeds")
    assert "\n| `cald` | 0.375 ± 0.125 | 0.688 ± 0.062 | 28 | 6 | 2 |\n" in text
    assert text.count("\n|---|") == 4


def test_description_counts_the_pool_and_the_time() -> None:
    """Two starts and, as all chose alike, one more training of each seed, of 60 s; five minings of 30 s: 390 s."""
    pool = [AnnotatedImage(Path(name), (("disc", 0, 0, 9, 9),)) for name in "abc"] + [AnnotatedImage(Path("d"))]
    text = describe_experiment(LabelledSet("x", pool, pool[:2]), TWO_SEEDS, "run.py --steps 7")
    assert "Pool of 4 images, 25 % of them empty; images that show a class: `disc` 75.0 %. 2 validation images." in text
    assert text.endswith(" 0.1 processor hours in all, bf16 on CPU. Run by `run.py --steps 7`.")
