"""Handlers: one row for each input, in files that survive a kill, and from which a run goes on."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from multimix_monai.data.archives import archive_of
from multimix_monai.data.keys import Keys
from multimix_monai.data.results import RESULTS

COLUMNS = (
    "input",
    "status",  # ok, refused (not an image that can be judged) or failed
    "reason",
    "message",
    "pneumonia_probability",  # calibrated
    "pneumonia_probability_raw",
    "pneumonia_label",
    "threshold",
    "threshold_source",
    "lung_area_px",
    "lung_area_mm2",
    "spacing_source",
    "rows",
    "columns",
    "frontal_score",
    "quality",  # pass or review
    "quality_rules",
    "flags",
    "mask",
    "overlay",
    "saliency",
    "seg",
    "sr",
    "sc_overlay",
    "sc_saliency",
)
KEPT = ("ok", "refused")  # what failed is tried again
MENDED_OUTSIDE = ("no_decoder", "locked")  # refused, but the file need not change to be read
STAMP = "stamp"  # of the file that was read, in results.jsonl only
CSV, JSONL, RUN, LOCK = "results.csv", RESULTS, "run.json", ".lock"


class ResultsTable:
    """results.csv and results.jsonl of a folder, and run.json with the settings behind the rows.

    Each row is in the files as soon as it is added. A run into the same folder goes on where the
    one before ended: cases whose file has not changed since keep their row if they were ok or
    refused. Rows of inputs that this run does not have stay where they are.

    Args:
        output_dir: made when the run begins.
        cases: of this run, each with the path of its `image`.
        settings: all that a row hangs on, as JSON has it.
        overwrite: begin anew, whatever is there.

    Raises:
        ValueError: the folder holds results of other settings.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Mapping[str, Any]],
        *,
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.inputs = [str(case[Keys.IMAGE]) for case in cases]
        self.settings = json.loads(json.dumps(settings or {}, default=str))
        self.overwrite = overwrite
        self.files: list[IO[bytes]] = []
        self._find_kept()
        self.todo = [n for n, name in enumerate(self.inputs) if name not in self.places]

    def _refuse_other_settings(self) -> None:
        if not (self.output_dir / JSONL).exists():
            return
        try:
            before = json.loads((self.output_dir / RUN).read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        names = [n for n in self.settings | before if self.settings.get(n) != before.get(n)]
        if names:
            changes = (f"{n} {before.get(n)}, now {self.settings.get(n)}" for n in names[:3])
            raise ValueError(
                f"{self.output_dir} holds results of other settings ({'; '.join(changes)}): choose "
                "another --output, or --overwrite"
            )

    def _find_kept(self, *, todo: Collection[str] = ()) -> None:
        """Rows that stay; of an input that is to be done anew, none."""
        self.counts: Counter[tuple[str, str | None]] = Counter()
        self.places: dict[str, int] = {}  # input -> where its line begins
        if self.overwrite:
            return
        self._refuse_other_settings()
        rows: dict[str, tuple[int, dict[str, Any]]] = {}
        for place, row in self._lines():
            rows[row["input"]] = (place, {key: row.get(key) for key in ("status", "reason", STAMP)})
        inputs = set(self.inputs)
        for name, (place, row) in rows.items():
            if name not in inputs:
                self.places[name] = place
            elif name not in todo and _is_final(row) and row[STAMP] == stamp_of(name):
                self.places[name] = place
                self.counts[row["status"], row["reason"]] += 1

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row with its line's place; what a kill cut short is no row."""
        place = 0
        path = self.output_dir / JSONL
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    if line.endswith(b"\n") and isinstance(row["input"], str):
                        yield place, row
                except (ValueError, KeyError, TypeError):
                    pass
                place += len(line)

    def begin(self) -> None:
        """Write the settings and the rows that stay, and open the files for more.

        Raises:
            ValueError: another run is writing into the folder, or has left other settings there.
        """
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.files = [_locked(self.output_dir / LOCK)]
        self._find_kept(todo={self.inputs[n] for n in self.todo})  # another run may have ended
        self._rewrite(sorted(self.places, key=self.places.__getitem__))
        with _replaced(self.output_dir / RUN) as file:  # last: it vouches for the rows
            file.write(json.dumps({"settings": self.settings}, indent=2).encode() + b"\n")
        self.files += [(self.output_dir / JSONL).open("ab"), (self.output_dir / CSV).open("ab")]

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row to both files, and see that it is there after a kill."""
        _, lines, table = self.files
        full = {column: row.get(column) for column in COLUMNS}
        line = json.dumps({**full, STAMP: stamp_of(row["input"])}).encode() + b"\n"
        place = lines.tell()
        for file, text in ((lines, line), (table, _csv_line(full.values()))):
            file.write(text)
            file.flush()
        self.places[row["input"]] = place
        self.counts[row["status"], row.get("reason")] += 1

    def end(self) -> None:
        """Bring the rows into the order of the inputs, those of other inputs first."""
        self.close(keep=1)
        ours = set(self.inputs)
        others = [name for name in self.places if name not in ours]
        order = sorted(others, key=self.places.__getitem__)
        order += [name for name in self.inputs if name in self.places]
        if [self.places[name] for name in order] != sorted(self.places.values()):
            self._rewrite(order)
        self.close()

    def close(self, *, keep: int = 0) -> None:
        """Close the files but the first few, of which the first is the lock."""
        while len(self.files) > keep:
            if len(self.files) == 1:
                with suppress(PermissionError):  # Windows removes no open file
                    (self.output_dir / LOCK).unlink(missing_ok=True)
            self.files.pop().close()

    def _rewrite(self, order: Sequence[str]) -> None:
        """Both files anew, with the rows of these inputs."""
        with _replaced(self.output_dir / JSONL) as file:
            for name, line in zip(order, self._lines_at(order), strict=True):
                self.places[name] = file.tell()
                file.write(line)
        self.places = {name: self.places[name] for name in order}
        with _replaced(self.output_dir / CSV) as file:
            file.write(_csv_line(COLUMNS))
            for _, row in self._lines():
                file.write(_csv_line(row.get(column) for column in COLUMNS))

    def _lines_at(self, order: Sequence[str]) -> Iterator[bytes]:
        if order:
            with (self.output_dir / JSONL).open("rb") as file:
                for name in order:
                    file.seek(self.places[name])
                    yield file.readline()

    def rows(self) -> list[dict[str, Any]]:
        """This run's rows in the order of its inputs, as dictionaries by COLUMNS."""
        ours = set(self.inputs)
        found = {row.pop("input"): row for _, row in self._lines() if row["input"] in ours}
        return [
            {"input": name} | {column: found[name].get(column) for column in COLUMNS[1:]}
            for name in self.inputs
            if name in found
        ]


def _is_final(row: Mapping[str, Any]) -> bool:
    return row["status"] in KEPT and row["reason"] not in MENDED_OUTSIDE


def stamp_of(name: str) -> str | None:
    """What changes when a file is written anew; None if it is not there."""
    path = Path(name)
    try:
        status = (archive_of(path) or path).stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"


def _csv_line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode("utf-8", "surrogateescape")  # names need not be UTF-8


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """Write under a temporary name, then rename: whatever happens, `path` is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        yield file
    os.replace(temporary, path)


def _locked(path: Path) -> IO[bytes]:
    """An open file that no other process can lock; a killed process locks nothing."""
    while True:
        file = path.open("wb")
        _lock(file, path.parent)
        if _is_at(file, path):  # or its holder has just removed it, and the next locks another
            return file
        file.close()


def _lock(file: IO[bytes], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # on Windows two runs into one folder are the user's care
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise ValueError(
            f"another run is writing into {folder}: wait for it, or choose another --output"
        ) from error
    except OSError:  # a file system without locks
        pass


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
