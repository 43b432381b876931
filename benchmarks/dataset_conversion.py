"""Time and memory of converting a dataset to COCO JSON; 15 s and 1 GiB are promised for 100,000 images.

    python3 -m benchmarks.dataset_conversion [--quick]

Each size is converted once by one process and once by one process per core, each in a separate run, after a pass that
warms the disk cache. Memory is the sum of parent and children, an upper bound.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring import PROJECT_DIR, describe_machine, parse, resident_peak_mib
from benchmarks.page import promise, promises_table, publish, table

SIZES = (1000, 10_000, 100_000)
QUICK_SIZES = (100,)
BOXES_PER_IMAGE = 10
CLASS_NAMES = ["cat", "dog", "bird"]


def write_set(root: Path, count: int) -> Path:
    """Write an index of `count` images, 640 x 480 JPEG, with ten boxes each in ark format."""
    generator = np.random.default_rng(0)
    masters = []  # few real files and many hard links: only the header of an image is read
    for number in range(200):
        path = root / f"master{number}.jpg"
        Image.fromarray(generator.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(path, quality=20)
        masters.append(path)
    lines = []
    for number in range(count):
        folder = root / f"{number % 256:02x}"  # as the platform spreads assets over folders
        folder.mkdir(exist_ok=True)
        image, annotation = folder / f"{number}.jpg", folder / f"{number}.txt"
        image.hardlink_to(masters[number % len(masters)])
        corners = generator.integers(0, 400, (BOXES_PER_IMAGE, 2))
        annotation.write_text("".join(f"{x % 3}, {x}, {y}, {x + 60}, {y + 50}, -1.0, 0.0\n" for x, y in corners))
        lines.append(f"{image}\t{annotation}\n")
    index = root / "index.tsv"
    index.write_text("".join(lines))
    return index


def convert(index: Path, processes: int | None) -> None:
    """Convert one set as a training task does, and print the peak memory in MiB."""
    from ymir_detectron2.contract.data_issues import DataIssues
    from ymir_detectron2.contract.index_file import read_index
    from ymir_detectron2.contract.paths import PathMap
    from ymir_detectron2.dataset.coco_json import write_coco_json
    from ymir_detectron2.dataset.records import read_records

    issues = DataIssues()
    entries = read_index(index, PathMap(index.parent, index.parent), issues, "training")
    records = read_records(entries, CLASS_NAMES, issues, processes=processes)
    write_coco_json(index.with_suffix(f".{processes}.json"), records, CLASS_NAMES)
    children_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    number = len(os.sched_getaffinity(0)) if processes is None else 0
    # ru_maxrss is that of the largest child, taken for all of them: an upper bound
    print(resident_peak_mib() + number * children_mib)


def measure(index: Path, processes: int | None) -> tuple[float, float]:
    """Return the seconds from process start to exit, and MiB."""
    start_s = time.perf_counter()
    work = json.dumps([str(index), processes])
    command = [sys.executable, "-m", "benchmarks.dataset_conversion", "--work", work]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=str(PROJECT_DIR)).stdout
    return time.perf_counter() - start_s, float(output)


def main() -> None:
    """Measure all sizes, or be the worker that converts once."""
    arguments = parse(__doc__.splitlines()[0])
    if arguments.work:
        index, processes = arguments.work
        convert(Path(index), processes)
        return
    rows = []
    for size in QUICK_SIZES if arguments.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            index_file = write_set(Path(folder), size)
            measure(index_file, None)  # warms the disk cache
            one_s, _ = measure(index_file, 1)
            all_s, mib = measure(index_file, None)
        rows.append([size, size * BOXES_PER_IMAGE, one_s, all_s, one_s / all_s, mib])
    columns = ["images", "boxes", "1 process, s", "a process per core, s", "ratio", "MiB"]
    is_largest = size == SIZES[-1]
    promised = [
        promise(f"{SIZES[-1]:,} images, s", most=15, measured=all_s if is_largest else None),
        promise(f"{SIZES[-1]:,} images, MiB", most=1024, measured=mib if is_largest else None),
    ]
    content = f"{describe_machine('cpu')}\n\n{table(columns, rows)}\n\n{promises_table(promised)}"
    publish("conversion", content, arguments.page)


if __name__ == "__main__":
    main()
