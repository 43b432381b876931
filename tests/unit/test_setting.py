"""What is declared with a key, and that a new one needs nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tiny_training import config, job_of
from ymir_detectron2.config.read_settings import read_settings, require_implemented, values_where
from ymir_detectron2.config.setting import Limit, setting, split_words
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.form_templates import form_fields
from ymir_detectron2.tools.readme_tables import further_table
from ymir_detectron2.training.checkpointing import fingerprint


@dataclass(frozen=True)
class NewKeys(TrainSettings):
    """Keys that are declared here and nowhere else."""

    plain: int = 0
    """Neither checked nor limited.

    Advice: None.

    说明：无。

    建议：无。
    """
    declared: str = setting("a", choices=("a", "b"), resumable=True, affects_predictions=False, engines=("torch",))
    """A meaning.

    Advice: A piece of advice.

    说明：一种含义。

    建议：一条建议。
    """
    limited: int = setting(3, if_absent=5, limit=Limit("5 or 6", lambda number: number in (5, 6)), in_form=True)
    """With a default outside of its limit.

    Advice: None.

    说明：无。

    建议：无。
    """


def test_a_new_key_needs_nothing_but_its_declaration(tmp_path: Path):
    """The form, the checks, the README, resuming, reused predictions and both engines take it from there."""
    assert read_settings(NewKeys, {"plain": "7"}) == dataclasses.replace(
        NewKeys(), batch_size=0, max_iter=0, learning_rate=0.0, plain=7, limited=5
    )
    assert NewKeys().limited == 3, "a default may be outside of its limit"
    with pytest.raises(ConfigError, match=r"^config\.yaml: declared: must be one of a, b, found 'c'$"):
        NewKeys(declared="c")
    with pytest.raises(ConfigError, match=r"^config\.yaml: limited: must be 5 or 6, found 7$"):
        NewKeys(limited=7)
    meaning = "A meaning. Choices: `a`, `b`. Only in the engine `torch`."
    assert f"| `declared` | string | `a` | {meaning} | A piece of advice. |" in further_table(NewKeys, "en")
    row = "| `declared` | `a` | 字符串 | 一种含义。可选：`a`、`b`。仅 `torch` 引擎支持。 | 一条建议。 |"
    assert row in further_table(NewKeys, "zh")
    assert form_fields(NewKeys)[0].name == "limited"

    job = dataclasses.replace(job_of(tmp_path, {}), settings=NewKeys(declared="b"))
    identity = fingerprint(job, config(), "torch", "fp32")
    assert "plain" in identity, "by default, another value makes another training"
    assert "declared" not in identity
    affecting = values_where(NewKeys(), lambda effects: effects.affects_predictions)
    assert "plain" in affecting
    assert "declared" not in affecting
    require_implemented(NewKeys(plain=5, declared="b"), "torch")
    require_implemented(NewKeys(plain=5), "detectron2")
    with pytest.raises(ConfigError, match=r"^config\.yaml: declared: 'b' needs engine: torch; set that, or leave the"):
        require_implemented(NewKeys(declared="b"), "detectron2")


def test_words_between_commas():
    assert list(split_words(" a, ,b,,c ,")) == ["a", "b", "c"]
    assert list(split_words("")) == []
