"""What a user has to know about a key, in English and Chinese: the four paragraphs that stand under its field.

    batch_size: int = setting(2)
    \"\"\"Images per step.

    Advice: As many as the memory of the GPUs holds.

    说明：每步训练的图像数。

    建议：在显存允许的范围内尽量大。
    \"\"\"
"""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple

_LABELS = ("", "Advice: ", "说明：", "建议：")
_WIDE = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"  # Chinese characters, and punctuation of their width


class SettingText(NamedTuple):
    """The meaning of a key, and advice when to set it and to what."""

    meaning: str
    advice: str
    meaning_zh: str
    advice_zh: str


def setting_texts(settings: type) -> dict[str, SettingText]:
    """Return the texts of all keys by name, those of base classes first.

    Raises:
        ValueError: a field lacks one of its four paragraphs.
    """
    # Python drops docstrings of fields, so they are read from the source
    texts: dict[str, SettingText] = {}
    for owner in reversed(settings.__mro__[:-1]):
        body = ast.parse(inspect.getsource(owner)).body[0].body  # type: ignore[attr-defined]
        for field, following in zip(body, [*body[1:], None]):
            if isinstance(field, ast.AnnAssign):
                name = field.target.id  # type: ignore[union-attr]
                texts[name] = _parse(name, following)
    return texts


def _parse(name: str, statement: ast.stmt | None) -> SettingText:
    text = ast.literal_eval(statement.value) if isinstance(statement, ast.Expr) else ""
    paragraphs = [_on_one_line(paragraph) for paragraph in re.split(r"\n\s*\n", text)]
    if len(paragraphs) != len(_LABELS) or not all(map(str.startswith, paragraphs, _LABELS)):
        raise ValueError(f"{name}: the docstring needs four paragraphs: meaning, 'Advice: ', '说明：' and '建议：'")
    return SettingText(*(paragraph[len(label) :] for paragraph, label in zip(paragraphs, _LABELS)))


def _on_one_line(paragraph: str) -> str:
    """Join lines with a blank between them, but where Chinese goes on in the next line."""
    joined = re.sub(rf"(?<={_WIDE})\s*\n\s*(?={_WIDE})", "", paragraph.strip())
    return " ".join(joined.split())
