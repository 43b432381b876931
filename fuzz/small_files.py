"""The small files that the executor keeps for itself, and what comes to it through pipes: damaged, cut, foreign."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.platform_reader import read_monitor as platform_read_monitor
from ymir_detectron2 import __version__
from ymir_detectron2.contract.monitor import Monitor, read_monitor
from ymir_detectron2.contract.output_lock import OutputLock
from ymir_detectron2.download import Limits, download
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.live_code import check_checkout
from ymir_detectron2.supervision import ReportPipe
from ymir_detectron2.version import _git_revision

from .mutation import damaged

EXPECTED = (ExecutorError,)
"""What the readers may raise."""

_ADDRESS = "https://127.0.0.1:9/a.pkl"  # where nobody listens
_COMMIT = b"1a2b3c4d" * 5
_USUAL = {
    "monitor.txt": b"t1\t1700000000.5\t0.5\t2\t300002\ta sentence\n",
    ".lock-0": b"process 7 on host",
    ".partial-a.pkl.version": f'{_ADDRESS}\n"1"'.encode(),
    "HEAD": b"ref: refs/heads/main\n",
    "packed-refs": b"# pack-refs\n%b refs/heads/main\n" % _COMMIT,
    "__init__.py": f'"""Text."""\n__version__ = "{__version__}"\n'.encode(),
    "reports": b'\n[300002, "a sentence"]\n\n[160004, "another"]\n',
}
_ODD_PARTS = (
    b"nan", b"inf", b"-1", b"7.5", b"1e999", b"\xb2", b"null", b"true", b"[", b"{}", b"[1,", b"[1]", b"\x00", b"\r",
    b"../", b"\xe2\x82\xac", b"refs/heads/main", b"9" * 30,
)  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write all of the files, of which about half are damaged, and some are no files."""
    (folder / "ymir_detectron2").mkdir()
    (folder / "start.py").touch()
    (folder / ".partial-a.pkl").write_bytes(b"abc")
    for name, content in _USUAL.items():
        path = folder / "ymir_detectron2" / name if name == "__init__.py" else folder / name
        kind = rng.choice(("folder", "fifo", "none")) if rng.random() < 0.03 else ""
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo" and name == "monitor.txt":  # nothing else is replaced by whoever shares /out
            os.mkfifo(path)
        elif kind != "none":
            path.write_bytes(_odd(content, rng) if rng.random() < 0.5 else content)
    return folder


def _odd(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:  # in place of one of its words
        words = content.split(rng.choice((b"\t", b" ", b"\n", b'"', b",")))
        words[rng.randrange(len(words))] = rng.choice(_ODD_PARTS)
        content = rng.choice((b"\t", b" ", b"\n")).join(words)
    return damaged(content, rng, 0.7)


def read(path: Path) -> None:
    """Read each as the executor does, and go on with it."""
    _read_monitor(path / "monitor.txt")
    with OutputLock(path):
        assert _git_revision(path) is not None
    _read_reports(path / "reports")
    errors = []
    for read_it in (lambda: check_checkout(path), lambda: _download(path / "a.pkl")):
        try:
            read_it()
        except ExecutorError as error:
            errors.append(error)
    raise max(errors, key=lambda error: len(str(error).splitlines()))


def _read_monitor(path: Path) -> None:
    if path.is_dir():
        return
    read_monitor(path)
    monitor = Monitor(path, "t1")
    monitor.fail(160004, "failed")
    line = platform_read_monitor(path.read_text(encoding="utf-8"))
    assert 0 <= line.percent <= 1
    assert line.state_code != 0
    monitor.take_back_failure(1.0)
    assert platform_read_monitor(path.read_text(encoding="utf-8")).percent == 1


def _read_reports(path: Path) -> None:
    with ReportPipe() as pipe:
        if path.is_file():
            os.write(pipe.write_fd, path.read_bytes()[: 1 << 16])
        for report in pipe.read():
            assert type(report.code) is int
            assert type(report.message) is str


def _download(target: Path) -> None:
    try:
        download(_ADDRESS, target, lambda _: None, Limits(timeout_s=1, attempts=1))
    finally:
        assert not target.exists()
