"""A batch in micro-batches gives the gradient of the batch; where memory runs out, it is split."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny_training import CLASSES, CPU, PROJECT_DIR, build, config, draw_set, trainer_of
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.gradient_accumulation import GradientAccumulator
from ymir_detectron2.training.samples import TrainingDataset
from ymir_detectron2.training.sampling import SampleIndex


def after_a_step(folder: Path, accumulate: int) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Unclipped and without decay, so that the update is a tenth of the gradient."""
    cfg = config(SOLVER__CLIP_GRADIENTS__ENABLED=False, SOLVER__BASE_LR=0.1, SOLVER__WEIGHT_DECAY=0.0)
    model = build(cfg)
    losses = trainer_of(model, cfg, draw_set(folder), accumulate=accumulate).train_step(1).losses
    return model.state_dict(), losses


def test_two_micro_batches_give_the_losses_and_weights_of_the_whole(tmp_path: Path):
    """Images of unlike shapes, which are padded to one size in either case."""
    (whole, losses), (split, split_losses) = after_a_step(tmp_path, 1), after_a_step(tmp_path, 2)
    assert split_losses == pytest.approx(losses, rel=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(split[name], value, rtol=1e-5, atol=1e-5, msg=name)


class PreciseRetinaNet(RetinaNet):
    """In double precision: group normalisation of a few values amplifies the rounding of single precision."""

    def preprocess(self, images):
        batch, sizes = super().preprocess(images)
        return batch.double(), sizes


def precise_gradients(folder: Path, micro_batches: int) -> tuple[dict[str, torch.Tensor], float]:
    cfg, data = config(), draw_set(folder)
    torch.manual_seed(0)
    model = PreciseRetinaNet(cfg, len(CLASSES)).double()
    images = [TrainingDataset(cfg, data, seed=0)[SampleIndex(number, number)] for number in range(len(data))]
    GradientAccumulator(model, CPU, None, None, micro_batches).compute(images)
    return {name: parameter.grad for name, parameter in model.named_parameters()}, model.loss_normalizer


@pytest.fixture(scope="module")
def whole_batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], float]:
    return precise_gradients(tmp_path_factory.mktemp("whole"), 1)


@pytest.mark.parametrize("micro_batches", [2, 3, 9])
def test_any_number_of_micro_batches_gives_gradient_and_normalizer_of_the_whole(
    tmp_path: Path, whole_batch: tuple[dict[str, torch.Tensor], float], micro_batches: int
):
    gradients, normalizer = precise_gradients(tmp_path, micro_batches)
    assert normalizer == pytest.approx(whole_batch[1], rel=1e-9)
    for name, expected in whole_batch[0].items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(gradients[name], expected, rtol=0, atol=1e-5 * scale, msg=name)


SCARCE_MIB, TINY_MIB = 450, 20
"""More than the first step needs in micro-batches and less than it needs at once; less than one image needs."""

_STEPS_IN_SCARCE_MEMORY = """
import gc, logging, resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
import torch
from tests.tiny_training import build, config, draw_set, trainer_of
from ymir_detectron2.errors import OutOfMemoryError

folder = Path({folder!r})
cfg = config(SOLVER__IMS_PER_BATCH=8, INPUT__MIN_SIZE_TRAIN=[320], INPUT__MAX_SIZE_TRAIN=400)
trainer_of(build(cfg), config(), draw_set(folder)).train_step(1)  # whatever is loaded and kept once
data = draw_set(folder, [(320, 400)] * 8)
for mebibytes in {limits}:
    trainer = trainer_of(build(cfg), cfg, data)
    gc.collect()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + mebibytes * 2**20, hard))
    print("LIMIT", flush=True)
    try:
        for step in (1, 2):
            print("losses", sum(trainer.train_step(step).losses.values()), flush=True)
    except OutOfMemoryError as error:
        print("OutOfMemoryError:", error, flush=True)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    del trainer
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The output of two steps by the memory that they had, in MiB."""
    if not hasattr(resource, "RLIMIT_AS"):
        pytest.skip("this system cannot limit the memory of a process")
    folder, limits = tmp_path_factory.mktemp("memory"), (16384, SCARCE_MIB, TINY_MIB)
    code = _STEPS_IN_SCARCE_MEMORY.format(root=str(PROJECT_DIR), folder=str(folder), limits=limits)
    # what is freed goes back to the system at once: the limit counts what the allocator would keep for later
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    _, *parts = run.stdout.split("LIMIT\n")
    return dict(zip(limits, parts))


def losses_in(output: str) -> list[float]:
    return [float(line.split()[1]) for line in output.splitlines() if line.startswith("losses")]


def test_where_memory_runs_out_the_batch_is_split_and_the_losses_stay(outputs: dict[int, str]):
    plenty, scarce = outputs[16384], outputs[SCARCE_MIB]
    assert "memory ran out" not in plenty
    assert "from now on a batch of 8 images is computed in 2 micro-batches, and its gradient stays" in scarce
    assert len(losses_in(plenty)) == 2
    assert losses_in(scarce) == pytest.approx(losses_in(plenty), rel=1e-4)


def test_where_not_even_one_image_fits_the_run_ends_with_a_sentence(outputs: dict[int, str]):
    assert "OutOfMemoryError: memory ran out with one image at a time" in outputs[TINY_MIB]
    assert losses_in(outputs[TINY_MIB]) == []
