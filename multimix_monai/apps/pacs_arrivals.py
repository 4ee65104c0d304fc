"""Apps: when `multimix pacs --watch` looks at a study: at rest, once, and again if that failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from multimix_monai.dicom.web import Study

LONGEST_WAIT_S = 3600.0


@dataclass
class _Arrival:
    instances: int
    due_s: float
    done: bool = False
    failures: int = 0


class Arrivals:
    """Which of the studies in a PACS are due.

    A study is due when its number of instances has not changed for a while, since one that is
    still being received would be seen in part. It is due again when that number changes, and, if
    something failed, after a pause that doubles up to an hour. Studies that are no longer found
    are forgotten, so that memory stays bounded.

    Args:
        settle_s: how long a study must be at rest.
        every_s: first pause after a failure.
    """

    def __init__(self, *, settle_s: float, every_s: float) -> None:
        self.settle_s = settle_s
        self.every_s = every_s
        self.known: dict[str, _Arrival] = {}

    def due(self, studies: Iterable[Study], *, now_s: float) -> list[Study]:
        """Those of the studies found now, at a time of a clock that never goes back."""
        found = list(studies)
        before, self.known = self.known, {}
        for study in found:
            arrival = before.get(study.uid)
            if arrival is None or arrival.instances != study.instances:
                arrival = _Arrival(study.instances, now_s + self.settle_s)
            self.known[study.uid] = arrival
        arrivals = [(study, self.known[study.uid]) for study in found]
        return [study for study, a in arrivals if not a.done and a.due_s <= now_s]

    def finish(self, study: Study, *, stored: int) -> None:
        """All images of a study have a result or a refusal; so many objects came to it by us."""
        arrival = self.known[study.uid]
        arrival.done = True
        arrival.instances += stored

    def fail(self, study: Study, *, now_s: float) -> None:
        """Something of a study is missing: it is due again later."""
        arrival = self.known[study.uid]
        pause_s = min(self.every_s * 2**arrival.failures, LONGEST_WAIT_S)
        arrival.failures = min(arrival.failures + 1, 32)
        arrival.due_s = now_s + pause_s
