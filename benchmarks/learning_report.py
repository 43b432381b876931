"""AP50 by round of active learning, for every mining algorithm: a Markdown table and a plot."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from benchmarks.page import mean_and_range
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS

FIRST = "first"
"""Name in place of an algorithm in round 0, which all algorithms share."""


@dataclass(frozen=True)
class Round:
    """Result of one training."""

    seed: int
    algorithm: str
    round: int
    labelled: list[str]
    """File names of the training images, in the order in which they were added."""
    boxes: int
    """Boxes in these images: the work of an annotator."""
    ap50: float
    seconds: float
    """Wall time of mining and training."""


def format_table(rounds: Sequence[Round]) -> str:
    """Format a Markdown table with a row per algorithm: mean (lowest to highest) over the seeds."""
    sizes = _sizes(rounds)
    heads = ["images labelled", *(str(size) for size in sizes.values()), "minus `random`", "boxes drawn"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for algorithm in _algorithms(rounds):
        cells = [mean_and_range(list(ap50_by_seed(rounds, algorithm, number).values())) for number in sizes]
        lead = mean_and_range(lead_over_random(rounds, algorithm), "+.3f") if algorithm != "random" else ""
        boxes = [one.boxes for one in rounds if (one.algorithm, one.round) == (algorithm, max(sizes))]
        lines.append(f"| {' | '.join([f'`{algorithm}`', *cells, lead, mean_and_range(boxes, '.0f')])} |")
    return "\n".join(lines) + "\n"


def ap50_by_seed(rounds: Sequence[Round], algorithm: str, number: int) -> dict[int, float]:
    """Return seed -> AP50 of one round; round 0 is shared by all algorithms."""
    key = (algorithm if number else FIRST, number)
    return {one.seed: one.ap50 for one in rounds if (one.algorithm, one.round) == key}


def lead_over_random(rounds: Sequence[Round], algorithm: str) -> list[float]:
    """Return for each seed the AP50 minus that of `random`, averaged over the rounds after the first."""
    leads: dict[int, list[float]] = {}
    for number in set(_sizes(rounds)) - {0}:
        base = ap50_by_seed(rounds, "random", number)
        for seed, ap50 in ap50_by_seed(rounds, algorithm, number).items():
            leads.setdefault(seed, []).extend([ap50 - base[seed]] if seed in base else [])
    return [statistics.mean(values) for values in leads.values() if values]


def _sizes(rounds: Sequence[Round]) -> dict[int, int]:
    """Round -> labelled images."""
    return dict(sorted({one.round: len(one.labelled) for one in rounds}.items()))


def _algorithms(rounds: Sequence[Round]) -> list[str]:
    return [name for name in MINING_ALGORITHMS if any(one.algorithm == name for one in rounds)]


def write_report(out: Path, rounds: Sequence[Round]) -> None:
    """Write the table and, where matplotlib is installed, the plot.

    The plot has 800 x 500 pixels, a line per algorithm, and bars from the lowest to the highest of the seeds.
    """
    (out / "active_learning.md").write_text(format_table(rounds), encoding="utf-8")
    try:  # the experiment itself needs no matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: matplotlib is not installed", flush=True)
        return
    figure = Figure(figsize=(8, 5), dpi=100)
    axes = figure.add_subplot(xlabel="labelled images", ylabel="AP50 on the validation set")
    for place, algorithm in enumerate(_algorithms(rounds)):
        ap50s = [(size, ap50_by_seed(rounds, algorithm, number).values()) for number, size in _sizes(rounds).items()]
        points = [(size, statistics.mean(ap50), min(ap50), max(ap50)) for size, ap50 in ap50s if ap50]
        shift = 1.2 * (place - 2.5)  # next to each other, or bars would hide each other; round 0 is shared
        places = [size + (shift if size > points[0][0] else 0) for size, *_ in points]
        bars = [[mean - low for _, mean, low, _ in points], [high - mean for _, mean, _, high in points]]
        style: dict[str, Any] = {"color": "black", "linestyle": "--"} if algorithm == "random" else {}
        means = [mean for _, mean, *_ in points]
        axes.errorbar(places, means, bars, label=algorithm, marker="o", markersize=4, capsize=2, **style)
    axes.set_title(f"Mean over {len({one.seed for one in rounds})} seeds; bars from the lowest to the highest")
    axes.set_xticks(list(_sizes(rounds).values()))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(str(out / "active_learning.png"))
