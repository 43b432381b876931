"""How long it takes to convert a dataset to COCO JSON, and how much memory: the promise is 15 s and 1 GiB for 100,000.

    python3 benchmarks/dataset_conversion.py [--sizes 1000 10000 100000]

Each size is converted once by one process and once by one per processor, in turn, in processes of their own, after a
pass that warms the disk cache. Memory is the sum of parent and children, an upper bound.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT_DIR = Path(__file__).resolve().parent.parent
BOXES_PER_IMAGE = 10
CLASS_NAMES = ["cat", "dog", "bird"]


def write_set(root: Path, count: int) -> Path:
    """An index of `count` pictures, 640 x 480 JPEG, with ten boxes each in ark form."""
    generator = np.random.default_rng(0)
    masters = []
    for number in range(200):
        path = root / f"master{number}.jpg"
        Image.fromarray(generator.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(path, quality=20)
        masters.append(path)
    lines = []
    for number in range(count):
        folder = root / f"{number % 256:02x}"
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
    """What a training task does with one set."""
    from ymir_detectron2.contract.findings import Findings
    from ymir_detectron2.contract.index_file import read_index
    from ymir_detectron2.contract.paths import PathMap
    from ymir_detectron2.dataset.coco_json import write_coco_json
    from ymir_detectron2.dataset.records import read_records

    findings = Findings()
    entries = read_index(index, PathMap(index.parent, index.parent), findings, "training")
    records = read_records(entries, CLASS_NAMES, findings, processes=processes)
    write_coco_json(index.with_suffix(f".{processes}.json"), records, CLASS_NAMES)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (processes or len(os.sched_getaffinity(0)))
    print((own + (children if processes != 1 else 0)) / 1024)


def measure(index: Path, processes: int | None) -> tuple[float, float]:
    """Seconds from process start to exit, and MiB."""
    start_s = time.perf_counter()
    command = [sys.executable, __file__, "--convert", str(index), str(processes or 0)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - start_s, float(output)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        convert(Path(arguments.convert[0]), int(arguments.convert[1]) or None)
        return
    print("| images | boxes | 1 process, s | all processors, s | ratio | memory, MiB |\n|---|---|---|---|---|---|")
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            index = write_set(Path(folder), size)
            measure(index, None)
            one_s, _ = measure(index, 1)
            all_s, mib = measure(index, None)
            boxes = size * BOXES_PER_IMAGE
            print(f"| {size:,} | {boxes:,} | {one_s:.1f} | {all_s:.1f} | {one_s / all_s:.2f} | {mib:.0f} |")


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT_DIR))
    main()
