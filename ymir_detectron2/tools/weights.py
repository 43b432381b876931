"""Weights for hosts without internet: the published ones, and the ResNet of an ONNX file.

    python3 -m ymir_detectron2.tools.weights list
    python3 -m ymir_detectron2.tools.weights fetch --into /weights all|none|NAME[,NAME...]
    python3 -m ymir_detectron2.tools.weights verify --from /weights [NAMES]
    python3 -m ymir_detectron2.tools.weights pack --from /weights --into FOLDER [NAMES]
    python3 -m ymir_detectron2.tools.weights pin [NAMES]
    python3 -m ymir_detectron2.tools.weights from-onnx MODEL.onnx FILE.pth

A file is checked by its SHA-256 where one is pinned, else by the digits of its MD5 that its name may contain, and
always by its tensors. `pin` downloads the files, and writes their SHA-256 into the checkout: from then on nothing else
is accepted. Proxies are those of https_proxy and no_proxy; SSL_CERT_FILE adds certificate authorities. `from-onnx`
writes a backbone for MODEL.WEIGHTS, and prints the keys of its network.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Sequence

import yaml

from ..errors import ConfigError, ExecutorError, ModelError
from ..file_digest import file_digest
from ..retinanet.weight_digests import PINS_FILE, read_pins, write_pins
from ..retinanet.weights import download_weights, find_weights
from .published_weights import PUBLISHED, PublishedWeights, check_weights, choose_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; return 1, with one sentence on stderr, when it fails."""
    parser = argparse.ArgumentParser(
        "weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_commands(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO)  # what a download waits for
    try:
        return int(options.run(options))
    except (ExecutorError, OSError) as error:
        print(f"weights: {error}", file=sys.stderr)
        return 1


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands, each with a function `run` that takes the options and returns the exit status."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    names_help = f"all, none, or some of {','.join(PUBLISHED)}"

    commands.add_parser("list", help="names, quality, pins, and the place below a weights folder").set_defaults(
        run=_list
    )
    fetch = commands.add_parser("fetch", help="download into a folder what is not in it yet, and check it")
    fetch.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    fetch.add_argument("names", help=names_help)
    fetch.set_defaults(run=_fetch)

    verify = commands.add_parser("verify", help="check the files of a folder")
    verify.add_argument("--from", dest="folder", type=Path, required=True, metavar="FOLDER")
    verify.add_argument("names", nargs="?", help=f"{names_help}; by default those that are there")
    verify.set_defaults(run=_verify)

    pack = commands.add_parser("pack", help="make packages for YMIR's model import")
    pack.add_argument("--from", dest="folder", type=Path, required=True, metavar="FOLDER")
    pack.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    pack.add_argument("names", nargs="?", help=f"{names_help}; by default all detectors that are there")
    pack.set_defaults(run=_pack)

    pin = commands.add_parser("pin", help="download, and write the SHA-256 into the checkout")
    pin.add_argument("names", nargs="?", default="all", help=names_help)
    pin.set_defaults(run=_pin)

    from_onnx = commands.add_parser("from-onnx", help="write the ResNet of an ONNX file as MODEL.WEIGHTS")
    from_onnx.add_argument("onnx", type=Path, metavar="MODEL.onnx")
    from_onnx.add_argument("weights", type=Path, metavar="FILE.pth")
    from_onnx.set_defaults(run=_from_onnx)


def _list(_: argparse.Namespace) -> int:
    rows = [("name", "COCO AP", "pinned", "place below a weights folder")]
    for weights in PUBLISHED.values():
        ap = "-" if weights.box_ap is None else f"{100 * weights.box_ap:.1f}"
        rows.append((weights.name, ap, "yes" if weights.is_pinned else "no", weights.place))
    for name, ap, pinned, place in rows:
        print(f"{name:<16}{ap:<9}{pinned:<8}{place}")
    print("Others of detectron2's model zoo have the names of their configs: COCO-Detection/faster_rcnn_R_50_FPN_3x")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    for weights in choose_weights(options.names):
        _print_checked(weights, *_fetch_one(weights, options.into))
    return 0


def _fetch_one(weights: PublishedWeights, folder: Path) -> tuple[Path, str]:
    """Return the file, downloaded unless it is there, and what was checked of it."""
    path = find_weights(weights.reference, [folder])
    findings: list[str] = []
    if path is None:
        # checked under a temporary name: what is wrong never gets the name of weights
        path = download_weights(weights.reference, folder, lambda part: findings.append(check_weights(weights, part)))
    # none if it was there, or another process has downloaded it meanwhile
    return path, findings[0] if findings else check_weights(weights, path)


def _verify(options: argparse.Namespace) -> int:
    for weights, path in _files(options.folder, options.names):
        _print_checked(weights, path, check_weights(weights, path))
    return 0


def _print_checked(weights: PublishedWeights, path: Path, finding: str) -> None:
    print(f"{weights.name}: {path}: checked: {finding}", flush=True)


def _pack(options: argparse.Namespace) -> int:
    from .model_import import write_import_package  # here: with torch, which the other commands need not wait for

    for weights, path in _files(options.folder, options.names):
        if weights.box_ap is None and not options.names:
            continue
        check_weights(weights, path)
        print(f"{weights.name}: {write_import_package(weights, path, options.into)}", flush=True)
    return 0


def _pin(options: argparse.Namespace) -> int:
    """Pin what the publisher sends now; a file that is pinned already must be the same."""
    chosen = choose_weights(options.names)
    with tempfile.TemporaryDirectory() as folder:
        for weights in chosen:
            path = download_weights(weights.reference, Path(folder), partial(check_weights, weights))
            # one by one: what is pinned stays pinned when the next download fails
            write_pins({**read_pins(), weights.place: file_digest(path)})
            path.unlink()
            print(f"{weights.name}: pinned in {PINS_FILE}; commit it", flush=True)
    return 0


def _from_onnx(options: argparse.Namespace) -> int:
    """Print what belongs into a `config_file`."""
    from .onnx_backbone import convert  # here: with torch

    print(yaml.safe_dump({"MODEL": convert(options.onnx, options.weights)}, sort_keys=False), end="")
    return 0


def _files(folder: Path, names: str | None) -> list[tuple[PublishedWeights, Path]]:
    """Return the published weights of a folder; without names, those that are there.

    Raises:
        ModelError: a file that is named is not there.
        ConfigError: none is there.
    """
    files = []
    for weights in choose_weights(names or "all"):
        path = find_weights(weights.reference, [folder])
        if path is not None:
            files.append((weights, path))
        elif names:
            raise ModelError(f"{weights.name}: is not in {folder}; fetch it with --into {folder}")
    if not files and names != "none":
        raise ConfigError(f"{folder}: holds no published weights; fetch them with --into {folder}")
    return files


if __name__ == "__main__":
    sys.exit(main())
