"""Report of the recipe ablation: a table over several sets, and one by class for each set.

    python3 benchmarks/recipe_report.py bccd=FOLDER pcb=FOLDER .. [--docs docs/training.md] [--section recipes]

Each FOLDER is one of training_recipe.py.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal  # noqa: E402
from benchmarks.page import mean_and_range, publish, table  # noqa: E402

BASE, PREDECESSOR = "ours", "the predecessor's"
"""The recipe that the others are compared with, and the one that it has to beat."""
SECTION = "recipes"


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; with --docs also put them into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=FOLDER", type=lambda text: text.partition("=")[::2])
    parser.add_argument("--docs", type=Path, metavar="FILE")
    parser.add_argument("--section", default=SECTION, help="of the document (%(default)s)")
    options = parser.parse_args(arguments)
    sets = {name: Journal(Path(folder) / "trainings.jsonl", Training).results for name, folder in options.sets}
    publish(options.section, format_report(sets), options.docs)


def format_report(sets: Mapping[str, Sequence[Training]]) -> str:
    """Format the comparison of sets, then a table by class for each of them."""
    recipes = list(dict.fromkeys(one.recipe for trainings in sets.values() for one in trainings))
    parts = [format_comparison(sets, recipes)] if len(sets) > 1 else []
    parts += [f"{name}:\n\n{format_table(trainings, recipes)}" for name, trainings in sets.items()]
    return "\n".join(parts)


def format_comparison(sets: Mapping[str, Sequence[Training]], recipes: Sequence[str]) -> str:
    """Format a row per recipe and a column per set: AP50 of `ours`, of the others the difference to it.

    A difference is the mean (lowest to highest) over the seeds that both have; behind it, how many these are.
    """
    rows = []
    for recipe in recipes:
        if recipe == BASE:
            cells = [mean_and_range([one.ap50 for one in found if one.recipe == BASE]) for found in sets.values()]
        else:
            cells = [_lead_and_seeds(found, recipe) for found in sets.values()]
        rows.append([recipe, *(cell or None for cell in cells)])
    return table(["recipe", *sets], rows) + "\n"


def _lead_and_seeds(trainings: Sequence[Training], recipe: str) -> str:
    leads = paired_leads(trainings, recipe)
    return f"{mean_and_range(leads, '+.3f')}, {len(leads)}" if leads else ""


def format_table(trainings: Sequence[Training], recipes: Sequence[str]) -> str:
    """Format a row per recipe of one set, in the order given: mean (lowest to highest) over the seeds.

    The last columns are the mean of the differences to `ours` with the same seed, and the number of seeds.
    """
    names = sorted({name for one in trainings for name in one.by_class})
    rows = []
    for recipe in recipes:
        of_recipe = [one for one in trainings if one.recipe == recipe]
        if of_recipe:
            by_class = [mean_and_range([one.by_class.get(name, 0.0) for one in of_recipe]) for name in names]
            failed = sum(bool(one.failure) for one in of_recipe)
            seeds = str(len(of_recipe)) + (f", {failed} failed" if failed else "")
            lead = mean_and_range(paired_leads(trainings, recipe), "+.3f") if recipe != BASE else ""
            rows.append([recipe, mean_and_range([one.ap50 for one in of_recipe]), *by_class, lead, seeds])
    return table(["recipe", "AP50", *(f"`{name}`" for name in names), f"minus `{BASE}`", "seeds"], rows) + "\n"


def paired_leads(trainings: Sequence[Training], recipe: str) -> list[float]:
    """Return AP50 minus that of `ours` with the same seed, for every seed that both have."""
    base = {one.seed: one.ap50 for one in trainings if one.recipe == BASE}
    return [one.ap50 - base[one.seed] for one in trainings if one.recipe == recipe and one.seed in base]


if __name__ == "__main__":
    main()
