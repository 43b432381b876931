"""Choose the engine of a task by name, and load it. Choosing needs no torch; loading does."""

from __future__ import annotations

from ..errors import ConfigError, error_summary
from .base import Engine
from .zoo import detectron2_is_there

_REPAIR = "install it as its INSTALL.md says, use the image that has it, or set engine: torch"


def choose_engine(requested: str, *, without_detectron2: str = "") -> tuple[str, str]:
    """Return the name of the engine for `settings.engine`, and the reason for the log.

    Args:
        requested: `auto` or the name of an engine.
        without_detectron2: names keys of the task that detectron2 does not implement, for `auto`.

    Raises:
        ConfigError: the engine that was asked for is not installed.
    """
    if requested == "torch":
        return "torch", "config.yaml asks for it"
    is_installed = detectron2_is_there()
    if requested == "detectron2":
        if not is_installed:
            raise ConfigError(f"engine: detectron2 is not installed here; {_REPAIR}")
        return "detectron2", "config.yaml asks for it"
    if is_installed and without_detectron2:
        return "torch", f"detectron2 does not implement {without_detectron2}"
    return ("detectron2", "detectron2 is installed") if is_installed else ("torch", "detectron2 is not installed")


def load_engine(name: str) -> Engine:
    """Import an engine, which takes seconds.

    Raises:
        ConfigError: detectron2 is there and cannot be imported.
    """
    if name == "torch":
        from .torch_engine import TorchEngine

        return TorchEngine()
    try:
        from .detectron2_engine import Detectron2Engine
    except (ImportError, AttributeError) as error:  # the latter: it was written for another Pillow or NumPy
        finding = error_summary(error)
        raise ConfigError(f"engine: detectron2 is installed and cannot be imported ({finding}); {_REPAIR}") from error
    return Detectron2Engine()
