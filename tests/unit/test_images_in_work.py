"""The record of images in work outlives the process, and counts a death only if memory may have been the reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import PROJECT_DIR
from ymir_detectron2.contract.images_in_work import (
    ImagesInWork,
    count_deaths,
    describe_shortage,
    images_in_work,
    read_deaths,
)
from ymir_detectron2.errors import StorageError


def test_images_are_on_record_while_they_are_in_work(tmp_path: Path):
    work = ImagesInWork(tmp_path)
    with work.holding(Path("/in/b.jpg")), work.holding(Path("/in/a.jpg")):
        assert images_in_work(tmp_path) == ["/in/a.jpg", "/in/b.jpg"]
        assert images_in_work(tmp_path, pid=os.getpid()) == ["/in/a.jpg", "/in/b.jpg"]
        assert images_in_work(tmp_path, pid=1) == []
        assert images_in_work(tmp_path, machine_rank=1) == []
        assert describe_shortage(tmp_path).endswith(" while it read /in/a.jpg, /in/b.jpg")
    assert images_in_work(tmp_path) == []
    with work.holding(Path("/in/c.jpg")):  # in the slot of one of the others, whose name was longer or not
        assert images_in_work(tmp_path) == ["/in/c.jpg"]
    work.close()
    assert not (tmp_path / ".unfinished").exists()


def test_any_bytes_can_be_a_name(tmp_path: Path):
    name = os.fsdecode(b"/in/caf\xe9.jpg")
    with ImagesInWork(tmp_path).holding(Path(name)):
        assert images_in_work(tmp_path) == [name]
        describe_shortage(tmp_path).encode("utf-8")
    with ImagesInWork(tmp_path).holding(Path("\ud800.jpg")):  # of which no file can have the name
        assert images_in_work(tmp_path) == []


def die_with(tmp_path: Path, *names: str) -> None:
    """Have a process killed that has these images in work."""
    code = (
        "import contextlib, os, sys; from pathlib import Path;"
        "from ymir_detectron2.contract.images_in_work import ImagesInWork\n"
        "work, stack = ImagesInWork(Path(sys.argv[1])), contextlib.ExitStack()\n"
        "for name in sys.argv[2:]: stack.enter_context(work.holding(Path(name)))\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *names]
    assert subprocess.run(command, cwd=PROJECT_DIR, check=False).returncode == -signal.SIGKILL


def set_counters(tmp_path: Path, counters: str) -> None:
    """Write what the kernel had counted when the dead process began."""
    for file in (tmp_path / ".unfinished" / "reading").glob("*.slots"):
        with file.open("r+b") as slots:
            os.pwrite(slots.fileno(), counters.encode() + b"\0", 0)


def test_a_death_without_an_out_of_memory_kill_does_not_count(tmp_path: Path):
    die_with(tmp_path, "/in/a.jpg")
    assert images_in_work(tmp_path) == ["/in/a.jpg"]
    count_deaths(tmp_path)
    assert read_deaths(tmp_path) == {}
    assert images_in_work(tmp_path) == []


@pytest.mark.parametrize("counters", ["{}", "", "[1]", '{"machine of another boot": 0}', "\xff"])
def test_where_nothing_is_known_each_death_counts(tmp_path: Path, counters: str):
    for names in (["/in/a.jpg", "/in/b.jpg"], ["/in/a.jpg"]):
        die_with(tmp_path, *names)
        set_counters(tmp_path, counters)
        count_deaths(tmp_path)
    assert read_deaths(tmp_path) == {"/in/a.jpg": 2, "/in/b.jpg": 1}
    count_deaths(tmp_path)
    assert read_deaths(tmp_path) == {"/in/a.jpg": 2, "/in/b.jpg": 1}


def test_another_machine_counts_for_itself(tmp_path: Path):
    die_with(tmp_path, "/in/a.jpg")
    set_counters(tmp_path, "{}")
    count_deaths(tmp_path, machine_rank=1)
    assert read_deaths(tmp_path, machine_rank=1) == {}
    assert images_in_work(tmp_path) == ["/in/a.jpg"]


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", '{"deaths": 5}', '{"deaths": {"a": "b"}}', "[" * 100_000])
def test_a_damaged_count_begins_anew(tmp_path: Path, content: str):
    file = tmp_path / ".unfinished" / "reading" / "0.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert read_deaths(tmp_path) == {}
    file.write_text(json.dumps({"deaths": {"/in/a.jpg": 2}}))
    assert read_deaths(tmp_path) == {"/in/a.jpg": 2}


def test_a_folder_that_cannot_be_made_costs_the_record_only(tmp_path: Path):
    (tmp_path / ".unfinished").write_text("a file")
    with ImagesInWork(tmp_path).holding(Path("/in/a.jpg")):
        assert images_in_work(tmp_path) == []


def test_a_record_that_cannot_be_removed_is_an_error_of_storage(tmp_path: Path):
    (tmp_path / ".unfinished" / "reading" / "0-7-7.slots").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"reading: cannot be written"):
        count_deaths(tmp_path)


def test_a_fork_has_a_file_of_its_own(tmp_path: Path):
    work = ImagesInWork(tmp_path)
    with work.holding(Path("/in/a.jpg")):
        pid = os.fork()
        if pid == 0:
            with work.holding(Path("/in/b.jpg")):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert images_in_work(tmp_path, pid=pid) == ["/in/b.jpg"]
        assert images_in_work(tmp_path, pid=os.getpid()) == ["/in/a.jpg"]
    work.close()
    assert not (tmp_path / ".unfinished").exists()
