"""Which keys of detectron2's configuration belong to a trained model, and which only to the training that made it.

A training that starts from a model takes the first kind from its config.yaml, see `training/resolve_config.py`. Mining
and inference read no others of it, so that a model of another program may have an optimizer that nobody here knows.
"""

from __future__ import annotations

from typing import Any, Mapping

MODEL_KEYS = (
    "VERSION",  # the meaning of the other keys
    "MODEL",  # network, anchors, decoding and the statistics of pixels, which all belong to the weights
    "INPUT",  # order of channels, sizes and flips: what the weights have learnt to see
    "SOLVER.CLIP_GRADIENTS",  # its limit is one for the gradients of this network, whatever the schedule
    "TEST.DETECTIONS_PER_IMAGE",  # decoding again, only under another section
)
"""Keys and sections of a trained model."""

PREDICTION_KEYS = (*MODEL_KEYS, "TEST.AUG")
"""What a detector takes from the model. Test-time augmentation would bring a training nothing but slower evaluations.
CUDNN_BENCHMARK and FLOAT32_PRECISION are not among them: they suit a machine, and the first costs reproducibility."""

CLASS_COUNTS = ("MODEL.RETINANET.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES")
"""One for each kind of head; an engine ignores those of heads that it does not have."""


def is_within(key: str, names: tuple[str, ...]) -> bool:
    """Return whether a key is one of `names`, or in a section that is."""
    return any(key == name or key.startswith(name + ".") for name in names)


def only(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the values, by dotted keys, of `names` and of the keys within them; with () all of them."""
    return {key: value for key, value in values.items() if not names or is_within(key, names)}
