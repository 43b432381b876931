"""YMIR task folders: ROOT/in exactly as the platform mounts it at /in, and an empty ROOT/out.

    in/env.yaml   in/config.yaml
    in/train-index.tsv  in/val-index.tsv      /in/assets/17/8e5f...17.jpg \\t /in/annotations/17/8e5f...17.txt
    in/candidate-index.tsv                    /in/assets/17/8e5f...17.jpg
    in/candidate-sources.json                 where images with own names came from, for people and `convert`
    in/assets/  in/annotations/  in/models/

With own names: /in/assets/line3_0042.jpg \\t /in/annotations/train/line3_0042.jpg.txt. The platform writes such paths
for uploaded files only, but no release needs digits: the executor returns whatever name the index has.

Paths inside the files are container paths, so that the folder can be mounted as it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

import yaml

from ..atomic_file import atomic_write
from ..errors import ConfigError
from ..sources.labelled_image import AnnotatedImage, LabelledBox
from .annotation_writer import ark_text, voc_text
from .assets import Asset, read_asset, store_assets
from .file_names import readable_names
from .model_argument import open_model
from .packed_model import ModelSource, unpack_stage
from .releases import Release, find_release

TASKS: dict[str, tuple[bool, bool, bool]] = {
    "train": (True, False, False),
    "mining": (False, True, False),
    "infer": (False, False, True),
    "mining+infer": (False, True, True),
}
"""Task name -> run_training, run_mining, run_infer of env.yaml."""

ANNOTATION_FORMATS = ("ark", "voc")
CANDIDATE_SOURCES = "candidate-sources.json"
"""In `in/`, for images with own names: name in the task -> the user's file. Only `convert` reads it, no task does."""
DEFAULT_TASK_ID = "t00000010000021a2b3c4d1700000000"  # in the form of the platform's own


def write_task_folder(
    root: Path,
    *,
    task: str,
    class_names: Sequence[str],
    release: str = "2.5.0",
    train: Sequence[AnnotatedImage] = (),
    val: Sequence[AnnotatedImage] = (),
    candidates: Sequence[Path] = (),
    config: Mapping[str, Any] | None = None,
    model: ModelSource | None = None,
    pretrained: ModelSource | None = None,
    annotation_format: str = "ark",
    gpu_id: str | None = "",
    task_id: str = DEFAULT_TASK_ID,
    source_dir: Path | None = None,
    own_names: bool = False,
) -> Path:
    """Write a task folder and return its env.yaml.

    Args:
        root: gets `in/` and an empty `out/`; both must be empty or missing.
        task: a key of TASKS. Training uses train, val and pretrained; the other tasks candidates and model.
        class_names: in the order of their class ids.
        release: a key of releases.RELEASES.
        train, val: the sets of a training.
        candidates: images for mining and inference.
        config: values of the web form for config.yaml. Keys that the platform sets itself take precedence.
        model, pretrained: whatever `model_argument.open_model` takes.
        annotation_format: `ark` or `voc`, as in `export_format`; release 1.1.0 always writes ark.
        gpu_id: `''` is the CPU, `'0,1'` two GPUs; None omits the key, which means a GPU if there is one.
        task_id: for env.yaml and config.yaml.
        source_dir: the folder of the images; those in it are hard-linked, which saves space, all others copied.
        own_names: images keep the names that the user knows, in place of the SHA-1 that the platform gives them.

    Raises:
        ConfigError: for an unknown task, release or format, a folder in use, or an unusable model.
        DatasetError: for an image that cannot be read.
    """
    if task not in TASKS:
        raise ConfigError(f"task {task!r} is not known; choose one of {', '.join(TASKS)}")
    if annotation_format not in ANNOTATION_FORMATS:
        raise ConfigError(f"export format {annotation_format!r} is not known; choose ark or voc")
    chosen = find_release(release)
    _make_folders(root, chosen, task)
    folder = root / "in"
    form = {"export_format": f"{annotation_format}:raw", **(config or {})}
    injected: dict[str, Any] = {"class_names": list(class_names), "task_id": task_id, "gpu_count": 0}
    if gpu_id is not None:
        injected.update(gpu_id=gpu_id, gpu_count=len([number for number in gpu_id.split(",") if number.strip()]))
    if chosen.has_object_type:
        injected["object_type"] = 2
    paths = [image.path for image in (*train, *val)] if task == "train" else candidates
    names = readable_names(paths) if own_names else None
    if task == "train":
        sets = {"train": train, "val": val}
        _write_training_input(folder, chosen, sets, class_names, annotation_format, source_dir, names)
        injected.update(_model_keys("pretrained_model_params", pretrained, folder, chosen, class_names))
    else:
        stored = store_assets(candidates, folder / "assets", chosen, source_dir, names)
        _write_lines(folder / "candidate-index.tsv", [_asset_path(asset, chosen) for asset in stored])
        if own_names:
            _write_sources(folder / CANDIDATE_SOURCES, stored)
        injected.update(_model_keys("model_params_path", model, folder, chosen, class_names))
        injected.update(run_mining=TASKS[task][1], run_infer=TASKS[task][2])
    config_text = yaml.safe_dump({**form, **injected}, allow_unicode=chosen.unicode_config)
    (folder / "config.yaml").write_text(config_text, encoding="utf-8")
    return _write_env(folder, chosen, task, task_id)


