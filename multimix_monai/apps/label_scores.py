"""Apps: how much an annotation of each image would tell, kept on the disk by image and weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from multimix_monai.apps.label_judge import Judge
from multimix_monai.data.patient import digest
from multimix_monai.engines import Informativeness, next_cases

logger = logging.getLogger(__name__)

BATCH = 8
DIGITS = 6


class Scores:
    """A file of scores for each network: one line an image, as soon as it is known.

    Images stand in it by a digest of their id.

    Args:
        folder: of the files; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[Path, tuple[float, dict[str, Informativeness | None]]] = {}

    def of(self, weights: str) -> dict[str, Informativeness | None]:
        """By digest of an image, for the weights of a digest; None is an image that was refused."""
        return self._load(self._file(weights))

    def best(self, weights: str, names: Collection[str]) -> dict[str, Informativeness | None]:
        """For these weights, or, while those are computed, for earlier ones that know more."""
        files = [self._file(weights), *sorted(self.folder.glob("*.jsonl"))]
        return max(map(self._load, files), key=lambda known: len(known.keys() & set(names)))

    def lacking(self, weights: str, ids: Iterable[str]) -> list[str]:
        """Ids without a score, in an order that says nothing."""
        known = self.of(weights)
        return sorted((id for id in ids if digest(id) not in known), key=digest)

    def add(self, judge: Judge, ids: Iterable[str], path_of: Callable[[str], Path]) -> int:
        """Score images; how many. Once all are, files of earlier weights go."""
        done = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file(judge.digest).open("a", encoding="utf-8") as file:
            for batch in _batches(ids):
                found = judge.informativeness([path_of(id) for id in batch])
                for id, one in zip(batch, found, strict=True):
                    file.write(_line(digest(id), one))
                file.flush()
                done += len(batch)
                logger.info(f"scored {done}")
        for other in set(self.folder.glob("*.jsonl")) - {self._file(judge.digest)}:
            other.unlink(missing_ok=True)
        return done

    def _file(self, weights: str) -> Path:
        return self.folder / f"{weights[:16]}.jsonl"

    def _load(self, path: Path) -> dict[str, Informativeness | None]:
        try:
            changed = path.stat().st_mtime
        except OSError:
            return {}
        if self.read.get(path, (None,))[0] != changed:
            self.read = {path: (changed, dict(_lines(path)))} | {
                other: known for other, known in self.read.items() if other != path
            }
        return self.read[path][1]


def choose(
    unlabelled: Collection[str],
    labelled: Collection[str],
    known: Mapping[str, Informativeness | None],
    *,
    count: int = 1,
    class_weight: float = 1.0,
) -> list[str]:
    """Ids to annotate next, the best first: by `next_cases`, and by chance while none is scored.

    Args:
        unlabelled: ids to choose from, at least one.
        labelled: ids that are done.
        known: scores by digest of id; what was refused is never chosen while others are left.
        count: how many.
        class_weight: as of `next_cases`.
    """
    names = {digest(id): id for id in unlabelled}
    done = {digest(id) for id in labelled}
    pool = {name: one for name, one in known.items() if one and (name in names or name in done)}
    chosen: list[str] = []
    if pool.keys() - done:
        chosen = next_cases(pool, annotated=done, count=count, class_weight=class_weight)
    rest = sorted(names.keys() - set(chosen), key=lambda name: (name in known, name))
    return [names[name] for name in (*chosen, *rest)][:count]


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, BATCH)):
        yield batch


def _line(name: str, one: Informativeness | None) -> str:
    row: dict[str, object] = {"image": name}
    if one is not None:
        row["uncertainty"] = {n: round(float(v), DIGITS) for n, v in one.uncertainty.items()}
        row["features"] = [round(float(v), DIGITS) for v in one.features]
    return json.dumps(row) + "\n"


def _lines(path: Path) -> Iterator[tuple[str, Informativeness | None]]:
    """What a kill cut short is no line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        scored = "features" in row
        yield (
            row["image"],
            Informativeness(row["uncertainty"], row["features"]) if scored else None,
        )
