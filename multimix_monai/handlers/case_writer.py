"""Handlers: results of every case as pictures, as DICOM objects and as a row, written beside.

While the network works on the next batch, other processes draw and write the one before.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from multimix_monai.data.keys import Keys
from multimix_monai.engines.failure import CaseFailure
from multimix_monai.engines.workers import Pool, workers_for
from multimix_monai.handlers.case_folder import CaseFolder
from multimix_monai.handlers.case_row import Threshold, error_row, input_of
from multimix_monai.handlers.results_table import ResultsTable

if TYPE_CHECKING:
    from ignite.engine import Engine

    from multimix_monai.dicom.findings import Algorithm

logger = logging.getLogger(__name__)

THREADS = 2  # that write where no process does
MAX_WAITING = 16  # cases that may wait to be written: two batches, of a few MB each


class CaseWriter:
    """Writes mask.png, overlay.png and saliency.png of each case, DICOM objects and a row.

    A case's folder is named after a digest of its path, since a file's name may name a patient.

    Args:
        results: the table; it also knows the folder.
        threshold_prob: calibrated probability from which a case is called pneumonia, in [0, 1].
        threshold_source: where that was chosen.
        force: write also what by its picture is no frontal chest radiograph, and flag it.
        algorithm: what DICOM objects say of their origin; None writes none.
        postprocessing: from a case with its packed prediction to its results, done where the case
            is written. An engine's own is taken over.
        num_workers: processes that write; 0 writes in this one; None chooses by cores and cases.
    """

    def __init__(
        self,
        results: ResultsTable,
        *,
        threshold_prob: float = 0.5,
        threshold_source: str = "given",
        force: bool = False,
        algorithm: Algorithm | None = None,
        postprocessing: Callable[[dict], dict] | None = None,
        num_workers: int | None = None,
    ) -> None:
        if not 0 <= threshold_prob <= 1:
            raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0, 1]")
        if num_workers is not None and num_workers < 0:
            raise ValueError(f"num_workers is {num_workers}; at least 0 is needed")
        self.results = results
        self.threshold = Threshold(threshold_prob, threshold_source)
        self.force = force
        self.algorithm = algorithm
        self.postprocessing = postprocessing
        self.num_workers = workers_for(len(results.todo)) if num_workers is None else num_workers
        self.pending: deque[tuple[dict[str, Any], Future]] = deque()
        self.pool: Pool | Threads | None = None

    @property
    def folders(self) -> CaseFolder:
        """What writes one case."""
        return CaseFolder(
            self.results.output_dir,
            self.threshold,
            self.force,
            self.algorithm,
            self.postprocessing,
        )

    def attach(self, engine: Engine) -> None:
        """To an evaluator of `engines.MultiMixEvaluator`'s kind."""
        from ignite.engine import Events

        engine.add_event_handler(Events.STARTED, self._take_over)
        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write_batch)
        engine.add_event_handler(Events.COMPLETED, self.end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_up)

    def _take_over(self, engine: Any) -> None:
        """The network need not wait for what other processes can do."""
        if engine.postprocessing is not None:
            self.postprocessing, engine.postprocessing = engine.postprocessing, None

    def begin(self) -> None:
        """Open the table and start the processes."""
        self.results.begin()
        self.pool = (
            Pool(self.folders, self.num_workers, role="writer")
            if self.num_workers
            else Threads(self.folders)
        )

    def _write_batch(self, engine: Any) -> None:
        engine.state.output = engine.state.batch = None
        self.write(engine.cases)

    def write(self, cases: list[dict[str, Any]]) -> None:
        """Hand a batch over: the list ends empty, so that a case is freed as soon as written."""
        while cases:
            case = cases.pop(0)
            named = {Keys.IMAGE: input_of(case)}
            assert self.pool is not None, "begin() first"
            self.pending.append((named, self.pool.submit(case)))
            del case
            self._collect(MAX_WAITING)

    def _collect(self, waiting: int) -> None:
        """Add rows in the order of the inputs until so many cases wait."""
        while len(self.pending) > waiting:
            row = _row(*self.pending.popleft())
            self.results.add(row)
            number = sum(self.results.counts.values())
            logger.info(f"case {number}: {row['status']} {row.get('reason') or ''}".rstrip())

    def end(self) -> None:
        """Wait for what is being written, and bring the table into order."""
        self._collect(0)
        self._close_pool()
        self.results.end()

    def give_up(self, error: BaseException) -> None:
        """Leave what is written as it is, for a later run to go on from.

        Raises:
            BaseException: the error.
        """
        self._close_pool()
        self.results.close()
        raise error

    def _close_pool(self) -> None:
        if self.pool is not None:  # a run may fail before it begins
            self.pool.close()


class Threads:
    """As `Pool`, of threads in this process."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="write")

    def submit(self, argument: Any) -> Future:
        return self.threads.submit(self.work, argument)

    def close(self) -> None:
        """Wait for what has begun."""
        self.threads.shutdown(cancel_futures=True)


def _row(case: dict[str, Any], written: Future) -> dict[str, Any]:
    try:
        row: dict[str, Any] = written.result()
    except CaseFailure as failure:  # the process that wrote it died or hung
        return error_row(case, failure)
    return row
