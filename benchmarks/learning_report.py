"""What an active learning experiment has shown, as tables: curves, intervals, and where labels were spent."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import NamedTuple, Sequence

from benchmarks.chance import PLAIN, STRATIFIED
from benchmarks.labelled_sets import LabelledSet
from benchmarks.learning_curves import CHANCES, Curves, ap50_of, boxes, empty_images, images_of, near_copies
from benchmarks.learning_rounds import Round
from benchmarks.learning_statistics import Interval, area_over_chance, saved_percent
from benchmarks.page import table


class Table(NamedTuple):
    """A table with what has to be said about it."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def describe_experiment(data: LabelledSet, rounds: Sequence[Round], command: str) -> str:
    """Describe in a paragraph what was run, and how; `command` is the line that runs it again."""
    empty = sum(not image.boxes for image in data.train) / len(data.train)
    shown = Counter(name for image in data.train for name in {box[0] for box in image.boxes})
    shares = ", ".join(f"`{name}` {100 * count / len(data.train):.1f} %" for name, count in sorted(shown.items()))
    devices = ", ".join(sorted({one.device for one in rounds}))
    trainings = {(one.seed, *one.labelled): one.training_s for one in rounds}  # equal ones were run once
    hours = (sum(one.mining_s for one in rounds) + sum(trainings.values())) / 3600
    return (
        f"Pool of {len(data.train)} images, {100 * empty:.0f} % of them empty; images that show a class: {shares}."
        f" {len(data.val)} validation images. {hours:.1f} processor hours in all, {devices}. Run by `{command}`."
    )


def build_tables(rounds: Sequence[Round]) -> list[Table]:
    """Return the tables of all complete curves; [] without one."""
    curves = Curves(rounds)
    if not curves.algorithms:
        return []
    return [_curves_table(curves), _chance_table(curves), _spent_table(curves), _classes_table(curves)]


def format_tables(tables: Sequence[Table]) -> str:
    """Format the tables as Markdown."""
    return "\n\n".join(f"**{one.title}.** {one.caption}\n\n{table(one.columns, one.rows)}" for one in tables) + "\n"


def _curves_table(curves: Curves) -> Table:
    columns = ["images labelled", *map(str, curves.labels), "boxes drawn", "empty images shown", "seeds"]
    rows = []
    for name in curves.algorithms:
        ap50 = curves.values(name, lambda one: one.ap50)
        drawn, empty = (curves.values(name, value)[:, -1].mean() for value in (boxes, empty_images))
        cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(ap50.mean(axis=0), ap50.std(axis=0))]
        rows.append([f"`{name}`", *cells, f"{drawn:.0f}", f"{empty:.0f}", str(len(ap50))])
    caption = "Mean over the seeds ± standard deviation; boxes and empty images of all rounds together."
    return Table("AP50 on the validation images", caption, columns, rows)


def _chance_table(curves: Curves) -> Table:
    columns = ["", f"AP50 over `{PLAIN}`", f"over `{STRATIFIED}`", f"labels saved against `{PLAIN}`",
               f"against `{STRATIFIED}`", "processor minutes per curve"]  # fmt: skip
    rows = []
    for name in curves.algorithms:
        areas = [_with_interval(curves.against(chance, area_over_chance, name), "+.3f") for chance in CHANCES]
        saved = [
            _with_interval(curves.against(chance, partial(saved_percent, labels=curves.labels), name), "+.0f", " %")
            for chance in CHANCES
        ]
        minutes = curves.values(name, lambda one: (one.mining_s + one.training_s) / 60).sum(axis=1).mean()
        rows.append([f"`{name}`", *areas, *saved, f"{minutes:.1f}"])
    caption = (
        "Difference in AP50 to chance with the same seed, mean over the rounds after the first. Labels saved: for the"
        " AP50 that chance reaches at its last round, on the means over the seeds; a negative figure says how many"
        " chance saves on the way to the best of the algorithm. In brackets 95 % bootstrap intervals over the seeds."
    )
    return Table("Against chance", caption, columns, rows)


def _spent_table(curves: Curves) -> Table:
    names = curves.classes
    columns = ["of the images chosen", "empty", "near copies", *(f"`{name}`" for name in names), "boxes per image"]
    rows = []
    for algorithm in curves.algorithms:
        counted = [empty_images, near_copies, *map(images_of, names)]
        shares = [f"{100 * curves.share_of_added(algorithm, count):.1f} %" for count in counted]
        rows.append([f"`{algorithm}`", *shares, f"{curves.share_of_added(algorithm, boxes):.2f}"])
    caption = (
        "Without the first images, which are drawn at random. Near copies: of an image labelled before. Of a class: the"
        " images that show it."
    )
    return Table("Where the labels are spent", caption, columns, rows)


def _classes_table(curves: Curves) -> Table:
    names = curves.classes
    rows = []
    for algorithm in curves.algorithms:
        ap50s = [curves.values(algorithm, ap50_of(name)) for name in names]
        rows.append([f"`{algorithm}`", *(f"{ap50[:, 1:].mean():.3f}, {ap50[:, -1].mean():.3f}" for ap50 in ap50s)])
    caption = "Mean over the rounds after the first, then that of the last round; means over the seeds."
    return Table("AP50 by class", caption, ["", *(f"`{name}`" for name in names)], rows)


def _with_interval(figure: Interval | None, form: str, unit: str = "") -> str:
    if figure is None:
        return ""
    return f"{figure.value:{form}}{unit} [{figure.low:{form}}, {figure.high:{form}}]"
