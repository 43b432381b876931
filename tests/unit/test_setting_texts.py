"""The four paragraphs under a field: complete for every key, joined where a line was only broken."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ymir_detectron2.config.read_settings import ALL_SETTINGS
from ymir_detectron2.config.setting_texts import SettingText, setting_texts

CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Example:
    sheep: int = 3
    """How many
    to count.

    Advice: Not too
    many.

    说明：数几
    只羊，用 `int`
    表示。

    建议：不要
    太多。
    """


class WithoutAdvice:
    sheep: int = 3
    """How many to count.

    说明：数几只羊。

    建议：不要太多。
    """


class WithoutText:
    sheep: int = 3


def test_the_texts_of_a_field_are_its_docstring():
    expected = SettingText("How many to count.", "Not too many.", "数几只羊，用 `int` 表示。", "不要太多。")
    assert setting_texts(Example) == {"sheep": expected}


@pytest.mark.parametrize("settings", [WithoutAdvice, WithoutText])
def test_a_field_without_one_of_them_is_an_error(settings: type):
    with pytest.raises(ValueError, match=r"^sheep: the docstring needs four paragraphs"):
        setting_texts(settings)


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_every_key_has_all_four(settings: type):
    texts = setting_texts(settings)
    assert list(texts) == [field.name for field in dataclasses.fields(settings)]
    for name, text in texts.items():
        assert all(text), name
        for english in (text.meaning, text.advice):
            assert not CHINESE.search(english), name
            assert english.endswith("."), name
        for chinese in (text.meaning_zh, text.advice_zh):
            assert CHINESE.search(chinese), name
            assert chinese.endswith("。"), name
            assert not re.search(r"[\u4e00-\u9fff] ?[,;:]", chinese), f"{name}: punctuation of the other language"
        assert text.advice != text.meaning
        assert "|" not in "".join(text), f"{name}: would end a cell of the table"


def typed_words(text: str) -> set[str]:
    return set(re.findall("`([^`]*)`", text))


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_both_languages_name_the_same_keys_values_and_files(settings: type):
    """What is in backticks is to be typed: a translation that lacks it, or has another one, is stale."""
    for name, text in setting_texts(settings).items():
        for english, chinese in ((text.meaning, text.meaning_zh), (text.advice, text.advice_zh)):
            assert typed_words(english) == typed_words(chinese.replace("@文件", "@FILE")), name
