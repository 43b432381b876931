"""The generated tables of README.md and README.zh-CN.md.

python3 -m ymir_detectron2.tools.readme_tables README.md README.zh-CN.md     rewrites the text between the markers
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence, get_type_hints

from ..atomic_file import atomic_write
from ..config.common_settings import CommonSettings
from ..config.prediction_settings import InferSettings, MiningSettings
from ..config.setting import ENGINES, Effects, effects_of
from ..config.setting_texts import setting_texts
from ..config.train_settings import TrainSettings
from ..error_table import ERROR_TABLE
from ..version import PROJECT_DIR
from .form_templates import form_fields, own_fields
from .model_table import model_table

_COLUMNS = {
    "en": ("key", "type", "default", "meaning", "advice"),
    "zh": ("超参数", "默认值", "类型", "说明", "建议"),
}
_ERROR_COLUMNS = {"en": ("code", "meaning", "what to do"), "zh": ("错误码", "含义", "处理办法")}
_BENCHMARKS = PROJECT_DIR / "docs" / "benchmarks.md"
_TYPE_WORDS = {
    "en": {int: "integer", float: "float", str: "string", Path: "file path"},
    "zh": {int: "整数", float: "浮点数", str: "字符串", Path: "文件路径"},
}


def form_table(settings: type[CommonSettings], language: str) -> str:
    """Return one row per key that the web form of a task shows, in its order.

    Args:
        language: "en" or "zh".
    """
    return _key_table(settings, form_fields(settings), language)


def further_table(settings: type[CommonSettings], language: str) -> str:
    """Return one row per key that a settings class adds to its base class and that no form shows."""
    return _key_table(settings, [field for field in own_fields(settings) if not effects_of(field).in_form], language)


def error_table(language: str) -> str:
    """Return one row per error code: what it means and what to do, "en" or "zh"."""
    rows = [_ERROR_COLUMNS[language], ("---",) * 3]
    for code, texts in ERROR_TABLE.items():
        text = texts.chinese if language == "zh" else texts.english
        rows.append((str(code), text.meaning, text.remedy))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


TABLES: Mapping[str, Callable[[str], str]] = {
    "training table": lambda language: form_table(TrainSettings, language),
    "mining table": lambda language: form_table(MiningSettings, language),
    "inference table": lambda language: form_table(InferSettings, language),
    "further training keys": lambda language: further_table(TrainSettings, language),
    "further keys of mining and inference": lambda language: further_table(InferSettings, language),
    "further mining keys": lambda language: further_table(MiningSettings, language),
    "further keys of all tasks": lambda language: further_table(CommonSettings, language),
    "model table": lambda language: model_table(language, _BENCHMARKS.read_text(encoding="utf-8")),
    "error table": error_table,
}
"""Name in the marker -> the table in a language."""


def with_tables(page: str, language: str) -> str:
    """Return a page with current tables between `<!-- NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: a pair of markers is missing or occurs twice.
    """
    for name, table in TABLES.items():
        begin = f"<!-- {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?<!-- end -->", re.DOTALL)
        text = f"{begin}\n{table(language)}\n<!-- end -->"
        # a function, because in a replacement string the backslashes of a table would be escapes
        page, count = pattern.subn(lambda _, text=text: text, page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page needs '{begin} ... <!-- end -->' exactly once, found {count}")
    return page


def language_of(path: Path) -> str:
    """Return the language of a page by its name: README.zh-CN.md is Chinese."""
    return "zh" if path.name.endswith(".zh-CN.md") else "en"


def _key_table(
    settings: type[CommonSettings], fields: Sequence[dataclasses.Field[Any]], language: str
) -> str:
    texts, types, is_zh = setting_texts(settings), get_type_hints(settings), language == "zh"
    rows: list[tuple[str, ...]] = [_COLUMNS[language], ("---",) * len(_COLUMNS[language])]
    for field in fields:
        text, effects = texts[field.name], effects_of(field)
        name, default = f"`{field.name}`", _default(field.default)
        kind = _kind(types[field.name], effects, language)
        # the order of the columns is that of the page which Chinese users know
        head = (name, default, kind) if is_zh else (name, kind, default)
        meaning, advice = (text.meaning_zh, text.advice_zh) if is_zh else (text.meaning, text.advice)
        rows.append((*head, meaning + _choices(effects, language) + _engines(effects, language), advice))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _kind(declared: Any, effects: Effects, language: str) -> str:
    """Return the type of a key in words; of a number that may be a word, both."""
    plain = Path if effects.is_path else int if effects.words else declared
    return (" 或 " if language == "zh" else " or ").join(
        [_TYPE_WORDS[language][plain], *(f"`{word}`" for word in effects.words)]
    )


def _default(value: Any) -> str:
    return f"`{value:g}`" if isinstance(value, float) else f"`{value!r}`" if value == "" else f"`{value}`"


def _choices(effects: Effects, language: str) -> str:
    names = [f"`{choice}`" for choice in effects.choices]
    if not names:
        return ""
    if language == "zh":
        return f"可选{'（用逗号分隔）' if effects.several else ''}：{'、'.join(names)}。"
    return f" Choices{', separated by commas' if effects.several else ''}: {', '.join(names)}."


def _engines(effects: Effects, language: str) -> str:
    if effects.engines == ENGINES:
        return ""
    names = ", ".join(f"`{engine}`" for engine in effects.engines)
    return f"仅 {names} 引擎支持。" if language == "zh" else f" Only in the engine {names}."


def main() -> int:
    """Rewrite the files named on the command line."""
    for path in map(Path, sys.argv[1:]):
        text = with_tables(path.read_text(encoding="utf-8"), language_of(path))
        with atomic_write(path) as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
