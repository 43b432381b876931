"""What a picture costs on its way to boxes, step by step, and how far the network is from what the device can do.

    python3 -m benchmarks.where_time_goes [--quick]

The steps of the torch engine are run one after the other and timed by themselves; the last line of the table is the
real stream, which reads pictures while the network works. The roof is a large 3 x 3 convolution over 256 channels,
measured here, since that is what most of a RetinaNet is.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from benchmarks.inference_speed import QUICK_SIZES, SIZES, Size
from benchmarks.measuring import describe_machine, devices, has_bf16, parse
from benchmarks.page import publish, table

NOMINAL_TFLOPS = {"H100": 989, "H200": 989}
"""Dense bf16, by what the name of a GPU holds; from NVIDIA's data sheets."""

STEPS = ("decode", "resize", "preprocess", "network", "boxes and NMS", "whole pixels and JSON")
REPEATS = 5


class Costs(NamedTuple):
    """Of one picture at one size in one precision."""

    steps_s: dict[str, float]
    stream_s: float
    gmac: float
    roof_gflops: float
    """Of the convolution, measured."""

    @property
    def network_gflops(self) -> float:
        return 2 * self.gmac / self.steps_s["network"]


def main() -> None:
    """Measure all devices."""
    arguments = parse(__doc__.splitlines()[0])
    for device in devices():
        columns = {}
        for size in (QUICK_SIZES if arguments.quick else SIZES)[device]:
            for precision in ("fp32", "bf16") if has_bf16(device) else ("fp32",):
                with tempfile.TemporaryDirectory() as folder:
                    columns[f"{size.name}, {precision}"] = _measure(device, size, precision, Path(folder))
        content = f"{_table(columns)}{_nominal(device, columns)}"
        publish(f"where-{device}", f"{describe_machine(device)} Milliseconds per picture.\n\n{content}", arguments.page)


def _measure(device: str, size: Size, precision: str, folder: Path) -> Costs:
    import torch

    from benchmarks.rivals import NUM_CLASSES, Engine, Look
    from benchmarks.stand_ins import RETINANET_50, write_model, write_pictures
    from ymir_detectron2.retinanet.config import load_config
    from ymir_detectron2.retinanet.model import build_retinanet

    batch = 16 if device == "cuda" else 1
    pictures = write_pictures(folder / "pictures", 2 * batch)
    edges = {"INPUT.MIN_SIZE_TEST": size.min_size, "INPUT.MAX_SIZE_TEST": size.max_size}
    package = write_model(folder / "model", RETINANET_50, NUM_CLASSES, pictures[0], edges)
    look = Look("torch engine", device, batch, precision, size.min_size, size.max_size, str(package.weights.parent))
    engine = Engine(look)
    blank = look.blank_batch()
    with torch.no_grad():
        rounds = [_steps(engine.detector, pictures[:batch]) for _ in range(REPEATS + 1)][1:]  # the first one warms up
        steps_s = {step: statistics.median(one[step] for one in rounds) for step in STEPS}
        stream_s = min(_seconds(lambda: list(engine.boxes(pictures))) for _ in range(2)) / len(pictures)
        roof = roof_gflops(device, precision)
    gmac = conv_gmac(build_retinanet(load_config(RETINANET_50), NUM_CLASSES), tuple(blank.shape[-2:]))
    return Costs(steps_s, stream_s, gmac, roof)


