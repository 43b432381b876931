"""Extras of a task, such as plots, pages and reasons: what people read afterwards, and what never costs a result."""

from __future__ import annotations

import contextlib
import logging
from typing import Iterator

from ..errors import error_summary
from ..failure import find_worker_death

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def extra(consequence: str) -> Iterator[None]:
    """Turn whatever goes wrong within the block into one warning, and go on behind it.

    Args:
        consequence: begins the warning, e.g. "the plots of iter_0000120 are left out".
    """
    try:
        yield
    except Exception as error:  # matplotlib, decoders, exporters and detectors raise whatever they like
        # unless a data-loading worker was killed, whose death torch raises wherever the main process happens to be
        death = find_worker_death(error)
        if death is not None:
            raise death from None
        logger.warning("%s: %s", consequence, error_summary(error))
