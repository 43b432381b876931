"""The tables of both READMEs agree with the settings and with the error codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ymir_detectron2.config.common_settings import CommonSettings
from ymir_detectron2.config.prediction_settings import InferSettings, MiningSettings
from ymir_detectron2.config.read_settings import ALL_SETTINGS
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools.readme_tables import TABLES, form_table, further_table, language_of, with_tables

PROJECT_DIR = Path(__file__).resolve().parents[2]
README = PROJECT_DIR / "README.md"
PAGES = ("README.md", "README.zh-CN.md")


def every_error() -> set[type[ExecutorError]]:
    classes, waiting = set(), [ExecutorError]
    while waiting:
        kind = waiting.pop()
        classes.add(kind)
        waiting.extend(kind.__subclasses__())
    return classes


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_current(name: str):
    text = (PROJECT_DIR / name).read_text(encoding="utf-8")
    assert with_tables(text, language_of(Path(name))) == text, "a setting changed: run `make readme`"


def test_every_code_has_its_remedy():
    text = README.read_text(encoding="utf-8")
    for error in every_error():
        assert f"| {error.code} |" in text, error.__name__


def keys_of(table: str) -> list[str]:
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_key_has_a_row_of_the_form_or_one_among_the_others(language: str):
    for settings in ALL_SETTINGS:
        owners = settings.__mro__[:-1]
        further = [key for owner in owners for key in keys_of(further_table(owner, language))]
        assert sorted(further + keys_of(form_table(settings, language))) == sorted(settings.__dataclass_fields__)


def test_a_row_has_the_columns_of_its_language():
    english, chinese = (form_table(InferSettings, language).split("\n") for language in ("en", "zh"))
    assert english[0] == "| key | type | default | meaning | advice |"
    assert chinese[0] == "| 超参数 | 默认值 | 类型 | 说明 | 建议 |"
    assert english[2].startswith("| `conf_threshold` | float | `0.2` | Confidence threshold between 0 and 1: boxes")
    assert chinese[2].startswith("| `conf_threshold` | `0.2` | 浮点数 | 置信度阈值，")
    config_file = form_table(TrainSettings, "zh").split("\n")[3]
    assert config_file.startswith("| `config_file` | `configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml` | 文件路径 | ")
    assert "| `max_epochs` | float | `0` |" in form_table(TrainSettings, "en")
    assert "| `args_options` | string | `''` |" in form_table(TrainSettings, "en")


def test_a_row_lists_the_choices_of_its_key():
    table = further_table(TrainSettings, "en")
    assert "early stopping. Choices: `map50`, `map`, `map75`, `mar`. |" in table
    assert "empty: none. Choices, separated by commas: `vertical_flip`, `colour_jitter`, " in table
    assert "`mosaic`. Only in the engine `torch`. |" in table
    assert "可选（用逗号分隔）：`vertical_flip`、`colour_jitter`、" in further_table(TrainSettings, "zh")
    assert "可选：`cald`、`cald_legacy`、" in form_table(MiningSettings, "zh")


def test_a_page_without_one_of_the_markers_is_an_error():
    page = "".join(f"<!-- {name} -->\nthe former table\n<!-- end -->\n" for name in TABLES)
    current = with_tables(page, "en")
    assert "the former table" not in current
    assert further_table(CommonSettings, "en") in current
    for broken in (page.replace("<!-- mining table -->", ""), page + page):
        with pytest.raises(ValueError, match=r"needs '<!-- .* --> \.\.\. <!-- end -->' exactly once, found "):
            with_tables(broken, "en")


def test_the_language_of_a_page_is_in_its_name():
    assert [language_of(Path(name)) for name in PAGES] == ["en", "zh"]
