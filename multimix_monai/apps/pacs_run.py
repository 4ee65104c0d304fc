"""Apps: the studies of a PACS, one round over them or round after round as they arrive."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NoReturn

import typer

from multimix_monai.apps.pacs_arrivals import Arrivals
from multimix_monai.apps.pacs_images import Work
from multimix_monai.apps.pacs_ledger import Outcome
from multimix_monai.data.patient import digest
from multimix_monai.dicom.web import DicomWeb, Reference, Study
from multimix_monai.dicom.web_faults import ServerError

BATCH = 32  # images whose files are on the disk at the same time
PROGRESS_EVERY_S = 10.0


@dataclass(frozen=True)
class Query:
    """What is looked for in a PACS.

    Attributes:
        filters: keyword to value, as of QIDO.
        modalities: of the images.
        first: day of the study from which on; None: any.
        last: day up to which; None: any.
        limit: of studies.
        since_yesterday: from the day before the query on, whenever that is, instead of `first`.
    """

    filters: Mapping[str, str]
    modalities: tuple[str, ...]
    first: date | None = None
    last: date | None = None
    limit: int | None = None
    since_yesterday: bool = False

    def studies(self, server: DicomWeb) -> list[Study]:
        """The studies found now. Source: PS3.4 C.2.2.2.5 (range matching)."""
        first = date.today() - timedelta(days=1) if self.since_yesterday else self.first
        days = "-".join(f"{day:%Y%m%d}" if day else "" for day in (first, self.last))
        filters = {**self.filters, "StudyDate": days} if days != "-" else self.filters
        return server.studies(filters, modalities=self.modalities, limit=self.limit)


def once(work: Work, query: Query) -> None:
    """One round over all studies.

    Raises:
        ServerError: the server is gone or refuses the login; what was done is in the ledger.
    """
    studies = query.studies(work.server)
    start_s = shown_s = time.monotonic()
    for done, _ in enumerate(judge(work, studies, query.modalities), start=1):
        now_s = time.monotonic()
        if done == len(studies) or now_s - shown_s > PROGRESS_EVERY_S:
            _show_progress(work, done, len(studies), now_s - start_s)
            shown_s = now_s


def watching(work: Work, query: Query, *, every_s: float, settle_s: float) -> NoReturn:
    """Round after round until interrupted; a server that is gone is waited for.

    Raises:
        ServerError: the server refuses the login.
    """
    arrivals = Arrivals(settle_s=settle_s, every_s=every_s)
    while True:
        try:
            due = arrivals.due(query.studies(work.server), now_s=time.monotonic())
            for study, outcomes in judge(work, due, query.modalities):
                if outcomes is None or any(o.status == "failed" for o in outcomes):
                    arrivals.fail(study, now_s=time.monotonic())
                else:
                    arrivals.finish(study, stored=sum(o.objects for o in outcomes))
            if due:
                counts = work.ledger.counts()
                shown = ", ".join(f"{counts[s]} {s}" for s in ("stored", "refused", "failed"))
                typer.echo(f"{len(due)} studies looked at; in all {shown}", err=True)
        except ServerError as error:
            if work.server.refuses_all(error):
                raise
            typer.echo(f"{error}: nothing is lost, again in {every_s:g} s", err=True)
        time.sleep(every_s)


def judge(
    work: Work, studies: Iterable[Study], modalities: tuple[str, ...]
) -> Iterator[tuple[Study, list[Outcome] | None]]:
    """Each study with what became of its images, None where they could not be found.

    Studies are taken together until there is a batch of images, so that the network gets full
    batches and the disk holds few files.
    """
    group: list[tuple[Study, list[Reference]]] = []
    for study in studies:
        images = work.find(study.uid, modalities=modalities)
        if images is None:
            yield study, None
            continue
        group.append((study, images))
        if sum(len(found) for _, found in group) >= BATCH:
            yield from _judge_group(work, group)
            group = []
    yield from _judge_group(work, group)


def _judge_group(
    work: Work, group: list[tuple[Study, list[Reference]]]
) -> Iterator[tuple[Study, list[Outcome]]]:
    images = [image for _, found in group for image in found]
    outcomes: dict[str, Outcome] = {}
    for start in range(0, len(images), BATCH):
        for outcome in work.outcomes(images[start : start + BATCH]):
            outcomes[outcome.image] = outcome
            if outcome.status in ("refused", "failed"):
                typer.echo(f"image {outcome.image}: {outcome.status}, {outcome.reason}", err=True)
    for study, found in group:
        yield study, [outcomes[digest(image.uid)] for image in found]


def count(work: Work, query: Query) -> str:
    """What a round would find, in words; nothing is retrieved."""
    studies = query.studies(work.server)
    images = [i for s in studies for i in work.find(s.uid, modalities=query.modalities) or []]
    known = [work.known(image) for image in images]
    there = sum(outcome is not None for outcome in known)
    return (
        f"{len(studies)} studies, {len(images)} images: {len(images) - there} to judge, "
        f"{there} have a result or were refused"
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """A request to terminate, as from a service manager, becomes what Ctrl-C is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_progress(work: Work, done: int, studies: int, seconds: float) -> None:
    counts = work.ledger.counts()
    images = len(work.ledger.run)
    left_s = seconds / done * (studies - done)
    typer.echo(
        f"{done} of {studies} studies, {images} images, {counts['stored']} stored, "
        f"{images / max(seconds, 1e-3):.1f} images a second, {left_s:.0f} s left",
        err=True,
    )
