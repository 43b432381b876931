"""Devices and arithmetic, for machines that this one is not: torch's own answers are replaced, our code is not."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
import torch

from tests.running import PROJECT_DIR, TINY_CONFIG
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.engines.devices import (
    autocast_dtype,
    choose_device,
    configure_cuda,
    describe_device,
    loader_workers,
    onednn_has_bf16,
)
from ymir_detectron2.errors import ConfigError, GpuKernelError, NoGpuError
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
FALLBACK = "precision: bf16 needs a processor with AVX-512"

PREDICT = """
import logging, sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
import numpy as np
from ymir_detectron2.config.settings import InferSettings
from ymir_detectron2.contract.model_package import ModelPackage
from ymir_detectron2.engines.base import DetectorOptions
from ymir_detectron2.engines.devices import onednn_has_bf16
from ymir_detectron2.engines.torch_engine import TorchEngine

logging.basicConfig(stream=sys.stdout, format="%(message)s")
package = ModelPackage(Path(sys.argv[1]), Path(sys.argv[2]), ("a", "b"), "model_params_path")
options = DetectorOptions(InferSettings(precision="bf16"), (), 0.0, 1, {}, ("a", "b"))
detector = TorchEngine().load_detector(package, options)
detections = detector.detect([np.zeros((64, 64, 3), np.uint8)])[0]
print(onednn_has_bf16(), detector._model.dtype, len(detections) > 0)
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


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("fp32", CPU, None), ("auto", CPU, None), ("bf16", CPU, torch.bfloat16),
        ("fp32", GPU, None), ("bf16", GPU, torch.bfloat16), ("fp16", GPU, torch.float16),
    ],
)  # fmt: skip
def test_arithmetic_of_a_device_with_bf16(
    precision: str, device: torch.device, expected: torch.dtype | None, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    set_bf16_support(monkeypatch, True)
    assert autocast_dtype(precision, device) == expected
    assert not caplog.records


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        pytest.param("bf16", CPU, None, id="bf16 becomes fp32"),
        pytest.param("auto", CPU, None, id="auto is fp32 anyhow"),
        pytest.param("fp32", CPU, None, id="fp32 stays"),
        pytest.param("bf16", GPU, torch.bfloat16, id="the GPU does not care about the CPU"),
    ],
)
def test_arithmetic_of_a_cpu_without_bf16(
    precision: str, device: torch.device, expected: torch.dtype | None, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    """Only a bf16 that was asked for and is not to be had is worth a warning."""
    set_bf16_support(monkeypatch, False)
    with caplog.at_level(logging.WARNING):
        assert autocast_dtype(precision, device) == expected
    sentences = [record.getMessage() for record in caplog.records]
    assert len(sentences) == (precision == "bf16" and device == CPU)
    for sentence in sentences:
        assert re.match(FALLBACK + ".*; computing in fp32", sentence)


def test_only_one_of_several_processes_warns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    set_bf16_support(monkeypatch, False)
    monkeypatch.setenv("RANK", "1")
    assert autocast_dtype("bf16", CPU) is None
    assert not caplog.records


@pytest.mark.parametrize("operators", [SimpleNamespace, OperatorsOfTorch110])
def test_a_torch_that_cannot_tell_is_taken_to_have_bf16(monkeypatch: pytest.MonkeyPatch, operators: type):
    monkeypatch.setattr(torch.ops, "mkldnn", operators())
    assert onednn_has_bf16()


def test_bf16_of_a_gpu_by_default(monkeypatch: pytest.MonkeyPatch):
    for has_bf16, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda answer=has_bf16: answer)
        assert autocast_dtype("auto", GPU) == expected


def test_fp16_needs_a_gpu():
    with pytest.raises(ConfigError, match=r"^precision: fp16 needs a GPU; use bf16, fp32 or auto on the CPU$"):
        autocast_dtype("fp16", CPU)


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="this torch cannot tell whether the processor has bf16")
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
    assert choose_device(gpu_ids, local_rank) == expected


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
    assert describe_device(CPU) == f"CPU ({torch.get_num_threads()} threads)"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Test GPU")
    assert describe_device(GPU) == "GPU 0 (Test GPU)"


@pytest.fixture
def cuda_flags() -> Iterator[None]:
    """Put back what `configure_cuda` sets for the whole process; a torch without CUDA has these flags too."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    yield
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
