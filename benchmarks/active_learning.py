"""Does mining help? Active learning on a set whose labels are hidden: AP50 by images labelled, for every algorithm.

    python3 benchmarks/active_learning.py --out FOLDER [--set NAME=DIR | --set drawn:long-tail]
        [--start FILE.pth --start-config FILE.yaml] [--algorithms cald entropy:conf_threshold=0.3 ..] [--seeds 0 1 ..]

FOLDER/rounds.jsonl, trainings.jsonl   one line per round and per training
FOLDER/active_learning.md, .html and the .png files of the curves: the report, which needs matplotlib for its curves

A curve: images drawn at random are labelled, a network is trained, it mines the rest of the pool, the best are
labelled, a network is trained on all of them, and so on. Every training starts from the same weights and has the same
number of steps, mining and training are tasks by start.py, and all algorithms of a seed share the first training. An
interrupted run continues where it was; seeds and algorithms may be added to a folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.chance import PLAIN, STRATIFIED  # noqa: E402
from benchmarks.experiment import Journal, require_same_settings  # noqa: E402
from benchmarks.labelled_sets import LabelledSet, load_set  # noqa: E402
from benchmarks.learning_curves import CHANCES, Curves  # noqa: E402
from benchmarks.learning_figures import ALT, draw_figures  # noqa: E402
from benchmarks.learning_page import format_page  # noqa: E402
from benchmarks.learning_report import build_tables, describe_experiment, format_tables  # noqa: E402
from benchmarks.learning_rounds import FIRST, LearningCurves, Plan, Round, parse_algorithm  # noqa: E402
from benchmarks.page import publish  # noqa: E402
from benchmarks.shared_trainings import (  # noqa: E402
    SharedTrainings,
    add_training_options,
    read_pairs,
    training_form,
)
from benchmarks.short_training import draw_subset  # noqa: E402
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS  # noqa: E402
from ymir_detectron2.config.prediction_settings import MiningSettings  # noqa: E402
from ymir_detectron2.contract.output_lock import OutputLock  # noqa: E402
from ymir_detectron2.errors import ConfigError  # noqa: E402

_SETTINGS = (
    "set", "start", "start_config", "start_images", "budget", "steps", "image_size", "training", "args_options",
    "mining", "val_images", "precision",
)  # fmt: skip
"""Options that must be the same for all results in a folder; seeds, algorithms and rounds may be added."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the missing rounds, then report all."""
    options = read_arguments(arguments)
    for algorithm in options.algorithms:
        parse_algorithm(algorithm)
    out = options.out.resolve()
    (out / "tasks").mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    data = load_set(options.set, out / "images")
    data = dataclasses.replace(data, val=draw_subset(data.val, options.val_images))
    needed = options.start_images + options.rounds * options.budget
    if needed > len(data.train):
        raise ConfigError(f"{data.name}: {needed} images are to be labelled, of {len(data.train)}; fewer --rounds")
    mining = {"engine": "torch", "precision": options.precision, **read_pairs(options.mining, MiningSettings)}
    with OutputLock(out):  # two processes would tear each other's lines
        journal = Journal(out / "rounds.jsonl", Round)
        trainings = SharedTrainings(out, data, training_form(options), options.start)
        plan = Plan(out, data, options.start_images, options.budget, options.rounds, trainings, mining)
        algorithms = list(dict.fromkeys(options.algorithms))
        try:
            LearningCurves(plan, journal).run_missing(options.seeds, algorithms, options.jobs)
        finally:
            _report(options, data, journal.results)


def _report(options: argparse.Namespace, data: LabelledSet, rounds: Sequence[Round]) -> None:
    """Write the tables, the figures and the page of what is complete; with --docs also a section of that document."""
    shown = {FIRST, *CHANCES, *(options.report or (one.algorithm for one in rounds))}
    rounds = [one for one in rounds if one.algorithm in shown]
    tables, facts = build_tables(rounds), describe_experiment(data, rounds, command_line(options))
    if not tables:
        print("no report: no curve is complete", flush=True)
        return
    section = f"learning-{options.section or data.name}"
    figures = draw_figures(Curves(rounds), data.name)
    for name, png in figures.items():
        (options.out / name).write_bytes(png)
    text = f"{facts}\n\n{format_tables(tables)}"
    (options.out / "active_learning.md").write_text(text, encoding="utf-8")
    page = format_page(f"Active learning on {data.name}", facts, tables, figures)
    (options.out / "active_learning.html").write_text(page, encoding="utf-8")
    if options.docs:
        for name, png in figures.items():
            (options.docs.parent / f"{section}-{name}").write_bytes(png)
        text = "\n\n".join([*(f"![{ALT[name]}]({section}-{name})" for name in figures), text])
    publish(section, text, options.docs)


def command_line(options: argparse.Namespace) -> str:
    """Return the options that decide the results, as they are given, without the places of files."""
    words = []
    for name in _SETTINGS:
        value = getattr(options, name)
        if value not in (None, "", 0, []):
            texts = map(str, value) if isinstance(value, list) else [_without_folder(str(value))]
            words.append(f"--{name.replace('_', '-')} {' '.join(shlex.quote(text) for text in texts)}")
    return f"active_learning.py {' '.join(words)} --rounds {options.rounds}"


def _without_folder(text: str) -> str:
    """Return "pcb=pcb" for "pcb=/data/pcb", and the name of a file; other texts as they are."""
    name, equals, path = text.rpartition("=")
    return f"{name}{equals}{Path(path).name}" if "/" in path else text


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; None is that of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    add_training_options(parser, "drawn:long-tail", steps=150)
    parser.add_argument("--algorithms", nargs="+", default=[PLAIN, STRATIFIED, *_BUT_PLAIN], metavar="NAME[:KEY=VALUE]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--start-images", type=int, default=40, help="drawn at random (%(default)s)")
    parser.add_argument("--budget", type=int, default=40, help="images per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of mining (%(default)s)")
    parser.add_argument("--val-images", type=int, default=0, help="drawn from the validation set; 0: all")
    parser.add_argument("--mining", nargs="+", default=[], metavar="KEY=VALUE", help="for every mining task")
    parser.add_argument("--report", nargs="+", metavar="NAME", help="algorithms of the report; all there are")
    parser.add_argument("--docs", type=Path, metavar="FILE.md", help="document that gets the report")
    parser.add_argument("--section", help="of that document: between the markers of learning-SECTION; the set's name")
    parser.add_argument("--jobs", type=int, default=2, help="curves at a time (%(default)s)")
    return parser.parse_args(arguments)


_BUT_PLAIN = [name for name in MINING_ALGORITHMS if name != PLAIN]


if __name__ == "__main__":
    main()
