"""How the log of a failure has to end: `ERROR code: sentence` in English, and then one sentence in Chinese.

Imports nothing of the project: `tests/image` runs where only pytest is.
"""

from __future__ import annotations

import re

_ENGLISH = re.compile(r"ERROR (\d{6}): .+")
_CHINESE = re.compile(r"错误 (\d{6})：[^。\n]+。")


def error_line(output: str) -> str:
    """Return the English line with which a failure ends, and require the Chinese one of the same code after it.

    Args:
        output: of a process that has failed; line breaks at its end do not count.

    Raises:
        AssertionError: it ends otherwise, or one of the lines is there twice.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    english, chinese = lines[-2:] if len(lines) > 1 else ("", "")
    codes = [match[1] for match in (_ENGLISH.fullmatch(english), _CHINESE.fullmatch(chinese)) if match]
    assert len(codes) == 2, f"expected an English and a Chinese sentence at the end:\n{output[-3000:]}"
    assert codes[0] == codes[1], f"two codes: {english!r}, {chinese!r}"
    assert lines.count(english) == 1, f"there {lines.count(english)} times: {english!r}"
    # one for each: an output may be that of several processes, one after the other
    counts = [len([line for line in lines if pattern.fullmatch(line)]) for pattern in (_ENGLISH, _CHINESE)]
    assert counts[0] == counts[1], f"{counts[0]} English and {counts[1]} Chinese sentences:\n{output[-3000:]}"
    return english


def last_line(output: str) -> str:
    """Return the last line of a log, of a failure the English one, see `error_line`; '' where there is none."""
    lines = [line for line in output.splitlines() if line.strip()]
    if any(pattern.match(line) for line in lines[-1:] for pattern in (_ENGLISH, _CHINESE)):
        return error_line(output)
    return lines[-1] if lines else ""
