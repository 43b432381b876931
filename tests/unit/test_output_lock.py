"""The lock of an output folder, between real processes: one at a time, released at the death of all who have it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.contract.test_bad_storage import WITHOUT_POWERS
from tests.running import PROJECT_DIR, TIMEOUT_S, wait_for_end
from ymir_detectron2.contract.output_lock import OutputLock
from ymir_detectron2.errors import OutputInUseError

HOLD = """
import subprocess, sys, time
from pathlib import Path
from ymir_detectron2.contract.output_lock import OutputLock
with OutputLock(Path(sys.argv[1])) as lock:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=lock.inherited_fds)
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""
TAKE_TURNS = """
import os, sys
from pathlib import Path
from ymir_detectron2.contract.output_lock import OutputLock
from ymir_detectron2.errors import OutputInUseError
folder, turns = Path(sys.argv[1]), 0
while turns < 100:
    try:
        with OutputLock(folder):
            os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))  # fails if another process is in here
            (folder / "alone").unlink()
            turns += 1
    except OutputInUseError:
        continue
print(turns)
"""


def start(code: str, folder: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", code, str(folder)], cwd=PROJECT_DIR, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture
def holder(tmp_path: Path):
    """A process that has the lock, and the pid of the child that has inherited it."""
    process = start(HOLD, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    process.communicate()


def require_in_use(folder: Path, *words: str) -> None:
    with pytest.raises(OutputInUseError) as refusal, OutputLock(folder, wait_s=0):
        pass
    assert str(refusal.value).startswith(f"{folder}: another start is working on this output folder (")
    assert str(refusal.value).endswith("); wait for its end or stop it")
    for word in words:
        assert word in str(refusal.value)


def test_a_start_waits_for_one_that_is_dying(tmp_path: Path, holder: tuple[subprocess.Popen[str], int]):
    """Killed processes with much memory take a moment to release the lock."""
    process, child = holder
    threading.Timer(0.3, lambda: (process.kill(), os.kill(child, signal.SIGKILL))).start()
    with OutputLock(tmp_path) as lock:
        assert lock.inherited_fds


def test_a_second_start_is_refused_and_told_by_whom(tmp_path: Path, holder):
    process, _ = holder
    require_in_use(tmp_path, f"(process {process.pid} on {os.uname().nodename})")


def test_a_lock_leaves_nothing_behind(tmp_path: Path, holder):
    process, _ = holder
    process.communicate("")
    assert list(tmp_path.iterdir()) == []
    with OutputLock(tmp_path) as lock:
        assert len(lock.inherited_fds) == 1
    assert lock.inherited_fds == ()


def test_after_a_death_the_next_start_goes_on_once_the_children_have_died_too(tmp_path: Path, holder):
    process, child = holder
    process.kill()
    process.wait()
    require_in_use(tmp_path)
    os.kill(child, signal.SIGKILL)
    wait_for_end(child)
    assert [path.name for path in tmp_path.iterdir()] == [".lock-0"]
    with OutputLock(tmp_path):
        require_in_use(tmp_path, f"(process {os.getpid()} on ")


def test_machines_may_share_a_folder(tmp_path: Path, holder):
    with OutputLock(tmp_path, 1), OutputLock(tmp_path, 2):
        with pytest.raises(OutputInUseError), OutputLock(tmp_path, 1, wait_s=0):
            pass
        require_in_use(tmp_path)


def test_never_two_at_once(tmp_path: Path):
    """Also where one removes its file while another is about to lock it."""
    processes = [start(TAKE_TURNS, tmp_path) for _ in range(3)]
    for process in processes:
        assert process.communicate(timeout=TIMEOUT_S)[0] == "100\n"
    assert list(tmp_path.iterdir()) == []


def test_without_the_folder_there_is_nothing_to_lock(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with OutputLock(tmp_path / "out") as lock:
        assert lock.inherited_fds == ()
    assert not (tmp_path / "out").exists()
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["folder", "link"])
def test_where_no_lock_is_possible_the_user_is_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str):
    if name == "folder":
        (tmp_path / ".lock-0").mkdir()
    else:
        (tmp_path / ".lock-0").symlink_to(tmp_path / "elsewhere")
    with OutputLock(tmp_path) as lock:
        assert lock.inherited_fds == ()
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}/.lock-0: cannot be locked (")
    assert message.endswith("), so start no second task on this folder")
    assert not (tmp_path / "elsewhere").exists()


def test_a_read_only_folder(tmp_path: Path):
    """The start goes on: its first write says what is wrong."""
    prefix = WITHOUT_POWERS if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not installed")
    tmp_path.chmod(0o555)
    code = HOLD.partition("    child")[0] + "    print('on')"
    output = start(code, tmp_path, tuple(prefix)).communicate("")[0]
    tmp_path.chmod(0o755)
    assert "cannot be locked ([Errno 13] Permission denied" in output
    assert output.splitlines()[-1] == "on"


def test_what_the_file_of_a_lock_holds_stays_on_one_line(tmp_path: Path, holder):
    del holder  # has the lock
    (tmp_path / ".lock-0").write_bytes(b"\xff a\nb\tc")
    with pytest.raises(OutputInUseError) as failure, OutputLock(tmp_path, wait_s=0):
        pass
    assert "(\ufffd a b c)" in str(failure.value)
