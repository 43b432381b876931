"""An extra never costs a result, but a data-loading worker that was killed is no matter of the extra."""

from __future__ import annotations

import pytest

from ymir_detectron2.errors import StoppedError, StorageError
from ymir_detectron2.tasks.extras import extra


@pytest.mark.parametrize(
    "error", [ValueError("two\nlines"), StorageError("/out: full"), StoppedError("stopped on request"), MemoryError()]
)
def test_whatever_goes_wrong_is_one_warning(error: Exception, caplog: pytest.LogCaptureFixture):
    with extra("the plots are left out"):
        raise error
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"the plots are left out: {type(error).__name__}")
    assert "\n" not in record.getMessage()


def test_what_goes_well_says_nothing(caplog: pytest.LogCaptureFixture):
    with extra("the plots are left out"):
        pass
    assert caplog.records == []


def test_the_death_of_a_worker_is_raised():
    death = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    def plot() -> None:
        try:
            raise death
        except RuntimeError as error:
            raise ImportError("half an import") from error

    with pytest.raises(RuntimeError, match="DataLoader worker"), extra("the plots are left out"):
        plot()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_no_failure_of_an_extra(end: type[BaseException]):
    with pytest.raises(end), extra("the plots are left out"):
        raise end
