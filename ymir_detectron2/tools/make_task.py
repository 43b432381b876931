"""Make a YMIR task folder from a Pascal VOC or COCO dataset, as the platform would mount it.

python3 -m ymir_detectron2.tools.make_task --voc DIR --split train.txt val.txt --out FOLDER
python3 -m ymir_detectron2.tools.make_task --coco IMAGES --coco-json train.json val.json --out FOLDER
python3 -m ymir_detectron2.tools.make_task --voc DIR --split train.txt val.txt --out OTHER \\
    --task mining+infer --model FOLDER/out/models
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any, Sequence

from ..contract.task import class_key
from ..errors import ConfigError, DatasetError, ExecutorError, StorageError, briefly, printable
from ..untrusted_files import read_lines
from ..yaml_file import NotYamlError, parse_yaml
from .annotation_writer import is_name
from .coco_source import read_coco
from .packed_model import ModelSource, training_class_names
from .releases import RELEASES
from .task_folder import ANNOTATION_FORMATS, TASKS, AnnotatedImage, write_task_folder
from .voc_source import list_voc_images, read_voc

SPLITS = ("train", "val")
NO_GPU_KEY = "none"  # '' is taken: for the platform it means the CPU


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 with one sentence on stderr for every error that a user can fix."""
    logging.basicConfig(format="%(levelname)-8s %(message)s")
    options = _parser().parse_args(arguments)
    try:
        print(printable(make_task(options)))
    except (ExecutorError, OSError) as exc:
        sentence = StorageError.from_os_error(options.out, exc) if isinstance(exc, OSError) else exc
        print(f"make_task: {sentence}", file=sys.stderr)
        return 1
    return 0


def make_task(options: argparse.Namespace) -> str:
    """Write the folder that the options describe; return a summary and the next command."""
    model = _model_source(options.model)
    pretrained = _model_source(options.pretrained)
    if options.task == "train":
        content, summary = _training_content(options)
    else:
        content, summary = _candidate_content(options, model)
    env_file = write_task_folder(
        options.out,
        task=options.task,
        release=options.release,
        config=parse_config_values(options.config),
        model=model,
        pretrained=pretrained,
        annotation_format=options.export_format,
        gpu_id=None if options.gpu_id == NO_GPU_KEY else options.gpu_id,
        source_dir=_source_dir(options),
        **content,
    )
    return f"{summary}\nnext: python3 start.py --env {env_file}"


