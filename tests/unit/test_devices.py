"""Devices and arithmetic, for machines that this one is not: torch's own answers are replaced, our code is not."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
import torch

from tests.running import PROJECT_DIR, TINY_CONFIG, free_port
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.arithmetic import DeviceFacts
from ymir_detectron2.engines.devices import (
    choose_arithmetic,
    choose_device,
    configure_cuda,
    describe_arithmetic,
    describe_device,
    loader_workers,
    read_facts,
)
from ymir_detectron2.errors import GpuKernelError, NoGpuError
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
CURRENT_GPUS: list[int] = []
"""What torch was told, in order."""
FALLBACK = "precision: bf16 on the CPU needs torch 2.0 or later and a processor with AVX-512"

PREDICT = """
import logging, sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
import numpy as np
import torch
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.devices import read_facts
from ymir_detectron2.engines.torch_engine import TorchEngine

logging.basicConfig(stream=sys.stdout, format="%(message)s")
package = ModelPackage(Path(sys.argv[1]), Path(sys.argv[2]), ("a", "b"), "model_params_path")
options = DetectorOptions(InferSettings(precision="bf16"), (), 0.0, 1, {}, ("a", "b"))
detector = TorchEngine().load_detector(package, options)
detections = detector.detect([np.zeros((64, 64, 3), np.uint8)])[0]
print(read_facts(torch.device("cpu")).has_bf16, detector._model.dtype, len(detections) > 0)
"""


DECIDE = """
import torch
from ymir_detectron2 import distributed
from ymir_detectron2.engines.devices import choose_arithmetic
cpu = torch.device("cpu")
distributed.init_process_group(cpu)
print(choose_arithmetic("bf16", cpu, "RetinaNet"))
distributed.destroy_process_group()
"""


def set_bf16_support(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    """Let torch say what it says on a processor with or without bf16."""
    # the whole namespace: that of torch 1.10 raises for an operator that it does not have, even to be replaced
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: answer))


class OperatorsOfTorch110:
    """The namespace of operators of torch 1.10, of which none is there."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"No such operator mkldnn::{name}")


def set_gpus(monkeypatch: pytest.MonkeyPatch, count: int, capability: tuple[int, int], built_for: list[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda gpu: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: "Test GPU")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)
    monkeypatch.setattr(torch.cuda, "set_device", CURRENT_GPUS.append)


def test_facts_of_the_processor_are_those_that_torch_states(monkeypatch: pytest.MonkeyPatch):
    for answer in (True, False):
        set_bf16_support(monkeypatch, answer)
        assert read_facts(CPU).onednn_has_bf16 is answer
        assert read_facts(CPU).has_bf16 is answer
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert read_facts(CPU).onednn_has_bf16 is False


@pytest.mark.parametrize("operators", [SimpleNamespace, OperatorsOfTorch110])
def test_a_torch_that_cannot_tell_lacks_bf16_elsewhere_too(monkeypatch: pytest.MonkeyPatch, operators: type):
    monkeypatch.setattr(torch.ops, "mkldnn", operators())
    assert read_facts(CPU) == DeviceFacts(onednn_has_bf16=False)


