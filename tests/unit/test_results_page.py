"""The frame of report.html: nothing from data becomes markup or code, and nothing but the page's own code may run."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import jinja2
import pytest

from ymir_detectron2.errors import StorageError
from ymir_detectron2.results import page
from ymir_detectron2.results.findings import Finding
from ymir_detectron2.results.page import MAX_PAGE_BYTES, Section, embedded_json, render_page, write_page
from ymir_detectron2.results.prediction_counts import PredictionCounts

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & \"'"
TEMPLATES = Path(page.__file__).parent / "templates"


def section(name: str = "unreadable image") -> Section:
    """The section of inference of no image, with a name from data in its table, in its title and for its scripts."""
    context = {
        "counts": PredictionCounts(), "shown": 0, "evenly": 1, "most_boxes": 1, "most_boxes_drawn": 1,
        "is_capped": False, "images_per_second": None, "findings": [Finding(name, 1, (name,))],
    }  # fmt: skip
    return Section("prediction", name, "prediction.html.j2", context, {name: name}, ("prediction.js",))


def test_json_comes_back_and_holds_nothing_that_ends_its_element():
    data = {HOSTILE: [HOSTILE, 1, 2.5, None, True]}
    text = embedded_json(data)
    assert json.loads(text) == json.loads(json.dumps(data).replace("\\u2028", "\\\\u2028"))
    assert not set("<>&\u2028") & set(text)
    assert text.isascii()


def test_a_number_that_json_cannot_say_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json({"a": float("nan")})


def test_names_of_any_bytes_and_control_characters_are_escapes():
    assert json.loads(embedded_json(["caf\udce9", "a\u202eb\x1b[2J"])) == ["caf\\udce9", "a\\u202eb\\x1b[2J"]


def test_text_of_a_template_is_escaped_in_title_section_and_data():
    text = render_page(HOSTILE, HOSTILE, [section(HOSTILE)] * 2)
    assert text.count("<script") == 4  # data, page.js, charts.js, prediction.js
    assert "alert(1)</script>" not in text
    # <title>, <h1>, the line below, and of each section its link, its heading, the reason and the example
    assert text.count(html.escape("</script><script>alert(1)</script>")) == 3 + 2 * 4


def test_bytes_of_a_file_name_that_are_not_utf8_can_be_written(tmp_path: Path):
    write_page(tmp_path / "report.html", "a", "", [section("caf\udce9.jpg")])
    assert "caf\\udce9.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_variable_that_is_missing_is_an_error():
    incomplete = section()._replace(context={"counts": PredictionCounts()})
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        render_page("a", "", [incomplete])


def test_the_policy_allows_exactly_the_styles_and_scripts_that_are_there():
    """As a browser does it: the hash of the text between the tags, byte by byte."""
    text = render_page("a", "b", [section("c")])
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    inline = re.findall(r"<(style|script)>(.*?)</\1>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for _, body in inline]
    assert [tag for tag, _ in inline] == ["style", "script", "script", "script"]
    assert re.findall(r"'sha256-([^']*)'", policy) == digests
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy


def test_a_page_that_no_browser_would_open_at_once_is_not_written(tmp_path: Path):
    with pytest.raises(StorageError, match=r"would have [2-9][0-9] MB"):
        write_page(tmp_path / "report.html", "a", "", [section("x" * MAX_PAGE_BYTES)])
    assert list(tmp_path.iterdir()) == []


def test_own_scripts_make_no_markup_of_texts_and_end_no_element():
    names = sorted(path.name for path in TEMPLATES.iterdir() if path.suffix in (".js", ".css"))
    assert {"page.js", "charts.js", "page.css"} <= set(names)
    for name in names:
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        assert not re.search(r"(inn|out)erHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</", text), name
        assert "\r" not in text, name  # a browser would hash another line end


def test_templates_switch_no_escaping_off():
    for path in TEMPLATES.glob("*.j2"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape|style=|\son\w+=", text), path.name
