"""Make a YMIR task folder from a labelled dataset: Pascal VOC, COCO JSON or YOLO, recognised by its content.

python3 -m ymir_detectron2.tools.make_task DATASET --out FOLDER
python3 -m ymir_detectron2.tools.make_task --voc DIR --split train.txt val.txt --out FOLDER
python3 -m ymir_detectron2.tools.make_task --coco IMAGES --coco-json train.json val.json --out FOLDER
python3 -m ymir_detectron2.tools.make_task --out OTHER --task mining+infer --model FOLDER/out/models \\
    --candidates IMAGES
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

from ..contract.data_issues import DataIssues
from ..errors import ConfigError, DatasetError, ExecutorError, StorageError, briefly, printable
from ..sources.splitting import sets_for_training
from ..yaml_file import NotYamlError, parse_yaml
from .model_argument import training_class_names
from .packed_model import ModelSource
from .releases import RELEASES
from .source_options import add_source_options
from .task_folder import ANNOTATION_FORMATS, TASKS, write_task_folder
from .task_source import candidate_images, open_source, training_images

logger = logging.getLogger(__name__)

GPU_WORDS = {"none": None, "cpu": ""}
"""Words for --gpu-id: no key, which means a GPU if there is one; and what the platform writes for the CPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 with one sentence on stderr for every error that a user can fix."""
    logging.basicConfig(format="%(levelname)-8s %(message)s")
    options = parse_options(arguments)
    try:
        print(printable(make_task(options)))
    except (ExecutorError, OSError) as exc:
        sentence = StorageError.from_os_error(options.out, exc) if isinstance(exc, OSError) else exc
        print(f"make_task: {_on_one_line(str(sentence))}", file=sys.stderr)
        return 1
    return 0


class WrittenTask(NamedTuple):
    """A task folder that is ready to be started."""

    env_file: Path
    summary: str
    """What it holds, one or two lines."""


def make_task(options: argparse.Namespace) -> str:
    """Write the folder that the options describe; return a summary and the next command."""
    env_file, summary = write_task(options, parse_config_values(options.config))
    return f"{summary}\nnext: python3 start.py --env {env_file}"


def write_task(options: argparse.Namespace, config: Mapping[str, Any]) -> WrittenTask:
    """Write the folder that the options describe; what was left out or changed in the data is logged.

    Args:
        options: as `parse_options` returns them.
        config: for config.yaml.

    Raises:
        ExecutorError: a mistake of the user, or the folder cannot be written.
        OSError: likewise.
    """
    issues = DataIssues()
    try:
        content, summary = _content(options, issues)
    except OSError as exc:  # nothing is written yet
        raise DatasetError(f"{exc.filename}: cannot be read ({exc.strerror}); correct it or take it away") from exc
    finally:  # what was found helps with an error too
        for line in issues.summary_lines():
            logger.warning("%s", _on_one_line(line))
    env_file = write_task_folder(
        options.out,
        task=options.task,
        release=options.release,
        config=config,
        model=_model_source(options.model),
        pretrained=_model_source(options.pretrained),
        annotation_format=options.export_format,
        gpu_id=GPU_WORDS.get(options.gpu_id, options.gpu_id),
        own_names=options.names == "own",
        **content,
    )
    return WrittenTask(env_file, summary)


def _on_one_line(text: str) -> str:
    # names of files may hold line breaks, and bytes that are not UTF-8
    return printable(text).replace("\n", "\\n")


def _content(options: argparse.Namespace, issues: DataIssues) -> tuple[dict[str, Any], str]:
    """Return the images and classes for `write_task_folder`, and a summary of them."""
    if options.task != "train":
        found = candidate_images(options, training_class_names(_model_source(options.model)), issues)
        class_names = found.class_names
        summary = f"{len(found.candidates)} candidates"
        return found._asdict(), f"{summary}, {len(class_names)} classes: {', '.join(class_names)}"
    source = open_source(options, issues)
    images = training_images(options, source, issues)
    class_names = images.class_names
    boxes = sum(box[0] in class_names for image in (*images.train, *images.val) for box in image.boxes)
    unused = [name or "other" for name, files in source.sets.items() if files and name not in sets_for_training(source)]
    return {**images._asdict(), "source_dir": source.root}, (
        f"{source.describe()}{f' (not used: {unused[0]} images)' if unused else ''}\n"
        f"{len(images.train)} training and {len(images.val)} validation images, {boxes} boxes, "
        f"{len(class_names)} classes: {', '.join(class_names)}"
    )


def parse_config_values(pairs: Sequence[str], option: str = "--config") -> dict[str, Any]:
    """Parse `key=value` arguments; values get the type that YAML gives them: 0.01 a number, true a boolean.

    1e-4 becomes text, as in a config.yaml of the platform: YAML 1.1 asks for 1.0e-4.

    Args:
        pairs: from the command line.
        option: the one that they were given with, for messages.

    Raises:
        ConfigError: for an argument without a key, or a value that is not YAML.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"{option} {briefly(pair)}: expected key=value")
        try:
            # YAML would make None of an empty text, which the form cannot send, and has no text that begins with @
            values[key] = parse_yaml(text) if text and not text.startswith("@") else text
        except NotYamlError as exc:
            raise ConfigError(f"{option} {briefly(pair)}: the value is no YAML; put it in quotes") from exc
    return values


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line; None: of this process."""
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_task", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source_options(parser)
    parser.add_argument("--data", type=Path, metavar="DATA", help="the same as DATA")
    parser.add_argument(
        "--candidates", nargs=1, metavar="IMAGES", help="train, val, a folder, an image, a list of paths or COCO JSON"
    )
    task = parser.add_argument_group("task")
    task.add_argument("--out", type=Path, default=Path("task"), metavar="FOLDER", help="gets in/ and an empty out/")
    task.add_argument("--task", choices=list(TASKS), default="train")
    task.add_argument("--release", choices=list(RELEASES), default="2.5.0", help="of YMIR")
    task.add_argument("--export-format", choices=ANNOTATION_FORMATS, default="ark")
    task.add_argument("--model", nargs="+", type=Path, metavar="PATH", help="a training's /out/models, or files")
    task.add_argument("--pretrained", nargs="+", type=Path, metavar="PATH", help="the same, to start training from")
    # extend: --config may be given several times
    task.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="for config.yaml")
    task.add_argument("--gpu-id", help="'0,1', or 'cpu'; default: a GPU if there is one")
    task.add_argument("--names", choices=("own", "sha1"), default="own", help="of images: own, or the platform's")
    return parser


def _model_source(paths: list[Path] | None) -> ModelSource | None:
    """Return one path as it is (a folder, or a file), several as the files of one stage."""
    if not paths:
        return None
    return paths[0] if len(paths) == 1 else paths


if __name__ == "__main__":
    sys.exit(main())