def test_facts_of_a_gpu_are_those_of_this_one(monkeypatch: pytest.MonkeyPatch):
    """Not those of the current one; and torch's own answer of today, True by emulation, is not asked for."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: {0: (8, 0), 1: (7, 5)}[device.index])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    assert read_facts(GPU) == DeviceFacts((8, 0), 12)
    assert choose_arithmetic("auto", GPU, "RetinaNet") is torch.bfloat16
    assert choose_arithmetic("auto", torch.device("cuda", 1), "RetinaNet") is None


def test_what_is_not_as_asked_is_logged_by_the_first_process_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    set_bf16_support(monkeypatch, False)
    assert choose_arithmetic("bf16", CPU, "RetinaNet") is None
    assert choose_arithmetic("auto", CPU, "RetinaNet") is None
    (sentence,) = caplog.messages
    assert re.match(FALLBACK + ".*; computing in fp32", sentence)
    monkeypatch.setenv("RANK", "1")
    assert choose_arithmetic("bf16", CPU, "RetinaNet") is None
    assert caplog.messages == [sentence]


def test_a_real_process_predicts_in_bf16_or_says_why_not(tmp_path: Path):
    """oneDNN is limited to AVX2, as on a processor without AVX-512, where its bf16 convolution raises."""
    torch.manual_seed(0)
    weights, cfg = tmp_path / "model.pth", load_config(TINY_CONFIG)
    write_checkpoint(weights, build_retinanet(cfg, 2).state_dict(), {"class_names": ["a", "b"]})
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(weights), str(TINY_CONFIG)], cwd=PROJECT_DIR, capture_output=True,
        text=True, check=False, timeout=120, env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    *warnings, last = done.stdout.splitlines()
    if last.startswith("True"):  # the limit says nothing to ARM's kernels
        assert (warnings, last) == ([], "True torch.bfloat16 True")
    else:
        assert last == "False torch.float32 True"
        assert [line.startswith(FALLBACK) for line in warnings] == [True]


def test_processes_of_a_training_agree_on_what_all_of_them_have():
    """As on two machines, of which the second has AVX2 only: the gradients that are averaged are all in fp32."""
    rendezvous = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    machines = ({"RANK": "0"}, {"RANK": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"})
    processes = [
        subprocess.Popen([sys.executable, "-c", DECIDE], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.STDOUT, env={**os.environ, **rendezvous, **machine})
        for machine in machines
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    last = "torch.bfloat16" if read_facts(CPU).has_bf16 and platform.machine() != "x86_64" else "None"
    assert [lines[-1] for lines in outputs] == [last, last], outputs
    if last == "None":
        assert [any(line.startswith(FALLBACK) for line in lines) for lines in outputs] == [True, False]


@pytest.mark.parametrize(
    ("gpu_ids", "local_rank", "count", "expected"),
    [
        pytest.param((), 0, 2, CPU, id="the CPU, although there are GPUs"),
        pytest.param(None, 0, 0, CPU, id="whatever there is: no GPU"),
        pytest.param(None, 1, 2, torch.device("cuda", 1), id="whatever there is: the GPU of this process"),
        pytest.param((1,), 0, 2, torch.device("cuda", 1), id="one GPU by its number"),
        pytest.param((2, 0), 1, 3, torch.device("cuda", 0), id="the second of two"),
    ],
)
def test_device_of_a_process(
    gpu_ids: tuple[int, ...] | None, local_rank: int, count: int, expected: torch.device,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    set_gpus(monkeypatch, count, (8, 0), ["sm_80"])
    CURRENT_GPUS.clear()
    assert choose_device(gpu_ids, local_rank) == expected
    assert ([] if expected.type == "cpu" else [expected.index]) == CURRENT_GPUS


@pytest.mark.parametrize(
    ("gpu_ids", "count", "warns"), [((), 2, True), ((), 0, False), (None, 0, False), (None, 2, False), ((0,), 2, False)]
)
def test_the_cpu_although_there_is_a_gpu_is_one_warning(
    gpu_ids: tuple[int, ...] | None, count: int, warns: bool, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    set_gpus(monkeypatch, count, (8, 0), ["sm_80"])
    choose_device(gpu_ids, 0)
    expected = "gpu_id: '' asks for the CPU, but there is a GPU; leave gpu_id out, or set it to '0', to use it"
    assert caplog.messages == [expected] * warns


@pytest.mark.parametrize("count", [0, 2])
def test_a_gpu_that_is_not_there(count: int, monkeypatch: pytest.MonkeyPatch):
    set_gpus(monkeypatch, count, (8, 0), ["sm_80"])
    with pytest.raises(NoGpuError, match=rf"^gpu_id: GPU 2 was asked for, but {count} can be seen; "):
        choose_device((2,), 0)


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        pytest.param((8, 0), ["sm_70", "sm_80"], True, id="built for this one"),
        pytest.param((8, 6), ["sm_80"], True, id="a minor version later"),
        pytest.param((8, 0), ["sm_86"], False, id="a minor version earlier"),
        pytest.param((9, 0), ["sm_80"], False, id="another generation"),
        pytest.param((9, 0), ["sm_80", "compute_80"], True, id="PTX is compiled for later ones"),
        pytest.param((6, 1), ["sm_80", "compute_80"], False, id="but not for earlier ones"),
        pytest.param((9, 0), ["sm_90a"], True, id="with a letter"),
    ],
)
def test_a_torch_build_without_kernels_for_the_gpu(
    capability: tuple[int, int], built_for: list[str], runs: bool, monkeypatch: pytest.MonkeyPatch
):
    set_gpus(monkeypatch, 1, capability, built_for)
    if runs:
        assert choose_device((0,), 0) == GPU
    else:
        with pytest.raises(GpuKernelError, match=r"GPU 0 \(Test GPU, sm_\d\d\) is not one that torch .* was built for"):
            choose_device((0,), 0)


def test_loader_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)))
    assert loader_workers(3, CPU) == 3
    assert loader_workers(0, CPU) == 1
    assert loader_workers(0, GPU) == 8
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert loader_workers(0, GPU) == 3  # the cores are shared by four processes


def test_the_log_names_the_device(monkeypatch: pytest.MonkeyPatch):
    assert re.fullmatch(rf"CPU \([A-Z0-9_ ]+, {torch.get_num_threads()} threads\)", describe_device(CPU), re.IGNORECASE)
    assert re.fullmatch(r"bf16 on CPU \([A-Z0-9_ ]+\)", describe_arithmetic(CPU, torch.bfloat16), re.IGNORECASE)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Test GPU")
    assert describe_device(GPU) == "GPU 0 (Test GPU)"
    assert describe_arithmetic(torch.device("cuda", 1), None) == "fp32 on GPU (Test GPU)"


@pytest.fixture
def cuda_flags() -> Iterator[None]:
    """Put back what `configure_cuda` sets for the whole process; a torch without CUDA has these flags too."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    has_precision = hasattr(torch, "get_float32_matmul_precision")  # from torch 1.12 on; oneDNN obeys it on the CPU too
    precision_before = torch.get_float32_matmul_precision() if has_precision else ""
    yield
    if has_precision:
        torch.set_float32_matmul_precision(precision_before)
    cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "allows_tf32"), [("highest", False), ("high", True), ("medium", True), ("", None)]
)
def test_keys_of_detectron2_for_a_gpu_are_obeyed(cuda_flags: None, precision: str, allows_tf32: bool | None):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cfg = {"CUDNN_BENCHMARK": True, "FLOAT32_PRECISION": precision}
    configure_cuda(cfg, torch.device("cpu"))
    assert (cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32) == (False, *before)
    configure_cuda(cfg, torch.device("cuda", 0))
    assert cudnn.benchmark
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (before if allows_tf32 is None else (allows_tf32, allows_tf32))
    configure_cuda({"CUDNN_BENCHMARK": False, "FLOAT32_PRECISION": ""}, torch.device("cuda", 0))
    assert not cudnn.benchmark
