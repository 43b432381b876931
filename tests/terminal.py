"""A pseudo terminal: what a person sees of a program that writes to one, line by line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from typing import Mapping, Sequence

_WIDTH = 200
_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Terminal:
    """A program in the foreground of a terminal of its own, to which keys can be sent."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """
        Args:
            environment: variables on top of this process's own.
        """
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
        self._received = b""

        def own_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal to this program

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=own_terminal,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the last process that had the terminal open has ended
            while chunk := os.read(self._master, 1 << 16):
                self._received += chunk

    def press(self, keys: str) -> None:
        """Type keys: "\\x03" is Ctrl-C."""
        os.write(self._master, keys.encode())

    @property
    def received(self) -> str:
        """All that was written so far, as it was written."""
        return self._received.decode("utf-8", "replace")

    def finish(self, timeout_s: float = 120) -> list[str]:
        """Wait for the end of the program; return the lines that the terminal shows then."""
        try:
            self.process.wait(timeout_s)
        finally:
            self.process.kill()
        self._reader.join(10)
        os.close(self._master)
        return shown_lines(self.received)


def shown_lines(text: str) -> list[str]:
    """Return the lines that a terminal shows of a text with carriage returns and movements of the cursor."""
    lines: list[list[str]] = [[]]
    row = column = 0
    position = 0
    while position < len(text):
        escape = _ESCAPE.match(text, position)
        if escape:
            count = int(escape[1] or 1) if (escape[1] or "1").isdigit() else 1
            if escape[2] == "A":
                row = max(0, row - count)
            elif escape[2] == "K":
                del lines[row][column:]
            position = escape.end()
            continue
        character = text[position]
        position += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            column = 0
            if row == len(lines):
                lines.append([])
        else:
            line = lines[row]
            line.extend(" " * (column + 1 - len(line)))
            line[column] = character
            column += 1
    return ["".join(line).rstrip() for line in lines]
