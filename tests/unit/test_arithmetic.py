"""In what each kind of device computes: every combination of facts, as a table."""

from __future__ import annotations

import pytest
import torch

from ymir_detectron2.config.common_settings import CommonSettings
from ymir_detectron2.config.setting import effects_of
from ymir_detectron2.engines.arithmetic import Arithmetic, DeviceFacts, agree, decide, name_of

FP16, BF16 = torch.float16, torch.bfloat16
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

CPUS = {"with bf16": DeviceFacts(onednn_has_bf16=True), "without": DeviceFacts(onednn_has_bf16=False)}
GPUS = {
    # capability, CUDA of the build: has bf16, has tensor cores
    ((5, 2), 10): (False, False), ((6, 0), 11): (False, False), ((6, 1), 11): (False, False),
    ((7, 0), 10): (False, True), ((7, 0), 12): (False, True), ((7, 5), 11): (False, True), ((7, 5), 12): (False, True),
    ((8, 0), 10): (False, True), ((8, 0), 11): (True, True), ((8, 6), 11): (True, True), ((8, 9), 12): (True, True),
    ((9, 0), 12): (True, True), ((10, 0), 13): (True, True), ((12, 0), 13): (True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", CPUS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_arithmetic_of_a_cpu(name: str, precision: str):
    """`auto` is fp32 on every CPU; what it cannot do becomes fp32, with a warning that says so."""
    has_bf16 = name == "with bf16"
    dtype, warning = decide(precision, CPUS[name])
    assert dtype == (BF16 if precision == "bf16" and has_bf16 else None)
    assert bool(warning) == (precision == "fp16" or (precision == "bf16" and not has_bf16))
    if warning:
        assert warning.startswith(f"precision: {precision} ")
        assert "; computing in fp32" in warning


@pytest.mark.parametrize(("capability", "cuda_major"), GPUS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_arithmetic_of_a_gpu(capability: tuple[int, int], cuda_major: int, precision: str):
    has_bf16, has_tensor_cores = GPUS[capability, cuda_major]
    dtype, warning = decide(precision, DeviceFacts(capability, cuda_major))
    in_half = {"fp16": FP16, "bf16": BF16 if has_bf16 else None, "auto": BF16 if has_bf16 else None}
    assert dtype == in_half.get(precision)
    if precision == "bf16" and not has_bf16:
        assert f"found {capability[0]}.{capability[1]} and CUDA {cuda_major}; computing in fp32" in warning
        assert ("fp16 is faster" in warning) == has_tensor_cores
    elif precision == "fp16" and not has_tensor_cores:
        assert "has no tensor cores" in warning
    else:
        assert warning == ""


def test_a_gpu_does_not_care_about_the_cpu():
    for answer in (True, False):
        assert not DeviceFacts((7, 5), 12, answer).has_bf16
        assert DeviceFacts((8, 0), 12, answer).has_bf16


def test_bf16_on_the_cpu_is_for_retinanet():
    cpu, gpu = DeviceFacts(onednn_has_bf16=True), DeviceFacts((8, 0), 12)
    assert decide("bf16", cpu, "GeneralizedRCNN") == (
        None, "precision: bf16 on the CPU is for RetinaNet; computing in fp32"
    )  # fmt: skip
    assert decide("bf16", gpu, "GeneralizedRCNN") == (BF16, "")
    assert decide("auto", cpu, "GeneralizedRCNN") == (None, "")


def test_every_choice_of_the_form_is_decided():
    (field,) = (one for one in CommonSettings.__dataclass_fields__.values() if one.name == "precision")
    assert effects_of(field).choices == PRECISIONS


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([Arithmetic(BF16)], Arithmetic(BF16)),
        ([Arithmetic(BF16), Arithmetic(BF16)], Arithmetic(BF16)),
        ([Arithmetic(BF16), Arithmetic(None, "why"), Arithmetic(BF16)], Arithmetic(None, "why")),
        ([Arithmetic(None), Arithmetic(BF16)], Arithmetic(None)),
        ([Arithmetic(FP16), Arithmetic(FP16, "slow")], Arithmetic(FP16)),
    ],
)  # fmt: skip
def test_processes_that_average_gradients_compute_alike(decisions: list[Arithmetic], expected: Arithmetic):
    assert agree(decisions) == expected


def test_names_are_those_of_the_form():
    assert [name_of(dtype) for dtype in (None, torch.float32, BF16, FP16)] == ["fp32", "fp32", "bf16", "fp16"]
