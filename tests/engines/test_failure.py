from __future__ import annotations

import logging
import pickle
import warnings
import weakref

import numpy as np
import pytest

from multimix_monai.data.images import ImageError
from multimix_monai.engines.failure import CaseFailure, failure_of, quiet_libraries


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_what_libraries_quote_is_replaced_by_the_class_and_the_place() -> None:
    failure = failure_of(raised(ValueError("could not convert string to float: 'DOE^JOHN'")))
    assert isinstance(failure, CaseFailure) and failure.reason == "ValueError"
    assert "DOE" not in repr(failure) and "test_failure.py:" in str(failure)


def test_what_monai_wrapped_is_named_by_its_own_class() -> None:
    wrapped = raised(RuntimeError("applying transform <object>"), raised(KeyError("x")))
    failure = failure_of(wrapped)
    assert isinstance(failure, CaseFailure) and failure.reason == "KeyError"


@pytest.mark.parametrize(
    "error", [ImageError("no chest", "lateral"), ImportError("pip install"), CaseFailure("a", "b")]
)
def test_our_own_words_stay_as_they_are(error: Exception) -> None:
    assert failure_of(raised(error, raised(ValueError("DOE^JOHN")))) is error
    assert error.__cause__ is error.__context__ is error.__traceback__ is None
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_failure_does_not_hold_on_to_pixels() -> None:
    def decode() -> None:
        pixels = np.zeros(9)
        held.append(weakref.ref(pixels))
        raise ImageError("no chest")

    held: list[weakref.ref] = []
    try:
        decode()
    except ImageError as error:
        failure = failure_of(error)
    assert str(failure) == "no chest" and held[0]() is None


def test_libraries_neither_warn_nor_log_while_it_lasts(
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("pydicom")
    monkeypatch.setattr(logger, "disabled", False)  # as MONAI's logging.conf leaves it
    caplog.set_level(logging.WARNING, logger="pydicom")  # reading DICOM leaves it at CRITICAL
    with quiet_libraries():
        warnings.warn("Invalid value: DOE^JOHN", stacklevel=1)
        logger.warning("Invalid value: DOE^JOHN")
    assert not recwarn.list and not caplog.records
    logger.warning("after")
    assert [record.message for record in caplog.records] == ["after"]
