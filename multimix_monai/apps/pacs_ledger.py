"""Apps: what `multimix pacs` has done, image by image, without a name or a UID in it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        study: digest of its Study Instance UID.
        image: digest of its SOP Instance UID.
        status: stored (its results are in the PACS now), there (they were already), kept (they are
            in the output folder), refused (not an image that can be judged) or failed (nothing
            is there: it is tried again).
        reason: a code for why it is refused or failed, or the server's fault in words.
        objects: DICOM objects stored for it now.
    """

    study: str
    image: str
    status: str
    reason: str = ""
    objects: int = 0


class Ledger:
    """Outcomes of this run, and those of earlier ones, which may save another look.

    It only saves work: what is in the PACS, the PACS is asked for.

    Args:
        folder: gets pacs.jsonl, one line an outcome; None keeps nothing.
        algorithm: digest of what judges; what another one judged last is judged anew.
    """

    def __init__(self, folder: Path | None, *, algorithm: str) -> None:
        self.path = folder / "pacs.jsonl" if folder else None
        self.algorithm = algorithm
        self.run: dict[str, Outcome] = {}
        self.studies: dict[str, str] = {}  # digest: why its images could not be found, or ""
        self.earlier: dict[str, Outcome] = {}
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            last = {outcome.image: (by, outcome) for by, outcome in _read(self.path)}
            self.earlier = {image: o for image, (by, o) in last.items() if by == algorithm}

    def last(self, image: str) -> Outcome | None:
        """What became of an image when it was last judged, if by this algorithm."""
        return self.run.get(image) or self.earlier.get(image)

    def add(self, outcome: Outcome) -> None:
        """Takes an outcome down: it replaces a failure, nothing else."""
        before = self.run.get(outcome.image)
        if before and before.status != "failed":
            return
        objects = outcome.objects + (before.objects if before else 0)
        self.run[outcome.image] = replace(outcome, objects=objects)
        is_news = outcome.status != "there" or outcome.image not in self.earlier
        if self.path and is_news and self.earlier.get(outcome.image) != outcome:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            row = {"time": now, "algorithm": self.algorithm, **asdict(outcome)}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def counts(self) -> Counter[str]:
        """Images of this run by status; "objects" that were stored; "studies", "unread" ones."""
        counts = Counter(outcome.status for outcome in self.run.values())
        counts["objects"] = sum(outcome.objects for outcome in self.run.values())
        counts["studies"] = len(self.studies)
        counts["unread"] = sum(map(bool, self.studies.values()))
        return counts

    def reasons(self) -> Counter[tuple[str, str]]:
        """How often each status and reason came, of what has no result."""
        outcomes = [(o.status, o.reason) for o in self.run.values() if o.reason]
        return Counter(
            outcomes + [("failed", reason) for reason in self.studies.values() if reason]
        )


def _read(path: Path) -> list[tuple[str, Outcome]]:
    """Each outcome with the algorithm behind it; a line that a crash cut is closed and left."""
    found = []
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        path.write_text(text + "\n", encoding="utf-8")
    for line in text.splitlines():
        try:
            row = json.loads(line)
            outcome = Outcome(**{f.name: row[f.name] for f in fields(Outcome)})
            found.append((row["algorithm"], outcome))
        except (ValueError, KeyError, TypeError):
            continue
    return found
