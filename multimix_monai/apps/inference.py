"""Apps: what inference.json calls to begin, to name its results, and to run."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from multimix_monai.engines.failure import quiet_libraries
from multimix_monai.engines.memory import keep_freed_memory
from multimix_monai.handlers.results_table import ResultsTable

if TYPE_CHECKING:
    from multimix_monai.dicom.findings import Algorithm

logger = logging.getLogger(__name__)

DICOM_PACKAGES = ("pydicom", "highdicom")
# Settings that change no result, or that an Algorithm has apart. All others must be in its UIDs:
# a PACS that has an object of one threshold takes that of another only under another UID.
STATED_ELSEWHERE = ("version", "weights", "dicom")
MAX_SETTING = 64  # characters of name=value in a DICOM object


class Runs(Protocol):
    """An evaluator with its handlers."""

    def run(self) -> object: ...


def infer(evaluator: Runs, results: ResultsTable) -> None:
    """Run over the cases that have no result yet; nothing that a file says of a patient is logged.

    Raises:
        OSError: the disk is full; what is written stays, and the same again goes on.
    """
    done = len(results.inputs) - len(results.todo)
    if done:
        logger.info(f"{done} of {len(results.inputs)} cases are done, going on with the others")
    keep_freed_memory()  # also in the processes to come
    try:
        with quiet_libraries():
            if results.todo:
                evaluator.run()
            else:  # an evaluator of nothing does not even begin
                results.begin()
                results.end()
    finally:
        keep_freed_memory(False)
    logger.info(f"{summary(results)}: {results.output_dir}")


def summary(results: ResultsTable) -> str:
    """How many cases are ok, refused and failed."""
    counts = dict.fromkeys(("ok", "refused", "failed"), 0)
    for (status, _), count in results.counts.items():
        counts[status] += count
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def wants_dicom(dicom: bool | None) -> bool:
    """Whether results of DICOM files are written as DICOM too: by default, if packages allow it.

    Raises:
        ImportError: they are wanted and a package is missing.
    """
    if dicom and not can_write_dicom():
        raise ImportError(
            f"results as DICOM need {' and '.join(DICOM_PACKAGES)}: "
            'pip install "multimix-monai[dicom]"'
        )
    return can_write_dicom() if dicom is None else dicom


def can_write_dicom() -> bool:
    """Whether the packages are there that results as DICOM need."""
    return all(find_spec(name) is not None for name in DICOM_PACKAGES)


def algorithm_of(settings: Mapping[str, Any]) -> Algorithm | None:
    """What DICOM objects say of their origin; None where none are written.

    Args:
        settings: those of inference.json, with `weights` (a digest) and `dicom`.
    """
    if not settings["dicom"]:
        return None
    from multimix_monai.dicom.findings import Algorithm

    named = (_setting(n, value) for n, value in settings.items() if n not in STATED_ELSEWHERE)
    return Algorithm(weights_digest=settings["weights"], settings=tuple(named))


def _setting(name: str, value: Any) -> str:
    """`name=value`, of a long value a digest."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if len(name) + 1 + len(text) > MAX_SETTING:
        text = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{name}={text}"
