"""README.md says what the settings say."""

from __future__ import annotations

from pathlib import Path

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools.readme_tables import field_meanings, with_tables

README = Path(__file__).resolve().parents[2] / "README.md"


class Example:
    sheep: int = 3
    """How many
    to count."""


def every_error() -> set[type[ExecutorError]]:
    found, waiting = set(), [ExecutorError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting.extend(kind.__subclasses__())
    return found


def test_parameter_tables_are_those_of_the_settings():
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "settings.py changed: run `make readme`"


def test_every_code_has_its_remedy():
    text = README.read_text(encoding="utf-8")
    for error in every_error():
        assert f"| {error.code} |" in text, error.__name__


def test_a_field_carries_the_meaning_that_stands_under_it():
    assert field_meanings(Example) == {"sheep": "How many to count."}
