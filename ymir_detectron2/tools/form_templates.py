"""The templates of the web form (training-template.yaml and its siblings), generated from the settings dataclasses.

python3 -m ymir_detectron2.tools.form_templates FOLDER     rewrites the three files of a folder
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import yaml

from ..atomic_file import atomic_write
from ..config.settings import DeviceSettings, InferSettings, MiningSettings, TrainSettings

TEMPLATES: dict[str, tuple[str, type[DeviceSettings]]] = {
    "training-template.yaml": ("training", TrainSettings),
    "infer-template.yaml": ("inference", InferSettings),
    "mining-template.yaml": ("mining", MiningSettings),
}
"""File -> what its heading calls the task, and its keys."""


def template_text(task: str, settings: type[DeviceSettings]) -> str:
    """Return a template: each key with its default, the task's own keys before those of all tasks."""
    lines = [f"# Hyper-parameters of {task}, as YMIR shows them in its form. Their meaning: README.md."]
    if settings is TrainSettings:
        # the platform writes annotations in the format that this names; releases 1.1 to 2.5 all know this one
        lines.append("export_format: 'ark:raw'")
    for field in form_fields(settings):
        lines.append(yaml.safe_dump({field.name: field.default}).strip())
    return "\n".join(lines) + "\n"


def form_fields(settings: type[DeviceSettings]) -> list[dataclasses.Field[object]]:
    """Return the fields in the order of the form; sorting is stable, so otherwise in the order of the class."""
    shared = {field.name for field in dataclasses.fields(DeviceSettings)}
    return sorted(dataclasses.fields(settings), key=lambda field: field.name in shared)


def main() -> int:
    """Rewrite the templates in the folder named on the command line."""
    for name, (task, settings) in TEMPLATES.items():
        with atomic_write(Path(sys.argv[1]) / name) as file:
            file.write(template_text(task, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
