"""Time of each step of inference, and how close the network is to the peak throughput of the device.

    python3 -m benchmarks.where_time_goes [--quick]

The steps of the torch engine are run one after the other and timed separately; the pipeline of a task prefetches images
while the network runs. The roofline is a large 3 x 3 convolution over 256 channels, measured here, since most of a
RetinaNet consists of such.
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
"""Dense bf16 throughput by a part of the GPU's name; from NVIDIA's data sheets."""

STEPS = ("decode", "resize", "preprocess", "network", "boxes and NMS", "pixel boxes and JSON")
REPEATS = 5


class Costs(NamedTuple):
    """Costs of one image at one size in one precision."""

    steps_s: dict[str, float]
    pipeline_s: float
    gmac: float
    roofline_gflops: float
    """Throughput of the convolution, measured."""

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
        publish(f"where-{device}", f"{describe_machine(device)} Milliseconds per image.\n\n{content}", arguments.page)


def _measure(device: str, size: Size, precision: str, folder: Path) -> Costs:
    import torch

    from benchmarks.baselines import NUM_CLASSES, Engine, InferenceCase
    from benchmarks.synthetic_data import RETINANET_50, write_images, write_model
    from ymir_detectron2.config.retinanet_config import load_config
    from ymir_detectron2.retinanet.model import build_retinanet

    batch = 16 if device == "cuda" else 1  # a single image does not fill a GPU
    images = write_images(folder / "images", 2 * batch)
    edges = {"INPUT.MIN_SIZE_TEST": size.min_size, "INPUT.MAX_SIZE_TEST": size.max_size}
    package = write_model(folder / "model", RETINANET_50, NUM_CLASSES, images[0], edges)
    model = str(package.weights.parent)
    case = InferenceCase("torch engine", device, batch, precision, size.min_size, size.max_size, model)
    engine = Engine(case)
    blank = case.random_batch()
    with torch.no_grad():
        rounds = [_steps(engine.detector, images[:batch]) for _ in range(REPEATS + 1)][1:]  # the first one warms up
        steps_s = {step: statistics.median(one[step] for one in rounds) for step in STEPS}
        pipeline_s = min(_seconds(lambda: list(engine.predict(images))) for _ in range(2)) / len(images)
        roofline = roofline_gflops(device, precision)
    gmac = conv_gmac(build_retinanet(load_config(RETINANET_50), NUM_CLASSES), tuple(blank.shape[-2:]))
    return Costs(steps_s, pipeline_s, gmac, roofline)


def _steps(detector: Any, paths: list[Path]) -> dict[str, float]:
    """Run the steps one after the other; return the seconds per image of each."""
    from ymir_detectron2.dataset.image_reading import read_image_bgr
    from ymir_detectron2.engines.base_detector import to_detections
    from ymir_detectron2.inference.predict import pixel_boxes
    from ymir_detectron2.inference.tiling import tile_to_image
    from ymir_detectron2.retinanet.layers import autocast
    from ymir_detectron2.tile_windows import Window

    model, taken_s = detector._model, {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        start_s = time.perf_counter()
        result = work()
        _wait_for(detector._device)  # kernels run asynchronously
        taken_s[name] = (time.perf_counter() - start_s) / len(paths)
        return result

    def network() -> Any:
        with autocast(detector._device, detector._autocast_dtype):
            return detector._network(images.to(dtype=model.dtype, memory_format=model.memory_format))

    def decoded() -> Any:
        dense = model.dense(levels, logits, deltas)
        boxes = model.decode(dense, hws, score_threshold=detector.score_threshold)
        return [to_detections(one) for one in boxes]

    def written() -> list[str]:
        rows = []
        for image, seen, one in zip(bgr, pixels, found):
            height, width = image.shape[:2]
            whole = tile_to_image(one, Window(0, 0, width, height), seen.shape[:2])
            rows.append(json.dumps([list(box) for box in pixel_boxes(whole, (height, width), detector.class_names)]))
        return rows

    bgr = step("decode", lambda: [read_image_bgr(path) for path in paths])
    pixels = step("resize", lambda: [detector.load(image) for image in bgr])
    images, hws = step("preprocess", lambda: model.preprocess([detector._to_chw(one) for one in pixels]))
    levels, logits, deltas = step("network", network)
    found = step("boxes and NMS", decoded)
    step("pixel boxes and JSON", written)
    return taken_s


def roofline_gflops(device: str, precision: str) -> float:
    """Measure a 3 x 3 convolution, 256 channels in and out, over 100 x 168 cells as of level P3; best of ten."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    height, width, channels, batch = 100, 168, 256, 16 if device == "cuda" else 1
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cells = torch.randn(batch, channels, height, width).to(device, dtype, memory_format=torch.channels_last)
    passes = 20 if device == "cuda" else 1  # one pass of a GPU is too short to be timed

    def run() -> None:
        for _ in range(passes):
            conv(cells)
        _wait_for(cells.device)

    best_s = min(_seconds(run) for _ in range(10))  # a roofline is an upper bound, so the best counts
    # two operations per multiply-accumulate, nine taps
    return 2 * passes * batch * height * width * channels * channels * 9 / best_s / 1e9


def conv_gmac(network: Any, image_hw: tuple[int, ...]) -> float:
    """Count the multiply-accumulates of all convolutions for one image, in 1e9; nothing is computed."""
    import torch

    macs = []

    def count(conv: torch.nn.Conv2d, _input: Any, output: torch.Tensor) -> None:
        kernel = conv.kernel_size[0] * conv.kernel_size[1] * conv.in_channels // conv.groups
        macs.append(output.numel() * kernel)

    network = network.to("meta")  # shapes only
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
    rows.append(["pipeline with prefetching", *(1000 * one.pipeline_s for one in costs)])
    rows.append(["network, share of all steps", *(_percent(one.steps_s["network"] / s) for one, s in zip(costs, sums))])
    rows.append(["network, GMAC", *(one.gmac for one in costs)])
    rows.append(["network, GFLOP/s", *(one.network_gflops for one in costs)])
    rows.append(["a large convolution, GFLOP/s", *(one.roofline_gflops for one in costs)])
    shares = [_percent(one.network_gflops / one.roofline_gflops) for one in costs]
    rows.append(["network, share of this roofline", *shares])
    return table(["", *columns], rows)


def _nominal(device: str, columns: dict[str, Costs]) -> str:
    import torch

    name = torch.cuda.get_device_name(0) if device == "cuda" else ""
    nominal = [tflops for gpu, tflops in NOMINAL_TFLOPS.items() if gpu in name]
    best = max((one.network_gflops for column, one in columns.items() if "bf16" in column), default=None)
    if not nominal or best is None:
        return ""
    share = _percent(best / 1000 / nominal[0])
    return f"\n\nThe data sheet states {nominal[0]} TFLOP/s in bf16, of which the network reaches {share}."


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
