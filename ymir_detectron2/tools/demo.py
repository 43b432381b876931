"""The whole way on a drawn set: train, mine and infer in one task, infer alone; then a table and a page of pictures.

python3 -m ymir_detectron2.tools.demo --out demo

demo/pictures/              what was drawn
demo/train/  demo/mining-infer/  demo/infer/    task folders: in/ from the platform's side, out/ from the executor
demo/index.html  demo/detections.png
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from ymir_detectron2.errors import ConfigError, ExecutorError, StorageError
from ymir_detectron2.tools.demo_page import FoundBox, Row, write_contact_sheet, write_page
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, draw_pictures
from ymir_detectron2.tools.packed_model import pack_best_stage
from ymir_detectron2.tools.task_folder import LabelledPicture, asset_name, write_task_folder

TRAINING_PICTURES = 160
VALIDATION_PICTURES = 40
CANDIDATES = 40
SEED = 20

TRAINING_CONFIG: dict[str, Any] = {
    "config_file": "configs/CPU/retinanet_R_18_FPN_small.yaml",
    "max_iter": 400,
    "batch_size": 4,
    "learning_rate": 0.01,
    "args_options": "INPUT.MIN_SIZE_TRAIN (160,176,192) INPUT.MIN_SIZE_TEST 176",
}
"""For config.yaml; sized for a few minutes on 2 CPU cores."""

LEAST_AP50 = 0.5
PICTURES_SHOWN = 20

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "start.py"
_MARKER = ".made-by-ymir-demo"
_OWN_FOLDERS = ("pictures", "train", "mining-infer", "infer")


@dataclass(frozen=True)
class DrawnSets:
    """Pictures for each purpose, none in two of them."""

    train: list[LabelledPicture]
    val: list[LabelledPicture]
    candidates: list[LabelledPicture]


@dataclass(frozen=True)
class WallTimes:
    """Seconds from the start of start.py to its end."""

    train: float
    mining_and_infer: float
    infer: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 1 and one sentence on stderr when a task fails or the detector is poor."""
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
    """Draw, run three tasks, report.

    Raises:
        ExecutorError: if a task fails, leaves a result out, or AP50 stays below LEAST_AP50.
    """
    _prepare_folder(out)
    sets = draw_sets(out / "pictures")
    times = _run_tasks(out, sets)
    ap50 = pack_best_stage(out / "train" / "out" / "models").m_ap
    rows = collect_rows(out, ap50, times)
    shown = sets.val[:PICTURES_SHOWN]
    found = load_found_boxes(out / "infer" / "out" / "infer-result.json", shown)
    write_contact_sheet(out / "detections.png", shown, found, CLASS_NAMES)
    write_page(out / "index.html", rows)
    print(f"\n{format_table(rows)}\n\nPictures with the predicted boxes: {out / 'index.html'}", flush=True)
    if not ap50 >= LEAST_AP50:
        raise ExecutorError(f"AP50 is {ap50:.3f}, expected at least {LEAST_AP50}; see the training log above")


def draw_sets(folder: Path) -> DrawnSets:
    """Draw the three sets, each from a seed of its own."""
    return DrawnSets(
        draw_pictures(folder / "train", TRAINING_PICTURES, seed=SEED),
        draw_pictures(folder / "val", VALIDATION_PICTURES, seed=SEED + 1),
        draw_pictures(folder / "candidates", CANDIDATES, seed=SEED + 2),
    )


def collect_rows(out: Path, ap50: float, times: WallTimes) -> list[Row]:
    """Read what the tasks measured of themselves.

    Raises:
        ExecutorError: if a summary is missing or incomplete.
    """
    training = _load_summary(out / "train" / "out" / "train-summary.json", ("seconds_per_step", "steps"))
    speed_keys = ("images", "images_per_second")
    mining = _load_summary(out / "mining-infer" / "out" / "mining-summary.json", speed_keys)
    inference = _load_summary(out / "infer" / "out" / "infer-summary.json", speed_keys)
    return [
        (f"AP50 on {VALIDATION_PICTURES} validation pictures, best stage", f"{ap50:.3f}"),
        (f"training, seconds per step ({training['steps']} steps)", f"{training['seconds_per_step']:.3f}"),
        (f"inference, images/s ({inference['images']} pictures)", f"{inference['images_per_second']:.1f}"),
        (f"mining, images/s ({mining['images']} pictures)", f"{mining['images_per_second']:.1f}"),
        ("wall time: train", f"{times.train:.1f} s"),
        ("wall time: mining + infer", f"{times.mining_and_infer:.1f} s"),
        ("wall time: infer", f"{times.infer:.1f} s"),
    ]


def format_table(rows: Sequence[Row]) -> str:
    """Two columns for a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {value:>{widths[1]}}" for name, value in rows)


def load_found_boxes(result_file: Path, pictures: Sequence[LabelledPicture]) -> list[list[FoundBox]]:
    """Read the boxes of `pictures` from an infer-result.json, in their order.

    Raises:
        ExecutorError: if the file or one of the pictures is missing from it.
    """
    try:
        detection = json.loads(result_file.read_text(encoding="utf-8"))["detection"]
        entries = [detection[asset_name(picture.image)] for picture in pictures]
    except (OSError, ValueError, KeyError) as exc:
        raise ExecutorError(f"{result_file}: does not hold the boxes of every picture ({exc!r})") from exc
    return [
        [
            FoundBox(box["class_name"], box["score"], **box["box"])
            for box in entry.get("boxes") or entry.get("annotations") or []
        ]
        for entry in entries
    ]


def _prepare_folder(out: Path) -> None:
    """Make the folder, or clear what an earlier demo left; a folder with anything else in it is left alone."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARKER).exists())):
        raise ConfigError(f"{out}: holds other things than a demo; choose another folder with --out")
    for name in _OWN_FOLDERS:
        if (out / name).exists():
            shutil.rmtree(str(out / name))
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).touch()


def _run_tasks(out: Path, sets: DrawnSets) -> WallTimes:
    train_env = write_task_folder(
        out / "train", task="train", class_names=CLASS_NAMES, train=sets.train, val=sets.val, config=TRAINING_CONFIG
    )
    seconds_train = _run_task("1/3  train", train_env)
    model = out / "train" / "out" / "models"
    mining_env = write_task_folder(
        out / "mining-infer",
        task="mining+infer",
        class_names=CLASS_NAMES,
        candidates=[picture.image for picture in sets.candidates],
        model=model,
    )
    seconds_mining = _run_task("2/3  mine and infer, in one task, with the trained model", mining_env)
    infer_env = write_task_folder(
        out / "infer",
        task="infer",
        class_names=CLASS_NAMES,
        candidates=[picture.image for picture in sets.val],
        model=model,
    )
    return WallTimes(seconds_train, seconds_mining, _run_task("3/3  infer the validation pictures", infer_env))


def _run_task(headline: str, env_file: Path) -> float:
    """Run start.py as the platform does, its output on this terminal; return the seconds it took."""
    command = [sys.executable, str(START), "--env", str(env_file)]
    print(f"\n=== {headline}\n    {shlex.join(command)}", flush=True)
    started = time.perf_counter()
    status = subprocess.run(command, cwd=str(ROOT), check=False).returncode  # noqa: S603 - this project's own script
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
