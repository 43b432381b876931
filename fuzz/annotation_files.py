"""Annotations of a training set, `ark` and `voc`, next to real images, through the whole conversion to COCO JSON."""

from __future__ import annotations

import functools
import io
import random
from pathlib import Path

from PIL import Image

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.index_file import IndexEntry
from ymir_detectron2.dataset.coco_json import load_coco_json, write_coco_json
from ymir_detectron2.dataset.records import read_records
from ymir_detectron2.dataset.report import SetSummary
from ymir_detectron2.errors import DatasetError

from .index_files import check_findings
from .mutation import choose, damaged, oddity_of_input

EXPECTED = (DatasetError,)
"""What the readers may raise."""

_CLASS_NAMES = ("cat", "dog")
_NUMBERS = ("0", "1", "7", "12", "20.5", "-3")
ODD_NUMBERS = (
    "", " ", "-1", "nan", "inf", "-inf", "1e400", "1e39", "1e-400", "9" * 4300, "9" * 5000, "0x10", "1_0", "٣", "½",
    "1,5", "+1", "--1", "\0", "\ud800", "None", "true", "[1]", "1e", "²", "9223372036854775808", "\u2028", "１",
)  # fmt: skip
_TAGS = ("name", "bndbox", "xmin", "ymin", "xmax", "ymax")
_ODD_TAGS = ("object", "xmin", "a:b", "_", "é", "name/", "x" * 300, "annotation")
_NAMES = ("cat", "dog", " CAT ")
_ODD_NAMES = (
    "", "bird", "&#0;", "&#xD800;", "&amp;", "&a;", "a\nb", "x" * 3000, "<![CDATA[cat]]>", "<!-- -->", "\u2028",
)  # fmt: skip
_ENCODINGS = (
    "utf-8", "UTF-8", "utf-16", "latin-1", "gb2312", "utf-7", "cp037", "idna", "undefined", "hex", "\0", "x" * 99,
)  # fmt: skip
_HEADS = (
    "", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-8"?>', '<?xml version="1.1"?>',
    '<!DOCTYPE a [<!ENTITY a "cat">]>', '<!DOCTYPE a [<!ENTITY a "' + "&b;" * 9 + '"><!ENTITY b "x">]>',
    '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>', '<!DOCTYPE a SYSTEM "a.dtd">', "\ufeff", " \n",
    '<!DOCTYPE a [<!ENTITY a "x">' + "".join(f'<!ENTITY {b} "{f"&{a};" * 9}">' for a, b in zip("abcd", "bcde")) + "]>",
)  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write an image and its annotation; return the annotation."""
    path = folder / "a.txt"
    text = rng.choice((ark_lines, voc_document))(rng, oddity_of_input(rng))
    path.write_bytes(as_bytes(text, rng))
    path.with_suffix(".png").write_bytes(small_image())
    return path


def read(path: Path) -> None:
    """Convert a set of this image, as a training does."""
    issues, summary = DataIssues(), SetSummary(_CLASS_NAMES)
    entry = IndexEntry("/in/a.png", path.with_suffix(".png"), path)
    json_path = path.with_suffix(".json")
    records = read_records([entry], _CLASS_NAMES, issues, processes=1)
    write_coco_json(json_path, map(summary.add, records), _CLASS_NAMES)
    summary.as_dict(issues)
    load_coco_json(json_path)
    check_findings(issues)


def as_bytes(text: str, rng: random.Random) -> bytes:
    """Return text in UTF-8, rarely in another encoding or damaged."""
    encoding = choose(rng, ("utf-8",), ("utf-8-sig", "utf-16", "utf-32", "utf-16-be", "cp037"), 0.03)
    return damaged(text.encode(encoding, "surrogatepass" if "utf" in encoding else "replace"), rng, 0.1)


@functools.lru_cache(maxsize=None)
def small_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()


def ark_lines(rng: random.Random, oddity: float) -> str:
    lines = []
    for _ in range(rng.randrange(6)):
        count = choose(rng, (5, 7), (0, 1, 4, 6, 99), oddity)
        columns = [choose(rng, _NUMBERS, ODD_NUMBERS, oddity) for _ in range(count)]
        lines.append(choose(rng, (", ", ","), (" ", "\t", ";", "\0"), oddity).join(columns))
    return choose(rng, ("\n",), ("\r", "\r\n", "\u2028", "\x0c", "\x1c"), oddity).join(lines)


def voc_document(rng: random.Random, oddity: float) -> str:
    head = choose(rng, _HEADS[:3], _HEADS, oddity)
    if rng.random() < oddity:
        head = f'<?xml version="1.0" encoding="{rng.choice(_ENCODINGS)}"?>' + head
    depth = choose(rng, (1,), (0, 2, 50, 3000), oddity)
    body = "".join(_voc_object(rng, oddity) for _ in range(rng.randrange(4)))
    return head + "<annotation>" * depth + body + "</annotation>" * depth


def _voc_object(rng: random.Random, oddity: float) -> str:
    tag = {usual: choose(rng, (usual,), _ODD_TAGS, oddity / 4) for usual in _TAGS}
    corners = "".join(
        f"<{tag[name]}>{choose(rng, _NUMBERS, ODD_NUMBERS, oddity)}</{tag[name]}>"
        for name in _TAGS[2:] if rng.random() >= oddity
    )  # fmt: skip
    name = f"<{tag['name']}>{choose(rng, _NAMES, _ODD_NAMES, oddity)}</{tag['name']}>"
    box = f"<{tag['bndbox']}>{corners}</{tag['bndbox']}>" if rng.random() >= oddity else ""
    return f"<object>{name}{box}</object>"
