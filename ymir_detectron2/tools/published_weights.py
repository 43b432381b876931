"""The published weights that the configs of the project start from, by short names, and what is checked of their files.

    imagenet-R-50    detectron2://ImageNetPretrained/MSRA/R-50.pkl                     a backbone
    coco-R-50-3x     detectron2://COCO-Detection/retinanet_R_50_FPN_3x/190397829/...   a detector of COCO's 80 classes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..config.model_zoo import ZOO_DETECTORS
from ..config.retinanet_config import RetinaNetConfig, load_config
from ..errors import ConfigError, ModelError
from ..retinanet.weight_digests import check_digest, read_pins
from ..retinanet.weights import place_below_folder
from ..version import PROJECT_DIR

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Class names of the COCO detectors, in the order of their class layer (the order of COCO's category ids)."""

_RUNNING = (".running_mean", ".running_var")


class ZooSpeed(NamedTuple):
    """What detectron2's MODEL_ZOO.md states of a detector: trained on 8 V100, 16 images an iteration; run on one."""

    schedule: str
    """Of the learning rate: 1x is 90,000 iterations."""
    train_s_per_iteration: float
    inference_s_per_image: float
    """One image at a time."""
    train_memory_gb: float
    """Of each GPU."""


@dataclass(frozen=True)
class PublishedWeights:
    """One published file."""

    name: str
    reference: str
    config: str = ""
    """Its network, below the folder `configs`; '' for the detectors of the zoo that only detectron2 can build."""
    box_ap: float | None = None
    """AP over IoU 0.50:0.95 on COCO val2017, from detectron2's MODEL_ZOO.md; None: a backbone, or no RetinaNet."""
    speed: ZooSpeed | None = None
    """Of the same page; None as above."""

    @property
    def place(self) -> str:
        """The path of the file below a weights folder."""
        return place_below_folder(self.reference)

    @property
    def is_pinned(self) -> bool:
        return self.place in read_pins()

    def read_config(self) -> RetinaNetConfig:
        """Return the configuration of the network, with these weights in it."""
        path = PROJECT_DIR / "configs" / self.config
        return load_config(path).merged({"MODEL.WEIGHTS": self.reference}, str(path))


def _backbone(depth: int) -> PublishedWeights:
    config = {50: "COCO-Detection/retinanet_R_50_FPN_1x.yaml", 101: "COCO-Detection/retinanet_R_101_FPN_3x.yaml"}[depth]
    return PublishedWeights(f"imagenet-R-{depth}", f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl", config)


def _detector(name: str, config: str, box_ap: float, speed: ZooSpeed) -> PublishedWeights:
    return PublishedWeights(name, _ZOO[config].address, f"{config}.yaml", box_ap, speed)


_ZOO = {detector.config: detector for detector in ZOO_DETECTORS}
PUBLISHED = {
    weights.name: weights
    for weights in (
        _backbone(50),
        _backbone(101),
        _detector("coco-R-50-1x", "COCO-Detection/retinanet_R_50_FPN_1x", 0.374, ZooSpeed("1x", 0.205, 0.041, 4.1)),
        _detector("coco-R-50-3x", "COCO-Detection/retinanet_R_50_FPN_3x", 0.387, ZooSpeed("3x", 0.205, 0.041, 4.1)),
        _detector("coco-R-101-3x", "COCO-Detection/retinanet_R_101_FPN_3x", 0.404, ZooSpeed("3x", 0.291, 0.054, 5.2)),
    )
}
"""What the configs of the project start from: `all`."""


def choose_weights(text: str) -> list[PublishedWeights]:
    """Parse `all`, `none`, or names separated by commas: of `PUBLISHED`, or of configs of detectron2's model zoo.

    Raises:
        ConfigError: there are no weights of that name.
    """
    if text in ("all", "none"):
        return list(PUBLISHED.values()) if text == "all" else []
    return [_named(name.strip()) for name in text.split(",") if name.strip()]


def _named(name: str) -> PublishedWeights:
    if name in PUBLISHED:
        return PUBLISHED[name]
    if name in _ZOO:
        same = (weights for weights in PUBLISHED.values() if weights.reference == _ZOO[name].address)
        return next(same, PublishedWeights(name, _ZOO[name].address))
    raise ConfigError(
        f"there are no weights called {name!r}; choose all, none, or of {', '.join(PUBLISHED)},"
        " or the config of a box detector of detectron2's model zoo, such as COCO-Detection/faster_rcnn_R_50_FPN_3x"
    )


def check_weights(weights: PublishedWeights, path: Path) -> str:
    """Check the content of a file, and that its tensors are those of its network.

    Returns:
        What was checked, and what was not, as one sentence.

    Raises:
        ModelError: damaged, changed, or the weights of something else.
    """
    digest = check_digest(path, weights.place)
    network = f"are those of {Path(weights.config).stem}" if weights.config else "can be read"
    tensors = f"its {check_tensors(weights, path)} tensors {network}"
    if weights.is_pinned:
        return f"{digest} and {tensors}"
    return f"{f'{digest} and ' if digest else ''}{tensors}; no SHA-256 is pinned, so that nobody vouches for its values"


def check_tensors(weights: PublishedWeights, path: Path) -> int:
    """Load a file into its network, where it is one of ours, and return how many tensors it has for it.

    Raises:
        ModelError: it is damaged, or a tensor of the network is not in it.
    """
    # here: torch takes seconds, and the names above are for `--help` too
    from ..retinanet.checkpoint import load_weights, read_checkpoint
    from ..retinanet.model import build_retinanet

    state_dict = read_checkpoint(path).state_dict
    if not weights.config:
        return len(state_dict)
    model = build_retinanet(weights.read_config(), len(COCO_CLASSES))
    report = load_weights(model, state_dict, str(path))
    missing = report.missing
    if weights.box_ap is None:
        # MSRA's files fold the statistics of batch normalisation into its scale and shift
        missing = tuple(
            name for name in missing if name.startswith("backbone.bottom_up.") and not name.endswith(_RUNNING)
        )
    if missing or report.misshapen:
        raise ModelError(
            f"{path}: are not the weights of {weights.config}: {len(missing)} tensors are missing, such as"
            f" {(*missing, *(name for name, _, _ in report.misshapen))[0]}, {len(report.misshapen)} have another shape;"
            " fetch the file again"
        )
    return report.num_loaded