def _steps(detector: Any, paths: list[Path]) -> dict[str, float]:
    """Seconds per picture of each step."""
    from ymir_detectron2.dataset.image_reading import read_image_bgr
    from ymir_detectron2.engines.picture_detector import to_detections
    from ymir_detectron2.inference.parts import Window, to_picture
    from ymir_detectron2.inference.pixel_boxes import pixel_boxes
    from ymir_detectron2.retinanet.precision import autocast

    model, taken_s = detector._model, {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        start_s = time.perf_counter()
        result = work()
        _wait_for(detector._device)
        taken_s[name] = (time.perf_counter() - start_s) / len(paths)
        return result

    def network() -> Any:
        with autocast(detector._device, detector._autocast_dtype):
            return detector._network(images.to(dtype=model.dtype, memory_format=model.memory_format))

    def decoded() -> Any:
        dense = model.dense(levels, logits, deltas)
        boxes = model.decode(dense, hws, score_threshold=detector._score_threshold)
        return [to_detections(one) for one in boxes]

    def written() -> list[str]:
        rows = []
        for image, seen, one in zip(bgr, pixels, found):
            height, width = image.shape[:2]
            whole = to_picture(one, Window(0, 0, width, height), seen.shape[:2])
            rows.append(json.dumps([list(box) for box in pixel_boxes(whole, (height, width), detector.class_names)]))
        return rows

    bgr = step("decode", lambda: [read_image_bgr(path) for path in paths])
    pixels = step("resize", lambda: [detector.load(image) for image in bgr])
    images, hws = step("preprocess", lambda: model.preprocess([detector._to_chw(one) for one in pixels]))
    levels, logits, deltas = step("network", network)
    found = step("boxes and NMS", decoded)
    step("whole pixels and JSON", written)
    return taken_s


def roof_gflops(device: str, precision: str) -> float:
    """The best of some runs of a 3 x 3 convolution, 256 channels in and out, over 100 x 168 cells as of level P3."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    height, width, channels, batch = 100, 168, 256, 16 if device == "cuda" else 1
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cells = torch.randn(batch, channels, height, width).to(device, dtype, memory_format=torch.channels_last)
    passes = 20 if device == "cuda" else 1

    def run() -> None:
        for _ in range(passes):
            conv(cells)
        _wait_for(cells.device)

    best_s = min(_seconds(run) for _ in range(10))
    return 2 * passes * batch * height * width * channels * channels * 9 / best_s / 1e9


def conv_gmac(network: Any, image_hw: tuple[int, ...]) -> float:
    """1e9 multiplications and additions of all convolutions for one picture; computes nothing."""
    import torch

    macs = []

    def count(conv: torch.nn.Conv2d, _input: Any, output: torch.Tensor) -> None:
        kernel = conv.kernel_size[0] * conv.kernel_size[1] * conv.in_channels // conv.groups
        macs.append(output.numel() * kernel)

    network = network.to("meta")
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.head(network.features(torch.empty(1, 3, *image_hw, device="meta")))
    return sum(macs) / 1e9


def _table(columns: dict[str, Costs]) -> str:
    costs = list(columns.values())
    rows: list[list[Any]] = [[step, *(1000 * one.steps_s[step] for one in costs)] for step in STEPS]
    sums = [sum(one.steps_s.values()) for one in costs]
    rows.append(["all steps", *(1000 * one for one in sums)])
    rows.append(["the stream, which reads ahead", *(1000 * one.stream_s for one in costs)])
    rows.append(["network, share of all steps", *(_percent(one.steps_s["network"] / s) for one, s in zip(costs, sums))])
    rows.append(["network, GMAC", *(one.gmac for one in costs)])
    rows.append(["network, GFLOP/s", *(one.network_gflops for one in costs)])
    rows.append(["a large convolution, GFLOP/s", *(one.roof_gflops for one in costs)])
    rows.append(["network, share of that roof", *(_percent(one.network_gflops / one.roof_gflops) for one in costs)])
    return table(["", *columns], rows)


def _nominal(device: str, columns: dict[str, Costs]) -> str:
    import torch

    name = torch.cuda.get_device_name(0) if device == "cuda" else ""
    roofs = [tflops for part, tflops in NOMINAL_TFLOPS.items() if part in name]
    best = max((one.network_gflops for column, one in columns.items() if "bf16" in column), default=None)
    if not roofs or best is None:
        return ""
    share = _percent(best / 1000 / roofs[0])
    return f"\n\nThe data sheet says {roofs[0]} TFLOP/s in bf16, of which the network reaches {share}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _seconds(work: Callable[[], Any]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def _wait_for(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
