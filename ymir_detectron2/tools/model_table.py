"""The table of published models in README.md and README.zh-CN.md: detectron2's figures beside those of this project.

Published figures are in `published_weights.py`. Ours are read from docs/benchmarks.md, into which `make bench` writes
them; a device on which nothing has been measured has no row.
"""

from __future__ import annotations

import itertools
import re
from typing import Iterator, NamedTuple, Sequence

from ..retinanet.weights import SHORT, STORE
from .published_weights import PUBLISHED, PublishedWeights

_NETWORK_SIZE = "800 x 1333"
"""Of the images of the large network in docs/benchmarks.md, and of COCO's in detectron2's configs."""
_MEASURED_NETWORK = "R50"
_ENGINE = "torch engine"


class _Words(NamedTuple):
    columns: tuple[str, ...]
    published: str
    measured: str
    not_measured: str
    batch: str


_WORDS = {
    "en": _Words(
        ("model", "lr sched", "figures", "train (s/iter)", "inference (s/im)", "train memory", "box AP", "download"),
        "published by detectron2, V100", "measured, ", "not measured", "batch {}",
    ),
    "zh": _Words(
        ("模型", "lr sched", "数据来源", "训练 (s/iter)", "推理 (s/im)", "训练显存/内存", "box AP", "下载"),
        "detectron2 公布，V100", "实测，", "未测", "batch {}",
    ),
}  # fmt: skip


class Measurement(NamedTuple):
    """Figures of the torch engine in one precision on one machine, from docs/benchmarks.md."""

    precision: str
    train_s_per_iteration: float
    train_batch: int
    inference_s_per_image: float
    train_memory_gib: float


def model_table(language: str, benchmarks: str) -> str:
    """Return the table: for each model what detectron2 publishes, and then what was measured here.

    Args:
        language: "en" or "zh".
        benchmarks: the text of docs/benchmarks.md.
    """
    words = _WORDS[language]
    rows: list[Sequence[str]] = [words.columns, ["---"] * len(words.columns)]
    detectors = [weights for weights in PUBLISHED.values() if weights.box_ap is not None]
    for network, same in itertools.groupby(detectors, _network_of):
        rows += [_published_row(weights, words) for weights in same]
        rows += _measured_rows(network, benchmarks, words)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _network_of(weights: PublishedWeights) -> str:
    """Return the short name of the backbone: R50 of coco-R-50-1x."""
    return "".join(weights.name.split("-")[1:3])


def _published_row(weights: PublishedWeights, words: _Words) -> Sequence[str]:
    speed, box_ap = weights.speed, weights.box_ap
    assert speed is not None and box_ap is not None, "of a detector"  # noqa: PT018
    address = STORE + weights.reference[len(SHORT) :]
    return (
        f"[{_network_of(weights)}](configs/{weights.config})", speed.schedule, words.published,
        f"{speed.train_s_per_iteration:.3f} ({words.batch.format(16)})", f"{speed.inference_s_per_image:.3f}",
        f"{speed.train_memory_gb} GB", f"{100 * box_ap:.1f}", f"[{weights.name}]({address})",
    )  # fmt: skip


def _measured_rows(network: str, benchmarks: str, words: _Words) -> Iterator[Sequence[str]]:
    devices = ("cpu", "cuda") if network == _MEASURED_NETWORK else ()
    measurements = [(device, found) for device in devices for found in read_measurements(benchmarks, device)]
    for device, measured in measurements:
        yield (
            network, "", f"{words.measured}{machine_of(benchmarks, device)}, {measured.precision}",
            f"{measured.train_s_per_iteration:.3g} ({words.batch.format(measured.train_batch)})",
            f"{measured.inference_s_per_image:.3g}", f"{measured.train_memory_gib:.1f} GiB", words.not_measured, "",
        )  # fmt: skip
    if not measurements:
        yield (network, "", *[words.not_measured] * 5, "")


def machine_of(benchmarks: str, device: str) -> str:
    """Return the machine that has measured on a device, "cpu" or "cuda"; '' where there is none."""
    found = re.search(r"^Measured on (.*?), Python", _section(benchmarks, f"training-{device}"), re.MULTILINE)
    # of the processor, the name is enough here
    return re.sub(r" \([^)]*\)", "", found[1]) if found else ""


def read_measurements(benchmarks: str, device: str) -> Iterator[Measurement]:
    """Yield what docs/benchmarks.md has of the torch engine on a device, in each precision that was measured.

    Raises:
        ValueError: a figure is missing, or not a number.
    """
    training, batch = _rows(_section(benchmarks, f"training-{device}"))
    inference, _ = _rows(_section(benchmarks, f"inference-{device}"))
    speeds = {row[2]: float(row[3]) for row in inference if row[:2] == [_ENGINE, "1"]}
    for row in training:
        if row[0] == _ENGINE:
            images_per_s, memory_mib = float(row[2]), float(row[4].replace(",", ""))
            yield Measurement(row[1], batch / images_per_s, batch, 1 / speeds[row[1]], memory_mib / 1024)


def _section(benchmarks: str, name: str) -> str:
    found = re.search(f"<!-- measured: {name} -->(.*?)<!-- end of {name} -->", benchmarks, re.DOTALL)
    if found is None:
        raise ValueError(f"docs/benchmarks.md has no section {name!r}")
    return found[1]


def _rows(section: str) -> tuple[list[list[str]], int]:
    """Return the rows of the first table for images of the large network, and its batch size; none: not measured."""
    found = re.search(rf"^{_NETWORK_SIZE}(?:, batch (\d+))?:\n+((?:\|.*\n)+)", section, re.MULTILINE)
    if found is None:
        return [], 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[2].splitlines()]
    return rows[2:], int(found[1] or 1)
