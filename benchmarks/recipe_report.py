"""AP50 of every training recipe, by class: a Markdown table, put between two markers of a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from benchmarks.page import mean_and_range

BASE = "ours"
"""The recipe that the others are compared with."""
START, END = "<!-- recipe table -->", "<!-- end -->"


@dataclass(frozen=True)
class Training:
    """Result of one training."""

    recipe: str
    seed: int
    steps: int
    ap50: float
    by_class: Mapping[str, float]
    """AP50 of each class; {} where the training failed."""
    failure: str
    """The last line of its log; '' if it succeeded."""
    seconds: float


def format_table(trainings: Sequence[Training], recipes: Sequence[str]) -> str:
    """Format a row per recipe, in the order given: mean (lowest to highest) over the seeds.

    The last column is the mean of the differences to `ours` with the same seed.
    """
    names = sorted({name for one in trainings for name in one.by_class})
    heads = ["recipe", "AP50", *(f"`{name}`" for name in names), f"minus `{BASE}`", "seeds"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for recipe in recipes:
        of_recipe = [one for one in trainings if one.recipe == recipe]
        if of_recipe:
            by_class = [mean_and_range([one.by_class.get(name, 0.0) for one in of_recipe]) for name in names]
            failed = sum(bool(one.failure) for one in of_recipe)
            seeds = str(len(of_recipe)) + (f", {failed} failed" if failed else "")
            cells = [mean_and_range([one.ap50 for one in of_recipe]), *by_class, _lead(trainings, recipe), seeds]
            lines.append(f"| {' | '.join([recipe, *cells])} |")
    return "\n".join(lines) + "\n"


def _lead(trainings: Sequence[Training], recipe: str) -> str:
    base = {one.seed: one.ap50 for one in trainings if one.recipe == BASE}
    leads = [one.ap50 - base[one.seed] for one in trainings if one.recipe == recipe and one.seed in base]
    return mean_and_range(leads, "+.3f") if leads and recipe != BASE else ""


def put_into(document: Path, table: str) -> None:
    """Replace the text between the markers.

    Raises:
        ValueError: the document has no such markers.
    """
    text = document.read_text(encoding="utf-8")
    if START not in text or END not in text.split(START, 1)[1]:
        raise ValueError(f"{document}: {START} and {END} are missing; write them where the table belongs")
    before, rest = text.split(START, 1)
    after = rest.split(END, 1)[1]
    document.write_text(f"{before}{START}\n{table}{END}{after}", encoding="utf-8")
