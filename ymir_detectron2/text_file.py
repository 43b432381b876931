"""Text files of any tool to str: by byte order mark, else by the declaration of an XML file, else as UTF-8."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

from .errors import DatasetError
from .untrusted_files import read_regular

# UTF-32 first: its mark begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_LITTLE = codecs.BOM_UTF16_LE[:1]
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._:-]+)[\"']")
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "cp950"}
"""What Windows writes under these names has more characters than the standards of that name."""
_OF_NO_FILE = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7"))
"""Python's encodings of host names, source code and mail, which take quadratic time or make text that is none."""
_MAX_BYTES = 1 << 30
"""Ten million lines of a list."""


def decode_text(data: bytes, *, errors: str = "strict") -> str:
    """Decode the content of a text file; the result has no byte order mark.

    A declaration comes before UTF-8: the two bytes of one Chinese character in GB 2312 are valid UTF-8 for another
    character. A file that declares an encoding and is not in it is read as UTF-8.

    Args:
        data: the whole file.
        errors: as for `bytes.decode`, for a file that is taken for UTF-8.

    Raises:
        UnicodeError: the bytes fit none of these encodings.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data[:4]:  # UTF-16 or UTF-32 without a mark
        return data.decode(json.detect_encoding(data))
    declared = _declared_encoding(data)
    if declared:
        try:
            return data.decode(declared)
        except (LookupError, UnicodeError):  # LookupError: "zlib" and the like, which are no encodings of text
            pass
    return data.decode("utf-8", errors)


def wide_encoding(start: bytes) -> str:
    """Return the UTF-16 or UTF-32 of a text that begins with these four bytes, with its byte order; '' for others."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return "" if mark == codecs.BOM_UTF8 else f"{encoding}-{'le' if mark[:1] == _LITTLE else 'be'}"
    # json's own way to know them without a mark: a text begins with an ASCII character, such as the / of a path
    encoding = json.detect_encoding(start)
    return "" if encoding == "utf-8" else encoding


def _declared_encoding(data: bytes) -> str:
    """Return the encoding that an XML declaration names, as Python calls it; '' if there is none that can be true."""
    found = _DECLARATION.match(data[:400])
    try:
        name = codecs.lookup(found.group(1).decode("ascii")).name if found else ""
    except LookupError:  # an encoding that nobody knows; most such files hold ASCII
        return ""
    # .NET declares UTF-16 in files that are written as UTF-8: this declaration was just read as single bytes
    if name in _OF_NO_FILE or name.startswith(("utf-16", "utf-32", "utf-8")):
        return ""
    return _SUPERSETS.get(name, name)


def read_text(path: Path, max_bytes: int = _MAX_BYTES) -> str:
    """Return the content of a regular text file.

    Raises:
        DatasetError: the encoding is none of those that `decode_text` knows.
        OSError: as `read_regular`.
    """
    data = read_regular(path, max_bytes)
    try:
        return decode_text(data)
    except UnicodeError as exc:
        raise DatasetError(f"{path}: is not UTF-8 text ({exc}); save it as UTF-8") from exc


def read_lines(path: Path, max_bytes: int = _MAX_BYTES) -> list[str]:
    """Return the lines of a regular text file, without their ends: \\n, \\r\\n or \\r.

    File names on Linux are bytes in any encoding: what is not UTF-8 is kept by surrogateescape, so that such a file can
    be opened.

    Raises:
        DatasetError: a file in UTF-16 or UTF-32 is damaged.
        OSError: as `read_regular`.
    """
    data = read_regular(path, max_bytes)
    try:
        text = decode_text(data, errors="surrogateescape")
    except UnicodeError as exc:
        raise DatasetError(f"{path}: is no text ({exc}); save it as UTF-8") from exc
    lines = re.split("\r\n|\r|\n", text)  # not splitlines: a file name may hold U+2028
    return lines[:-1] if lines[-1] == "" else lines
