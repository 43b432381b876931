"""Run all three tasks on a drawn dataset: train, mine and infer in one task, infer; then print a table and the pages.

python3 -m ymir_detectron2.tools.demo --out demo

demo/images/              the drawn dataset
demo/train/  demo/mining-infer/  demo/infer/    task folders: in/ from the platform's side, out/ from the executor
demo/train/out/report.html ...                  the page of each task; demo/index.html links to them
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

from ..errors import ConfigError, ExecutorError, StorageError
from ..results.page import Section, write_page
from ..results.task_output import PAGE_NAME
from ..version import PROJECT_DIR
from .draw_dataset import CLASS_NAMES, draw_images
from .packed_model import pack_best_stage
from .task_folder import write_task_folder

TRAINING_IMAGES = 160
VALIDATION_IMAGES = 40
CANDIDATES = 40
SEED = 20

TRAINING_CONFIG: dict[str, Any] = {
    "config_file": "configs/CPU/retinanet_R_18_FPN_small.yaml",
    "max_iter": 400,
    "batch_size": 4,
    "learning_rate": 0.01,
    "args_options": "INPUT.MIN_SIZE_TRAIN (160,176,192) INPUT.MIN_SIZE_TEST 176",
}
"""For config.yaml: a small network, small images and few steps, since the demo takes at most ten minutes on 2 cores."""

_AS_A_USER: dict[str, Any] = {"gpu_id": None, "own_names": True}
"""For the task folders, as make_task writes them: a GPU if there is one, and images under their own names."""

MIN_AP50 = 0.5
"""Below, the demo fails: the detector has then learnt less than this dataset allows."""

Row = Tuple[str, str]
"""What was measured, and its value with the unit."""

PAGES = {"train": "Training", "mining-infer": "Mining and inference", "infer": "Inference of the validation images"}
"""Task folder -> what its page shows."""

START = PROJECT_DIR / "start.py"
_MARKER = ".made-by-ymir-demo"
_OWN_FOLDERS = ("images", *PAGES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 1 with one sentence on stderr when a task fails or the detector is poor."""
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="FOLDER")
    out = parser.parse_args(arguments).out.resolve()
    try:
        run_demo(out)
    except (ExecutorError, OSError) as exc:
        sentence = StorageError.from_os_error(out, exc) if isinstance(exc, OSError) else exc
        print(f"demo: {sentence}", file=sys.stderr)
        return 1
    return 0


def run_demo(out: Path) -> None:
    """Draw the dataset, run three tasks, and report.

    Raises:
        ExecutorError: if a task fails or does not write a result, or AP50 stays below MIN_AP50.
    """
    _prepare_folder(out)
    # each from its own seed, so that no image is in two sets
    train = draw_images(out / "images" / "train", TRAINING_IMAGES, seed=SEED)
    val = draw_images(out / "images" / "val", VALIDATION_IMAGES, seed=SEED + 1)
    candidates = draw_images(out / "images" / "candidates", CANDIDATES, seed=SEED + 2)

    env_file = write_task_folder(
        out / "train", task="train", class_names=CLASS_NAMES, train=train, val=val, config=TRAINING_CONFIG, **_AS_A_USER
    )
    wall_s = {"train": _run_task("1/3  train", env_file)}
    model = out / "train" / "out" / "models"
    env_file = write_task_folder(
        out / "mining-infer",
        task="mining+infer",
        class_names=CLASS_NAMES,
        candidates=[image.path for image in candidates],
        model=model,
        **_AS_A_USER,
    )
    wall_s["mining + infer"] = _run_task("2/3  mine and infer, in one task, with the trained model", env_file)
    # for its page only: AP50 is that of the training's own evaluation
    env_file = write_task_folder(
        out / "infer",
        task="infer",
        class_names=CLASS_NAMES,
        candidates=[image.path for image in val],
        model=model,
        **_AS_A_USER,
    )
    wall_s["infer"] = _run_task("3/3  infer the validation images", env_file)

    ap50 = pack_best_stage(model).m_ap
    rows = collect_rows(out, ap50, wall_s)
    pages = find_pages(out)
    write_index(out / "index.html", rows)
    listed = "\n".join(f"  {title}: {page}" for title, page in pages.items())
    print(f"\n{format_table(rows)}\n\nThe pages of the results, for a browser:\n{listed}", flush=True)
    # last, so that the pages show what went wrong; written so that NaN fails as well
    if not ap50 >= MIN_AP50:
        raise ExecutorError(f"AP50 is {ap50:.3f}, expected at least {MIN_AP50}; see the training log above")


