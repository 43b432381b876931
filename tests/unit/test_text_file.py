"""Text files in the encodings that Windows, PowerShell, .NET and Chinese or Japanese tools write."""

from __future__ import annotations

import codecs
import os
import tracemalloc
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ymir_detectron2.errors import DatasetError
from ymir_detectron2.text_file import decode_text, read_lines, read_text

XML = '<?xml version="1.0" encoding="{}"?><a>{}</a>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_marks_and_zero_bytes_tell_unicode_encodings(encoding: str):
    assert decode_text("a猫\r\n".encode(encoding)) == "a猫\r\n"


def test_a_mark_of_the_other_byte_order():
    assert decode_text(codecs.BOM_UTF16_BE + "猫".encode("utf-16-be")) == "猫"


@pytest.mark.parametrize(
    ("declared", "written", "text"),
    [
        ("gb2312", "gb2312", "猫"),  # these two bytes are valid UTF-8 for another character
        ("GB2312", "gbk", "镕"),  # not in the standard of that name
        ("gbk", "gbk", "猫狗"), ("Shift_JIS", "shift_jis", "猫犬"), ("shift_jis", "cp932", "①"),
        ("iso-8859-1", "latin-1", "é"), ("windows-1251", "cp1251", "кот"), ("big5", "big5", "貓"),
        # declarations that are not true
        ("gb2312", "utf-8", "猫狗鸟"), ("utf-16", "utf-8", "猫"), ("foo-8", "utf-8", "猫"),
        ("zlib", "utf-8", "猫"), ("ascii", "utf-8", "猫"),
        # Python's own, of host names, mail and source code
        ("idna", "utf-8", "猫"), ("undefined", "utf-8", "猫"), ("hex", "utf-8", "猫"), ("utf-7", "utf-8", "+2AA-"),
        ("unicode_escape", "utf-8", "\\ud800"), ("punycode", "utf-8", "a-b"),
    ],
)  # fmt: skip
def test_the_encoding_that_xml_declares(declared: str, written: str, text: str):
    decoded = decode_text(XML.format(declared, text).encode(written))
    assert ElementTree.fromstring(decoded).text == text  # noqa: S314 - written by the test


def test_bytes_of_no_encoding_are_named(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DatasetError, match=r"a\.txt: is not UTF-8 text .*; save it as UTF-8"):
        read_text(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(codecs.BOM_UTF16_LE + b"a\0b")
    with pytest.raises(DatasetError, match=r"b\.txt: is no text .*; save it as UTF-8"):
        read_lines(tmp_path / "b.txt")


def test_a_limit_is_kept_and_not_reserved(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    for read in (read_text, read_lines):
        with pytest.raises(OSError, match="Larger than 4 bytes"):
            read(tmp_path / "a", 4)
    tracemalloc.start()
    try:
        assert read_text(tmp_path / "a", 1 << 40) == "12345"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_windows_and_linux(tmp_path: Path, encoding: str, end: str):
    (tmp_path / "a").write_bytes(f"p0{end}{end}a\u2028b{end}".encode(encoding))
    assert read_lines(tmp_path / "a") == ["p0", "", "a\u2028b"]


def test_lines_keep_names_in_any_encoding(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"caf\xe9.jpg\r\nb.jpg")
    assert list(map(os.fsencode, read_lines(tmp_path / "a"))) == [b"caf\xe9.jpg", b"b.jpg"]
    (tmp_path / "a").write_bytes(b"")
    assert read_lines(tmp_path / "a") == []
