"""A batch in parts gives the gradient of the batch; where memory runs out, it is cut by itself."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training_parts import CLASSES, build, config, draw_set, trainer_of
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.gradients import BatchGradients
from ymir_detectron2.training.memory import is_out_of_memory
from ymir_detectron2.training.pictures import TrainingPictures
from ymir_detectron2.training.sampling import Draw

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent


def after_a_step(folder: Path, accumulate: int) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Unclipped and without decay, so that the update is a tenth of the gradient."""
    cfg = config(SOLVER__CLIP_GRADIENTS__ENABLED=False, SOLVER__BASE_LR=0.1, SOLVER__WEIGHT_DECAY=0.0)
    model = build(cfg)
    losses = next(trainer_of(model, cfg, draw_set(folder), accumulate=accumulate).steps()).losses
    return model.state_dict(), losses


def test_two_parts_give_the_losses_and_weights_of_the_whole(tmp_path: Path):
    """Pictures of unlike shapes, which are padded to one size in either case."""
    (whole, losses), (parted, parted_losses) = after_a_step(tmp_path, 1), after_a_step(tmp_path, 2)
    assert parted_losses == pytest.approx(losses, rel=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(parted[name], value, rtol=1e-5, atol=1e-5, msg=name)


class Precise(RetinaNet):
    """In double precision: group normalisation of a few values blows up the rounding of single precision."""

    def preprocess(self, images):
        batch, sizes = super().preprocess(images)
        return batch.double(), sizes


def precise_gradients(folder: Path, parts: int) -> tuple[dict[str, torch.Tensor], float]:
    cfg, data = config(), draw_set(folder)
    torch.manual_seed(0)
    model = Precise(cfg, len(CLASSES)).double()
    pictures = [TrainingPictures(cfg, data, seed=0)[Draw(number, number)] for number in range(len(data))]
    BatchGradients(model, torch.device("cpu"), None, None, parts).compute(pictures)
    return {name: parameter.grad for name, parameter in model.named_parameters()}, model.loss_normalizer


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_any_number_of_parts_gives_the_gradient_and_the_normalizer_of_the_whole(tmp_path: Path, parts: int):
    (whole, normalizer), (parted, of_parts) = precise_gradients(tmp_path, 1), precise_gradients(tmp_path, parts)
    assert of_parts == pytest.approx(normalizer, rel=1e-9)
    for name, gradient in whole.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(parted[name], gradient, rtol=0, atol=1e-5 * scale, msg=name)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 5 bytes"), True),
        (MemoryError("std::bad_alloc"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_mean_memory(error: Exception, expected: bool):
    assert is_out_of_memory(error) is expected


_SMALL_MEMORY = """
import logging, resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
logging.basicConfig(stream=sys.stdout, level=logging.WARNING)
import torch
from tests.training_parts import build, config, draw_set, trainer_of
torch.set_num_threads(1)
cfg = config(SOLVER__IMS_PER_BATCH=8, INPUT__MIN_SIZE_TRAIN=[320], INPUT__MAX_SIZE_TRAIN=400)
model = build(cfg)
warm = trainer_of(model, config(), draw_set(Path({folder!r}))).steps()
next(warm)  # whatever is loaded and kept once
steps = trainer_of(model, cfg, draw_set(Path({folder!r}), [(320, 400)] * 8)).steps()
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = size + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for stats in (next(steps), next(steps)):
    print("step", stats.step, sum(stats.losses.values()))
"""


def in_small_memory(folder: Path, mebibytes: int) -> str:
    code = _SMALL_MEMORY.format(root=str(PROJECT_DIR), folder=str(folder))
    # what is freed goes back to the system at once: the limit counts what the allocator would keep for later
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    found = subprocess.run(
        [sys.executable, "-c", code, str(mebibytes)], capture_output=True, text=True, check=False, env=environment
    )
    return found.stdout + found.stderr


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="this system cannot limit the memory of a process")
def test_where_memory_runs_out_the_batch_is_cut_and_the_losses_stay(tmp_path: Path):
    plenty, scarce = in_small_memory(tmp_path, 16384), in_small_memory(tmp_path, SCARCE_MIB)
    assert "memory ran out" not in plenty, plenty
    assert "from now on a batch of 8 pictures is computed in 2 parts; its gradient stays" in scarce
    losses = [
        [float(line.split()[2]) for line in text.splitlines() if line.startswith("step")] for text in (plenty, scarce)
    ]
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_where_not_even_one_picture_fits_the_run_ends_with_a_sentence(tmp_path: Path):
    assert "OutOfMemoryError: memory ran out with one picture at a time" in in_small_memory(tmp_path, 20)


SCARCE_MIB = 450
"""More than the first step needs in parts, less than it needs at once."""