def collect_rows(out: Path, ap50: float, wall_s: Mapping[str, float]) -> list[Row]:
    """Read the summaries that the tasks wrote, as rows of the table.

    Args:
        out: the folder of the demo.
        ap50: of the best stage.
        wall_s: seconds from the start of start.py to its end, by task.

    Raises:
        ExecutorError: if a summary is missing or incomplete.
    """
    training = _load_summary(out / "train" / "out" / "train-summary.json", ("seconds_per_step", "steps"))
    speed_keys = ("images", "images_per_second")
    mining = _load_summary(out / "mining-infer" / "out" / "mining-summary.json", speed_keys)
    inference = _load_summary(out / "infer" / "out" / "infer-summary.json", speed_keys)
    return [
        (f"AP50 on {VALIDATION_IMAGES} validation images, best stage", f"{ap50:.3f}"),
        (f"training, seconds per step ({training['steps']} steps)", f"{training['seconds_per_step']:.3f}"),
        (f"inference, images/s ({inference['images']} images)", f"{inference['images_per_second']:.1f}"),
        (f"mining, images/s ({mining['images']} images)", f"{mining['images_per_second']:.1f}"),
        *((f"wall time: {task}", f"{seconds:.1f} s") for task, seconds in wall_s.items()),
    ]


def format_table(rows: Sequence[Row]) -> str:
    """Align rows in two columns for a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {value:>{widths[1]}}" for name, value in rows)


def find_pages(out: Path) -> dict[str, Path]:
    """Return the page of each task by its title.

    Raises:
        ExecutorError: a task has left none.
    """
    pages = {title: out / folder / "out" / PAGE_NAME for folder, title in PAGES.items()}
    for page in pages.values():
        if not page.is_file():
            raise ExecutorError(f"{page}: was not written; a warning of its task above says why")
    return pages


def write_index(file: Path, rows: Sequence[Row]) -> None:
    """Write the page with the table and the links to the pages of the tasks, which stay valid if the folder moves."""
    links = [(f"{folder}/out/{PAGE_NAME}", title) for folder, title in PAGES.items()]
    context = {"rows": rows, "links": links}
    write_page(file, "Demo: train, mine, infer", "", [Section("demo", "Demo", "demo.html.j2", context)])


def _prepare_folder(out: Path) -> None:
    """Make the folder, or remove the results of an earlier demo; refuse a folder with anything else in it."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARKER).exists())):
        raise ConfigError(f"{out}: holds other things than a demo; choose another folder with --out")
    for name in _OWN_FOLDERS:  # and no more: files that somebody added stay
        if (out / name).exists():
            shutil.rmtree(str(out / name))
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).touch()


def _run_task(headline: str, env_file: Path) -> float:
    """Run start.py as the platform does, with its output on this terminal; return the seconds it took."""
    # a process of its own: the demo shows the log, and measures what a user waits for, imports included
    command = [sys.executable, str(START), "--env", str(env_file)]
    print(f"\n=== {headline}\n    {shlex.join(command)}", flush=True)
    started = time.perf_counter()
    # Ctrl-C reaches start.py from the terminal, which saves its work; `subprocess` would kill it after 0.25 s
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        status = subprocess.call(command, cwd=str(PROJECT_DIR))  # noqa: S603 - this project's own script
    finally:
        signal.signal(signal.SIGINT, handler)
    if status != 0:
        raise ExecutorError(f"{headline}: start.py ended with status {status}; its last line above says why")
    return time.perf_counter() - started


def _load_summary(file: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        return {key: summary[key] for key in keys}
    except (OSError, ValueError, KeyError) as exc:
        raise ExecutorError(f"{file}: does not hold {' and '.join(keys)} ({exc!r}); the task did not finish") from exc


if __name__ == "__main__":
    sys.exit(main())
