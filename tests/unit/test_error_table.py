"""The explanations of the error codes in both languages, and the Chinese sentence at the end of a failure's log."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.error_lines import error_line
from tests.running import PROJECT_DIR
from ymir_detectron2 import errors
from ymir_detectron2.error_table import ERROR_TABLE, chinese_sentence

PLATFORM_TEXTS = {
    300001: "配置", 300002: "训练集", 300003: "图片格式错误", 300004: "模型错误", 300101: "CUDA 与 GPU 不兼容",
    300102: "未找到", 300103: "内存或显存不足", 300201: "NaN 错误", 300301: "网络错误", 160004: "容器错误",
}  # fmt: skip
"""How the texts begin that the platform's web page shows for these codes (its locales/modules/errors.ts)."""
HAN = re.compile("[\u4e00-\u9fff]")


def test_each_code_of_the_tree_has_its_explanation_and_no_other():
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert set(ERROR_TABLE) == {cls.code for cls in classes if issubclass(cls, errors.ExecutorError)}


@pytest.mark.parametrize("code", ERROR_TABLE)
def test_each_explanation_is_in_its_language_and_fits_into_a_table(code: int):
    for text in ERROR_TABLE[code].english:
        assert text
        assert not HAN.search(text)
    for text in ERROR_TABLE[code].chinese:
        assert HAN.search(text)
        assert not re.search("[；。]", text), "the sentence joins meaning and remedy, and ends, with these"
    for text in (*ERROR_TABLE[code].english, *ERROR_TABLE[code].chinese):
        assert "|" not in text
        assert "\n" not in text
        assert text.count("`") % 2 == 0


@pytest.mark.parametrize("code", PLATFORM_TEXTS)
def test_the_chinese_meaning_begins_as_on_the_platform(code: int):
    assert ERROR_TABLE[code].chinese.meaning.startswith(PLATFORM_TEXTS[code])


def test_the_sentence_has_code_meaning_and_remedy():
    assert chinese_sentence(300201) == (
        "错误 300201：NaN 错误，损失（loss）变为 NaN 或无穷大，学习率降到八分之一后仍然如此；请调低 learning_rate。"
    )


def test_a_code_that_is_none_of_ours_has_a_sentence_too():
    assert chinese_sentence(5).startswith("错误 5：容器错误，")


FAIL = r"""
import sys
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.failure import report_failure
sys.exit(report_failure(None, DatasetError("/in/\u56fe\u7247.jpg: gone")))
"""
WITHOUT_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def output_of_failure(environment: dict[str, str]) -> bytes:
    without = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    failed = subprocess.run(
        [sys.executable, "-c", FAIL], cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**without, **environment},
    )  # fmt: skip
    assert failed.returncode == 1
    return failed.stdout


@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        pytest.param({"PYTHONIOENCODING": "utf-8"}, "utf-8", id="UTF-8"),
        pytest.param({"PYTHONIOENCODING": "gb18030"}, "gb18030", id="GB 18030"),
        pytest.param({"LC_ALL": "C"}, "utf-8", id="the C locale, in which Python writes UTF-8"),
    ],
)
def test_the_sentence_follows_where_the_log_can_hold_it(environment: dict[str, str], encoding: str):
    output = output_of_failure(environment).decode(encoding)
    assert error_line(output) == "ERROR 300002: /in/图片.jpg: gone"
    assert len(output.splitlines()) == 2


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, id="ASCII"),
        pytest.param({"PYTHONIOENCODING": "ascii:replace"}, id="ASCII with question marks"),
        pytest.param({"PYTHONIOENCODING": "latin-1"}, id="Latin-1"),
        pytest.param(WITHOUT_UTF_8, id="a locale without UTF-8"),
    ],
)
def test_elsewhere_it_is_left_out_and_the_reason_is_still_there(environment: dict[str, str]):
    """Before, a name that the log cannot hold replaced the reason by a traceback."""
    assert output_of_failure(environment) == b"ERROR 300002: /in/\\u56fe\\u7247.jpg: gone\n"
