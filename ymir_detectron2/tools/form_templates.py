"""The templates of the web form (training-template.yaml and its siblings), generated from the settings dataclasses.

python3 -m ymir_detectron2.tools.form_templates FOLDER     rewrites the three files of a folder
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from ..atomic_file import atomic_write
from ..config.common_settings import CommonSettings
from ..config.prediction_settings import InferSettings, MiningSettings
from ..config.setting import effects_of
from ..config.setting_texts import setting_texts
from ..config.train_settings import TrainSettings

TEMPLATES: dict[str, tuple[str, type[CommonSettings]]] = {
    "training-template.yaml": ("training", TrainSettings),
    "infer-template.yaml": ("inference", InferSettings),
    "mining-template.yaml": ("mining", MiningSettings),
}
"""File -> what its heading calls the task, and its keys."""
_TASKS_ZH = {"training": "训练", "inference": "推理", "mining": "挖掘"}


def template_text(task: str, settings: type[CommonSettings]) -> str:
    """Return a template: the keys of the form with their defaults, and what they mean in comments.

    Every release reads the file with a YAML parser that drops comments, as UTF-8.
    """
    blocks = [
        f"# Hyper-parameters of {task}, as YMIR shows them in its form. Advice, and keys that can be added: README.md\n"
        f"# YMIR {_TASKS_ZH[task]}任务表单中的超参数；建议及可添加的其他参数见 README.zh-CN.md"
    ]
    texts = setting_texts(settings)
    for field in form_fields(settings):
        text = texts[field.name]
        comments = [*textwrap.wrap(text.meaning, 118, break_on_hyphens=False), text.meaning_zh]
        key = yaml.safe_dump({field.name: field.default}).strip()
        blocks.append("\n".join([*(f"# {line}" for line in comments), key]))
    return "\n\n".join(blocks) + "\n"


def form_fields(settings: type[CommonSettings]) -> list[dataclasses.Field[Any]]:
    """Return the fields that the form shows, in its order: those of one task before those that it shares."""
    return [field for owner in settings.__mro__[:-1] for field in own_fields(owner) if effects_of(field).in_form]


def own_fields(settings: type) -> list[dataclasses.Field[Any]]:
    """Return the fields that a settings class adds to those of its base class."""
    inherited = {field.name for base in settings.__mro__[1:-1] for field in dataclasses.fields(base)}
    return [field for field in dataclasses.fields(settings) if field.name not in inherited]


def main() -> int:
    """Rewrite the templates in the folder named on the command line."""
    for name, (task, settings) in TEMPLATES.items():
        with atomic_write(Path(sys.argv[1]) / name) as file:
            file.write(template_text(task, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