def asset_name(image: Path, release: str = "2.5.0") -> str:
    """Return the base name of an image in in/assets and in infer-result.json: `8e5f...17.jpg`.

    Raises:
        ConfigError: if the release does not export images of this format.
        DatasetError: if the image cannot be read.
    """
    asset = read_asset(image, find_release(release))
    if asset is None:
        raise ConfigError(f"{image}: YMIR {release} lists JPEG and PNG images only")
    return asset.name


def _make_folders(root: Path, release: Release, task: str) -> None:
    for folder in (root / "in", root / "out"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder}: is in use already; choose another folder or remove it")
    # 1.1 mounts no /in/annotations for mining and inference. out/ stays empty: an executor has to make /out/models
    # itself, since 1.1 does so only for a training and the verifier never
    names = ["in/assets", "out"]
    if task == "train" or release.all_indexes:
        names += ["in/annotations"]
    if release.all_indexes:
        names += ["in/models", f"in/{release.predictions_folder}"]
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)


def _model_keys(
    key: str, source: ModelSource | None, folder: Path, release: Release, class_names: Sequence[str]
) -> dict[str, Any]:
    if source is None:
        return {}  # the platform removes the key when no model was chosen
    with open_model(source) as stage:
        return {key: unpack_stage(stage, folder / "models", release, class_names)}


def _write_training_input(
    folder: Path,
    release: Release,
    sets: Mapping[str, Sequence[AnnotatedImage]],
    class_names: Sequence[str],
    annotation_format: str,
    source_dir: Path | None,
    own_names: Mapping[Path, str] | None,
) -> None:
    written_format = annotation_format if release.all_indexes else "ark"  # 1.1 ignores export_format
    lines: dict[str, list[str]] = {}
    assets: list[str] = []
    for split, images in sets.items():
        boxes_of = {image.path: image.boxes for image in reversed(images)}  # reversed: the first of a path counts
        stored = store_assets([image.path for image in images], folder / "assets", release, source_dir, own_names)
        # an image of both sets may have other boxes in each
        place = f"annotations/{split}" if own_names else "annotations"
        lines[split] = [
            _write_annotation(folder, place, asset, release, boxes_of[asset.source], class_names, written_format)
            for asset in stored
        ]
        assets += [_asset_path(asset, release) for asset in stored]
    _write_lines(folder / "train-index.tsv", lines["train"])
    _write_lines(folder / "val-index.tsv", lines["val"])
    if release.all_indexes:
        # no task of this executor reads these indexes; they are here because the platform writes them
        _write_lines(folder / "idx-assets.tsv", assets)
        _write_lines(folder / "idx-gt.tsv", lines["train"] + lines["val"])
        for name in ("test-index", "pred-train-index", "pred-val-index", "pred-test-index", "idx-pred"):
            _write_lines(folder / f"{name}.tsv", [])


def _write_annotation(
    folder: Path,
    place: str,
    asset: Asset,
    release: Release,
    boxes: Sequence[LabelledBox],
    class_names: Sequence[str],
    annotation_format: str,
) -> str:
    """Write one annotation file and return its line in the index."""
    asset_path = _asset_path(asset, release)
    if annotation_format == "ark":
        extension, text = "txt", ark_text(boxes, class_names, release.ark_columns)
    else:
        extension, text = "xml", voc_text(asset.source, asset_path, boxes, class_names)
    container_folder = _container_folder(place, release)
    file = Path(asset.path_below(str(folder / place), extension))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return f"{asset_path}\t{asset.path_below(container_folder, extension)}"


def _asset_path(asset: Asset, release: Release) -> str:
    return asset.path_below(_container_folder("assets", release))


def _container_folder(name: str, release: Release) -> str:
    return f"/in/{name}/." if release.format_names_as_extensions else f"/in/{name}"


def _write_sources(file: Path, assets: Sequence[Asset]) -> None:
    sources = {asset.name: os.path.abspath(asset.source) for asset in assets}
    with atomic_write(file) as stream:
        json.dump(sources, stream, indent=0)


def _write_lines(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_env(folder: Path, release: Release, task: str, task_id: str) -> Path:
    run_training, run_mining, run_infer = TASKS[task]
    env: dict[str, Any] = {
        "task_id": task_id,
        "run_training": run_training,
        "run_mining": run_mining,
        "run_infer": run_infer,
        "input": {
            "root_dir": "/in",
            "assets_dir": "/in/assets",
            "annotations_dir": "/in/annotations",
            "models_dir": "/in/models",
            "config_file": "/in/config.yaml",
            # all keys are always there, with '' for the sets that the task does not have
            "training_index_file": "/in/train-index.tsv" if run_training else "",
            "val_index_file": "/in/val-index.tsv" if run_training else "",
            "candidate_index_file": "" if run_training else "/in/candidate-index.tsv",
        },
        "output": {
            "root_dir": "/out",
            "models_dir": "/out/models",
            "tensorboard_dir": "/out/tensorboard",
            "training_result_file": "/out/models/result.yaml",
            "mining_result_file": "/out/result.tsv",
            "infer_result_file": "/out/infer-result.json",
            "monitor_file": "/out/monitor.txt",
        },
    }
    if release.has_executor_log:
        env["output"]["executor_log_file"] = "/out/ymir-executor-out.log"
    if release.protocol_version:
        env["protocol_version"] = release.protocol_version
    if release.has_manifest:
        env["manifest_file"] = "/img-man/manifest.yaml"
    env_file = folder / "env.yaml"
    env_file.write_text(yaml.safe_dump(env), encoding="utf-8")
    return env_file