def parse_config_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` arguments; values get the type that YAML gives them: 0.01 a number, true a boolean.

    1e-4 becomes text, as in a config.yaml of the platform: YAML 1.1 asks for 1.0e-4.

    Raises:
        ConfigError: for an argument without a key, or a value that is not YAML.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"--config {briefly(pair)}: expected key=value")
        try:
            values[key] = parse_yaml(text) if text else ""  # YAML would give None, which the form cannot send
        except NotYamlError as exc:
            raise ConfigError(f"--config {briefly(pair)}: the value is no YAML; put it in quotes") from exc
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_task", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_argument_group("source")
    source.add_argument("--voc", type=Path, metavar="DIR", help="holds annotations/ and images/, or VOC's own names")
    source.add_argument("--split", nargs="+", default=[], metavar="FILE", help="training, then validation: stems")
    source.add_argument("--coco", type=Path, metavar="DIR", help="the images of --coco-json")
    source.add_argument("--coco-json", nargs="+", default=[], type=Path, metavar="FILE", help="training, validation")
    source.add_argument("--candidates", default="val", help="train, val, or a file with one image path a line")
    task = parser.add_argument_group("task")
    task.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="gets in/ and an empty out/")
    task.add_argument("--task", choices=list(TASKS), default="train")
    task.add_argument("--classes", help="a,b,c: in the order of their indexes; default all, sorted; lower-cased")
    task.add_argument("--release", choices=list(RELEASES), default="2.5.0", help="of YMIR")
    task.add_argument("--export-format", choices=ANNOTATION_FORMATS, default="ark")
    task.add_argument("--model", nargs="+", type=Path, metavar="PATH", help="a training's /out/models, or files")
    task.add_argument("--pretrained", nargs="+", type=Path, metavar="PATH", help="the same, to start training from")
    # extend: --config may be given several times
    task.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="for config.yaml")
    task.add_argument("--gpu-id", default="", help=f"'0,1'; '' is the CPU; '{NO_GPU_KEY}' leaves the key out")
    return parser


def _training_content(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if len(options.split or options.coco_json) != len(SPLITS):
        raise ConfigError("training needs two splits: --split train.txt val.txt, or --coco-json train.json val.json")
    train, val = (_read_split(options, split) for split in SPLITS)
    class_names = _listed_classes(options) or _all_classes([*train, *val])
    boxes = sum(box[0] in class_names for image in [*train, *val] for box in image.boxes)
    summary = (
        f"{len(train)} training and {len(val)} validation images, {boxes} boxes, "
        f"{len(class_names)} classes: {', '.join(class_names)}"
    )
    return {"train": train, "val": val, "class_names": class_names}, summary


def _candidate_content(options: argparse.Namespace, model: ModelSource | None) -> tuple[dict[str, Any], str]:
    candidates = _find_candidates(options)
    # as on the platform: those of the training, in its order; --classes only for a model that does not know them
    class_names = training_class_names(model) or _listed_classes(options)
    if not class_names:
        splits = SPLITS[: len(options.split or options.coco_json)]
        class_names = _all_classes([image for split in splits for image in _read_split(options, split)])
    summary = f"{len(candidates)} candidates, {len(class_names)} classes: {', '.join(class_names)}"
    return {"candidates": candidates, "class_names": class_names}, summary


def _find_candidates(options: argparse.Namespace) -> list[Path]:
    if options.candidates in SPLITS:
        if options.voc:  # their annotations may be missing
            return list_voc_images(options.voc, _split_source(options, options.candidates))
        return [image.path for image in _read_split(options, options.candidates)]
    index = Path(options.candidates)
    try:
        lines = read_lines(index)
    except OSError as exc:
        raise ConfigError(f"--candidates {index}: cannot be read ({exc.strerror}); give train, val or a file") from exc
    # columns after a tab are ignored, so that an index file of the platform will do
    # relative paths start at the folder of the file, so that a dataset can be moved
    images = [index.parent / line.split("\t")[0].strip() for line in lines if line.strip()]
    if not images:
        raise DatasetError(f"{index}: lists no images; put one path on each line")
    return images


def _source_dir(options: argparse.Namespace) -> Path | None:
    if options.task != "train" and options.candidates not in SPLITS:
        return Path(options.candidates).parent
    source: Path | None = options.voc or options.coco
    return source


def _read_split(options: argparse.Namespace, split: str) -> list[AnnotatedImage]:
    """Read one split from VOC or COCO, with class names as the platform stores them."""
    source = _split_source(options, split)
    images = read_voc(options.voc, source) if options.voc else read_coco(options.coco, source)
    return [
        AnnotatedImage(image.path, tuple((class_key(box[0]), *box[1:]) for box in image.boxes))
        for image in images
    ]


def _split_source(options: argparse.Namespace, split: str) -> Any:
    """Return the split file (VOC) or JSON file (COCO) of one split."""
    if bool(options.voc) == bool(options.coco):
        raise ConfigError("give one source: --voc DIR with --split, or --coco DIR with --coco-json")
    given = options.split if options.voc else options.coco_json
    if len(given) <= SPLITS.index(split):
        option = "--split" if options.voc else "--coco-json"
        raise ConfigError(f"{option} names {len(given)} files and the {split} split is the {SPLITS.index(split) + 1}.")
    return given[SPLITS.index(split)]


def _listed_classes(options: argparse.Namespace) -> list[str]:
    names = [class_key(name) for name in (options.classes or "").split(",") if name.strip()]
    for name in names:
        if not is_name(name):
            raise ConfigError(f"--classes: {briefly(name)} cannot be the name of a class; correct it")
    return names


def _all_classes(images: Sequence[AnnotatedImage]) -> list[str]:
    # sorted: class ids must not depend on the order of the images
    names = sorted({box[0] for image in images for box in image.boxes})
    if not names:
        raise ConfigError("no class names: the source holds no boxes; give --classes a,b,c")
    return names


def _model_source(paths: list[Path] | None) -> ModelSource | None:
    """Return one path as it is (a folder, or a file), several as the files of one stage."""
    if not paths:
        return None
    return paths[0] if len(paths) == 1 else paths


if __name__ == "__main__":
    sys.exit(main())
