"""The tables of README.md agree with the settings and with the error codes."""

from __future__ import annotations

from pathlib import Path

from ymir_detectron2.config.settings import TrainSettings
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools.readme_tables import field_meanings, parameter_table, with_tables

README = Path(__file__).resolve().parents[2] / "README.md"


class Example:
    sheep: int = 3
    """How many
    to count."""


def every_error() -> set[type[ExecutorError]]:
    classes, waiting = set(), [ExecutorError]
    while waiting:
        kind = waiting.pop()
        classes.add(kind)
        waiting.extend(kind.__subclasses__())
    return classes


def test_parameter_tables_are_those_of_the_settings():
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "settings.py changed: run `make readme`"


def test_every_code_has_its_remedy():
    text = README.read_text(encoding="utf-8")
    for error in every_error():
        assert f"| {error.code} |" in text, error.__name__


def test_the_meaning_of_a_field_is_its_docstring():
    assert field_meanings(Example) == {"sheep": "How many to count."}


def test_a_row_lists_the_choices_of_its_key():
    table = parameter_table(TrainSettings)
    assert "| `best_metric` | str | `'map50'` | Metric for model selection" in table
    assert "Choices: `map50`, `map`, `map75`, `mar`. |" in table
    assert "empty: none. Choices, separated by commas: `vertical_flip`, `colour_jitter`, " in table
