"""Which images are read, and which of them at the same time, by threads and by processes."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tests.large_images import write_black_png
from ymir_detectron2.contract.images_in_work import images_in_work
from ymir_detectron2.dataset.image_reading import read_image_bgr, read_image_hw
from ymir_detectron2.dataset.reading_guard import NO_PIXELS, ReadingGuard, guard, use_guard
from ymir_detectron2.errors import ImageError, ImageTooLargeError
from ymir_detectron2.memory_limit import smallest_limit

EVERYTHING = 1 << 60  # bytes, more than any machine has


def test_an_image_that_the_machine_could_never_hold(tmp_path: Path):
    limit = smallest_limit()
    assert limit is not None
    reader = ReadingGuard()
    reader.require_size(tmp_path / "a.png", (10, 10), limit.limit_bytes // 4)
    with pytest.raises(ImageTooLargeError, match=r"a\.png: 20x10 pixels need .* GB to be read, more than 45% of the"):
        reader.require_size(tmp_path / "a.png", (10, 20), limit.limit_bytes // 2)


def test_an_image_that_memory_does_not_hold_at_the_moment(tmp_path: Path):
    reader = ReadingGuard()
    with reader.in_work(tmp_path / "a.png"), pytest.raises(ImageTooLargeError, match="free at the moment"):
        reader.reserve(tmp_path / "a.png", (10, 20), EVERYTHING)


def test_an_image_has_the_same_sentence_whenever_it_is_left_out(tmp_path: Path):
    """It counts once per image, however often it is drawn and whatever is free then."""
    sentences, used = set(), []
    for _ in range(2):
        reader = ReadingGuard()
        with reader.in_work(tmp_path / "a.png"), pytest.raises(ImageTooLargeError) as refusal:
            reader.reserve(tmp_path / "a.png", (10, 20), EVERYTHING)
        sentences.add(str(refusal.value))
        used.append(bytearray(b"1") * 100_000_000)
    assert len(sentences) == 1


def test_memory_for_something_else_than_pixels(tmp_path: Path):
    reader = ReadingGuard()
    with reader.in_work(tmp_path / "a.png"), pytest.raises(ImageTooLargeError, match=r"a\.png: needs \d+\.\d\d GB"):
        reader.reserve(tmp_path / "a.png", NO_PIXELS, EVERYTHING)


def test_a_bound_by_hand_is_the_only_one(tmp_path: Path):
    reader = ReadingGuard(max_megapixels=0.0002)
    reader.require_size(tmp_path / "a.png", (10, 20), EVERYTHING)
    with reader.in_work(tmp_path / "a.png"):
        reader.reserve(tmp_path / "a.png", (10, 20), EVERYTHING)
    for refuse in (reader.require_size, reader.reserve):
        with pytest.raises(ImageTooLargeError, match=r"20x11 pixels are more than max_image_megapixels: 0\.0002"):
            refuse(tmp_path / "a.png", (11, 20), 1)


def test_what_a_training_does_with_an_image_counts_too(tmp_path: Path):
    """The pixels of a large image at 7 bytes each, and at 100."""
    limit = smallest_limit()
    assert limit is not None
    side = int((limit.limit_bytes / 50) ** 0.5)
    reader = ReadingGuard()
    reader.require_size(tmp_path / "a.png", (side, side), 0)
    reader.expect(workers=2, augmentation_bytes_per_pixel=97)
    with pytest.raises(ImageTooLargeError):
        reader.require_size(tmp_path / "a.png", (side, side), 0)


def test_images_that_memory_does_not_hold_together_are_read_one_after_the_other(tmp_path: Path):
    """So many processes share the memory that an image of 40 MB is alone in it."""
    readers = [ReadingGuard(tmp_path, processes=1 << 40), ReadingGuard(tmp_path, processes=1 << 40)]
    at_once, most = 0, 0
    begun = threading.Barrier(2)

    def read(reader: ReadingGuard, name: str) -> None:
        nonlocal at_once, most
        begun.wait()
        for _ in range(20):
            with reader.in_work(tmp_path / name):
                reader.reserve(tmp_path / name, (10, 10), 40_000_000)
                at_once += 1
                most = max(most, at_once)
                at_once -= 1

    threads = [threading.Thread(target=read, args=(readers[0], f"{number}.png")) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_processes_take_turns_too(tmp_path: Path):
    (tmp_path / ".unfinished" / "reading").mkdir(parents=True)
    reader = ReadingGuard(tmp_path, processes=1 << 40)
    with use_guard(reader), reader.in_work(tmp_path / "a.png"):
        reader.reserve(tmp_path / "a.png", (10, 10), 40_000_000)
        receiving, sending = os.pipe()
        pid = os.fork()
        if pid == 0:
            with reader.in_work(tmp_path / "b.png"):
                reader.reserve(tmp_path / "b.png", (10, 10), 40_000_000)
                os.write(sending, b"reads")
            os._exit(0)
        os.set_blocking(receiving, False)
        while str(tmp_path / "b.png") not in images_in_work(tmp_path):
            pass
        with pytest.raises(BlockingIOError):
            os.read(receiving, 5)
    os.set_blocking(receiving, True)
    assert os.read(receiving, 5) == b"reads"
    os.waitpid(pid, 0)


def with_deaths(tmp_path: Path, **deaths: int) -> ReadingGuard:
    file = tmp_path / ".unfinished" / "reading" / "0.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"deaths": {str(tmp_path / f"{name}.png"): count for name, count in deaths.items()}}))
    return ReadingGuard(tmp_path)


def test_an_image_in_work_at_two_deaths_is_left_out_but_has_a_size(tmp_path: Path):
    """Or a training would begin anew with another set."""
    for name in ("a", "b", "c"):
        write_black_png(tmp_path / f"{name}.png", 20, 10)
    with use_guard(with_deaths(tmp_path, a=1, b=2)):
        assert read_image_bgr(tmp_path / "a.png").shape == (10, 20, 3)
        with pytest.raises(ImageError, match=r"b\.png: was being read when the task was killed .*, 2 times"):
            read_image_bgr(tmp_path / "b.png")
        assert read_image_hw(tmp_path / "b.png") == (10, 20)
        assert read_image_bgr(tmp_path / "c.png").shape == (10, 20, 3)


def test_suspects_are_in_work_one_at_a_time(tmp_path: Path):
    reader = with_deaths(tmp_path, a=1, b=1)
    entered = threading.Event()

    def read() -> None:
        with reader.in_work(tmp_path / "b.png"):
            entered.set()

    thread = threading.Thread(target=read)
    with reader.in_work(tmp_path / "a.png"):
        thread.start()
        assert not entered.wait(0.2)
        with reader.in_work(tmp_path / "b.png"):  # a mosaic reads others: no thread waits for itself
            pass
    thread.join()
    assert entered.is_set()


def test_nothing_is_left_of_a_guard_that_ended_in_order(tmp_path: Path):
    write_black_png(tmp_path / "a.png", 20, 10)
    before = guard()
    with use_guard(ReadingGuard(tmp_path)):
        read_image_bgr(tmp_path / "a.png")
        assert (tmp_path / ".unfinished").exists()
    assert guard() is before
    assert not (tmp_path / ".unfinished").exists()
