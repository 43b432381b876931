"""Weights into a model, with an account of every tensor that did not find its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

from torch import Tensor, nn

from ..errors import ModelError
from .head import CLASS_LAYER

Shape = Tuple[int, ...]

_BACKBONE = "backbone.bottom_up."
_OBSOLETE = ("pixel_mean", "pixel_std", "anchor_generator.")
"""In old files; today they come from the configuration."""
_COUNTER = ".num_batches_tracked"
"""Steps seen by a normalisation, which nothing reads; frozen layers of detectron2 0.6 have none."""


@dataclass(frozen=True)
class LoadReport:
    """What happened to each tensor."""

    num_loaded: int
    """Tensors of the file that are in the model now."""
    missing: tuple[str, ...]
    """Tensors of the model that the file lacks; they keep their initial values."""
    unexpected: tuple[str, ...]
    """Tensors of the file that the model has no place for."""
    misshapen: tuple[tuple[str, Shape, Shape], ...]
    """Name, shape in the file, shape in the model; they keep their initial values."""

    @property
    def class_layer_is_new(self) -> bool:
        """Whether the classifier was not loaded, as when the classes change."""
        names = [*self.missing, *(name for name, _, _ in self.misshapen)]
        return any(name.startswith(f"head.{CLASS_LAYER}.") for name in names)

    def table(self) -> str:
        """One line per tensor that is not simply loaded, under a line that counts."""
        rows = [("tensor", "in the file", "in the model", "")]
        rows += [(name, str(file), str(own), "keeps its initial values") for name, file, own in self.misshapen]
        rows += [(name, "-", "yes", "keeps its initial values") for name in self.missing]
        rows += [(name, "yes", "-", "not used") for name in self.unexpected]
        count = f"{self.num_loaded} tensors loaded, {len(rows) - 1} not"
        if len(rows) == 1:
            return count
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0])).rstrip() for row in rows]
        return "\n".join([count, *lines])


def load_weights(
    model: nn.Module, state_dict: Mapping[str, Tensor], source: str = "the weights", *, backbone: str = _BACKBONE
) -> LoadReport:
    """Copy what fits into `model`; a layer of another shape, such as the classifier, keeps its initial values.

    Args:
        model: a RetinaNet, or with another `backbone` any detector.
        state_dict: from read_checkpoint.
        source: the file, for the error.
        backbone: how the names of its tensors begin.

    Raises:
        ModelError: not one tensor fits the backbone: these are weights of something else.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tensor for name, tensor in state_dict.items() if not _is_noise(name, own)}
    misshapen = [
        (name, tuple(tensor.shape), own[name])
        for name, tensor in given.items()
        if name in own and tuple(tensor.shape) != own[name]
    ]
    for name, _, _ in misshapen:
        del given[name]
    if not any(name in own and name.startswith(backbone) for name in given):
        raise ModelError(_nothing_fits(source, list(state_dict), own, backbone))
    result = model.load_state_dict(given, strict=False)
    wrong = {name for name, _, _ in misshapen}
    return LoadReport(
        num_loaded=len(given) - len(result.unexpected_keys),
        missing=tuple(name for name in result.missing_keys if name not in wrong and not name.endswith(_COUNTER)),
        unexpected=tuple(result.unexpected_keys),
        misshapen=tuple(misshapen),
    )


def _is_noise(name: str, own: Mapping[str, Shape]) -> bool:
    """Whether nobody misses this tensor: constants of old files, and step counters that a frozen layer lacks."""
    return name not in own and (name.startswith(_OBSOLETE) or name.endswith(_COUNTER))


def _nothing_fits(source: str, names: list[str], own: Mapping[str, Shape], backbone: str) -> str:
    wanted = next(name for name in own if name.startswith(backbone))
    found = f"begins with {names[0]}" if names else "is empty"
    return (
        f"{source}: no tensor fits the backbone, which wants {wanted} {own[wanted]}; the file {found}; "
        "give weights of a RetinaNet or ResNet of the same MODEL.RESNETS"
    )
