"""The tree of errors with their codes, and the one definition of "out of memory", which three places act upon."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from tests.tiny_training import CLASSES, CPU, config
from ymir_detectron2 import errors
from ymir_detectron2.engines.base_detector import ShapeBucketBatcher
from ymir_detectron2.errors import (
    ExecutorError,
    StorageError,
    briefly,
    is_out_of_memory,
    printable,
    without_credentials,
)
from ymir_detectron2.failure import as_executor_error
from ymir_detectron2.retinanet.model import RetinaNet
from ymir_detectron2.training.augmentations import LabelledImage
from ymir_detectron2.training.gradient_accumulation import GradientAccumulator

CODES = {
    errors.ExecutorError: 160004, errors.ConfigError: 300001, errors.DatasetError: 300002, errors.ImageError: 300003,
    errors.ImageTooLargeError: 300003,
    errors.ModelError: 300004, errors.ObjectTypeError: 300005, errors.GpuKernelError: 300101,
    errors.NoGpuError: 300102, errors.OutOfMemoryError: 300103, errors.NonFiniteLossError: 300201,
    errors.NetworkError: 300301, errors.StorageError: 160004, errors.OutputInUseError: 160004,
    errors.StoppedError: 160004,
}  # fmt: skip

OUT_OF_MEMORY = [
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 5 bytes"),
    MemoryError(),
    MemoryError("std::bad_alloc"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("could not create a primitive"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ImportError("libc10.so: cannot map zero-fill pages: Cannot allocate memory"),
]
OTHER_ERRORS = [
    RuntimeError("shape mismatch"),
    ValueError("shape mismatch"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    OSError(errno.ENOSPC, "No space left on device"),
    ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),  # a limit of the loader, not of memory
]
EACH = pytest.mark.parametrize(
    ("error", "expected"), [*((error, True) for error in OUT_OF_MEMORY), *((error, False) for error in OTHER_ERRORS)]
)


def test_every_class_of_the_tree_has_the_code_of_the_platform():
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {cls: cls.code for cls in classes if issubclass(cls, ExecutorError)} == CODES


@EACH
def test_which_errors_mean_that_memory_ran_out(error: Exception, expected: bool):
    assert is_out_of_memory(error) is expected


@EACH
def test_the_failure_report_agrees(error: Exception, expected: bool):
    known = as_executor_error(error)
    assert (known.code == 300103) is expected
    assert ("please report" in str(known)) is (not expected and not isinstance(error, OSError))


@EACH
def test_inference_agrees_and_halves_the_batch(error: Exception, expected: bool):
    def run_batch(batch: list[int]) -> list[int]:
        if len(batch) > 2:
            raise error
        return batch

    batcher = ShapeBucketBatcher(4, CPU)
    if expected:
        assert batcher.run([1, 2, 3, 4], lambda _: "one shape", run_batch) == [1, 2, 3, 4]
        assert batcher.size == 2
    else:
        with pytest.raises(type(error)):
            batcher.run([1, 2, 3, 4], lambda _: "one shape", run_batch)
        assert batcher.size == 4


class SmallMemoryRetinaNet(RetinaNet):
    """Raises an error for more than one image at a time."""

    error: Exception

    def forward(self, images, *ground_truth):
        if len(images) > 1:
            raise self.error
        return super().forward(images, *ground_truth)


@pytest.fixture(scope="module")
def small_memory_model() -> SmallMemoryRetinaNet:
    return SmallMemoryRetinaNet(config(), len(CLASSES))


@EACH
def test_training_agrees_and_accumulates_gradients(
    small_memory_model: SmallMemoryRetinaNet, error: Exception, expected: bool
):
    small_memory_model.error = error
    box, label = np.array([[4, 4, 40, 40]], np.float32), np.zeros(1, np.int64)
    images = [LabelledImage(np.zeros((64, 64, 3), np.uint8), box, label)] * 2
    accumulator = GradientAccumulator(small_memory_model, CPU, None, None, 1)
    if expected:
        assert set(accumulator.compute(images)) == {"loss_cls", "loss_box_reg"}
        assert accumulator.micro_batches == 2
    else:
        with pytest.raises(type(error)):
            accumulator.compute(images)
        assert accumulator.micro_batches == 1


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "the disk is full: free some space and start the task again"),
        (errno.EDQUOT, "the disk is full: free some space and start the task again"),
        (errno.EROFS, "mount the output folder writable for the user of this process"),
        (errno.EACCES, "mount the output folder writable for the user of this process"),
        (errno.EIO, "check the output folder"),
    ],
)
def test_a_write_error_has_the_remedy_for_its_reason(number: int, remedy: str):
    error = StorageError.from_os_error("/out/a", OSError(number, "reason"))
    assert str(error) == f"/out/a: cannot be written (reason); {remedy}"


def test_a_value_of_any_size_is_shown_briefly():
    value: list = ["x"] * 9
    for _ in range(30):
        value = [value] * 9  # as YAML anchors do: 9 ** 30 texts
    assert len(briefly(value)) < 1000
    assert len(briefly("y" * 10**6)) < 300
    assert briefly(["a", 1]) == "['a', 1]"
    assert briefly([10**5000, -(10**9)]) == "[an integer of 16610 bits, -1000000000]"


def test_bytes_that_are_not_text_become_escapes():
    assert printable(b"caf\xe9 \xe2\x82\xac".decode("utf-8", "surrogateescape")) == "caf\\udce9 €"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\x1b[2Jb", "a\\x1b[2Jb", id="clears the terminal"),
        pytest.param("a\x9b2Jb", "a\\x9b2Jb", id="the same in one character"),
        pytest.param("a\rb\x08c\x07", "a\\rb\\x08c\\x07", id="writes over the line"),
        pytest.param("a\u202egpj.exe", "a\\u202egpj.exe", id="reads from right to left"),
        pytest.param("a\u2028b\x85c", "a\\u2028b\\x85c", id="line breaks of Unicode"),
        pytest.param("ä\t猫\nb", "ä\t猫\nb", id="text"),
    ],
)
def test_text_of_others_does_not_steer_the_terminal(text: str, shown: str):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:word@store.example/a.pth?signature=abc: 404", "https://store.example/a.pth: 404"),
        ("at 'http://store.example/a.pth?x=1', again", "at 'http://store.example/a.pth', again"),
        ("https://store.example/a.pth and b@c?d", "https://store.example/a.pth and b@c?d"),
        ("no address: user:word@store/a?b", "no address: user:word@store/a?b"),
    ],
)
def test_addresses_lose_user_password_and_query(text: str, shown: str):
    assert without_credentials(text) == shown
