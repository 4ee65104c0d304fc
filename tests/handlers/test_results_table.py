from __future__ import annotations

import csv
import json
import multiprocessing
import os
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.handlers import results_table
from multimix_monai.handlers.results_table import COLUMNS, ResultsTable

SETTINGS = {"image_size": 64, "weights": "abc"}


def cases_of(folder: Path, *names: str) -> list[dict[str, str]]:
    """A case each; files that are not there yet are made."""
    for name in names:
        if not (folder / name).exists():
            (folder / name).touch()
    return [{"image": str(folder / name)} for name in names]


def table(folder: Path, *names: str, **options: Any) -> ResultsTable:
    cases = cases_of(folder, *names)
    return ResultsTable(folder / "out", cases, **{"settings": SETTINGS, **options})


def fill(results: ResultsTable, statuses: str, *, end: bool = True) -> None:
    """Begin, and add a row for each case to be done: o, r or f."""
    results.begin()
    words = {"o": "ok", "r": "refused", "f": "failed"}
    for index, letter in zip(results.todo, statuses, strict=False):
        row = {"input": results.inputs[index], "status": words[letter], "rows": len(statuses)}
        results.add(row if letter == "o" else {**row, "reason": letter})
    if end:
        results.end()
    else:
        results.close()


def written(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(name, status) by results.csv and by results.jsonl."""
    with (folder / "out" / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (folder / "out" / "results.jsonl").open()]
    return (
        [(Path(row["input"]).name, row["status"]) for row in table],
        [(Path(row["input"]).name, row["status"]) for row in lines],
    )


def test_both_files_hold_every_row_with_every_column(tmp_path: Path) -> None:
    results = table(tmp_path, "a", "b", "c")
    fill(results, "orf")
    rows, lines = written(tmp_path)
    assert rows == lines == [("a", "ok"), ("b", "refused"), ("c", "failed")]
    assert results.counts == {("ok", None): 1, ("refused", "r"): 1, ("failed", "f"): 1}
    assert [list(row) for row in results.rows()] == [list(COLUMNS)] * 3
    header = (tmp_path / "out" / "results.csv").read_text().splitlines()[0]
    assert header == ",".join(COLUMNS)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.csv",
        "results.jsonl",
        "run.json",
    ]


def test_a_row_is_in_the_files_as_soon_as_it_is_added(tmp_path: Path) -> None:
    results = table(tmp_path, "a", "b")
    results.begin()
    results.add({"input": results.inputs[0], "status": "ok"})
    assert written(tmp_path) == ([("a", "ok")], [("a", "ok")])


def test_what_is_ok_or_refused_is_kept_and_what_failed_is_tried_again_in_its_place(
    tmp_path: Path,
) -> None:
    fill(table(tmp_path, "a", "b", "c", "d"), "ofr", end=False)
    again = table(tmp_path, "a", "b", "c", "d")
    assert again.todo == [1, 3]
    assert again.counts == {("ok", None): 1, ("refused", "r"): 1}
    fill(again, "oo")
    rows, lines = written(tmp_path)
    assert rows == lines == [("a", "ok"), ("b", "ok"), ("c", "refused"), ("d", "ok")]
    assert table(tmp_path, "a", "b", "c", "d").todo == []


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path, cut: int) -> None:
    fill(table(tmp_path, "a", "b", "c"), "oo", end=False)
    path = tmp_path / "out" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = table(tmp_path, "a", "b", "c")
    assert again.todo == [1, 2]
    fill(again, "oo")
    rows, lines = written(tmp_path)
    assert rows == lines == [("a", "ok"), ("b", "ok"), ("c", "ok")]


def test_rubbish_and_half_written_tables_do_no_harm(tmp_path: Path) -> None:
    fill(table(tmp_path, "a", "b"), "o", end=False)
    with (tmp_path / "out" / "results.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n[1, 2]\n{"status": "ok"}\n\n')
    (tmp_path / "out" / "results.csv").write_text("input,sta")
    again = table(tmp_path, "a", "b")
    assert again.todo == [1]
    fill(again, "o")
    assert written(tmp_path) == ([("a", "ok"), ("b", "ok")],) * 2


def test_a_file_that_was_exported_again_is_judged_again(tmp_path: Path) -> None:
    fill(table(tmp_path, "a", "b"), "ro")
    (tmp_path / "a").write_text("whole this time")
    os.utime(tmp_path / "b", ns=(1, 1))
    assert table(tmp_path, "a", "b").todo == [0, 1]


def test_what_an_installed_decoder_may_mend_is_tried_again(tmp_path: Path) -> None:
    results = table(tmp_path, "a", "b")
    results.begin()
    for name, reason in zip(results.inputs, ("no_decoder", "lateral"), strict=True):
        results.add({"input": name, "status": "refused", "reason": reason})
    results.end()
    assert table(tmp_path, "a", "b").todo == [0]


def test_a_file_that_was_missing_is_judged_when_it_is_there(tmp_path: Path) -> None:
    cases = [{"image": str(tmp_path / "late")}]
    fill(ResultsTable(tmp_path / "out", cases), "r")
    assert ResultsTable(tmp_path / "out", cases).todo == []
    (tmp_path / "late").touch()
    assert ResultsTable(tmp_path / "out", cases).todo == [0]


def test_rows_of_other_inputs_stay_and_are_not_counted(tmp_path: Path) -> None:
    fill(table(tmp_path, "x", "y"), "of")
    later = table(tmp_path, "a", "x")
    assert later.todo == [0] and later.counts == {("ok", None): 1}
    fill(later, "o")
    assert written(tmp_path)[0] == [("y", "failed"), ("a", "ok"), ("x", "ok")]
    assert [Path(row["input"]).name for row in later.rows()] == ["a", "x"]


def test_other_settings_are_refused_by_name_before_anything_is_touched(tmp_path: Path) -> None:
    fill(table(tmp_path, "a"), "o")
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match=r"out holds .*image_size 64, now 128.*--overwrite"):
        table(tmp_path, "a", settings={**SETTINGS, "image_size": 128})
    with pytest.raises(ValueError, match="force None, now True"):
        table(tmp_path, "a", settings={**SETTINGS, "force": True})
    assert {p: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_rows_without_their_settings_are_not_trusted(tmp_path: Path, content: str | None) -> None:
    fill(table(tmp_path, "a"), "o")
    if content is None:
        (tmp_path / "out" / "run.json").unlink()
    else:
        (tmp_path / "out" / "run.json").write_text(content)
    with pytest.raises(ValueError, match="other settings"):
        table(tmp_path, "a")


def test_overwriting_begins_anew(tmp_path: Path) -> None:
    fill(table(tmp_path, "a", "b"), "oo")
    anew = table(tmp_path, "b", settings={"image_size": 32}, overwrite=True)
    assert anew.todo == [0]
    fill(anew, "f")
    assert written(tmp_path) == ([("b", "failed")],) * 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"] == {"image_size": 32}


def test_names_that_are_not_unicode_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b'scan\xff,\n"1".png')
    fill(table(tmp_path, name), "o")
    assert table(tmp_path, name).todo == []
    assert table(tmp_path, name).rows()[0]["input"] == str(tmp_path / name)


def test_rows_of_a_run_that_ended_while_this_one_was_starting_stay(tmp_path: Path) -> None:
    late = table(tmp_path, "a", "b", "c")
    fill(table(tmp_path, "b", "x"), "oo")
    fill(late, "rrr")
    expected = [("x", "ok"), ("a", "refused"), ("b", "refused"), ("c", "refused")]
    assert written(tmp_path) == (expected, expected)
    assert sum(late.counts.values()) == 3
    late = table(tmp_path, "d")
    fill(table(tmp_path, "d", overwrite=True, settings={}), "o")
    with pytest.raises(ValueError, match="other settings"):
        late.begin()


def begin_another(folder: Path, answers: SimpleQueue) -> None:
    try:
        ResultsTable(folder, [], settings=SETTINGS).begin()
    except ValueError as error:
        answers.put(str(error))
    else:
        answers.put("begun")


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")

    def other_run() -> str:
        answers = context.SimpleQueue()
        process = context.Process(target=begin_another, args=(tmp_path / "out", answers))
        process.start()
        process.join()
        return answers.get()

    results = table(tmp_path, "a", "b")
    results.begin()
    assert other_run().startswith("another run is writing into")
    table(tmp_path).close()  # one that never began
    assert other_run().startswith("another run is writing into")
    results.end()
    assert other_run() == "begun"


def test_a_lock_that_its_holder_removes_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock, calls = tmp_path / ".lock", results_table._lock, []

    def removed_meanwhile(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            path.unlink()
        lock(*args)

    monkeypatch.setattr(results_table, "_lock", removed_meanwhile)
    with results_table._locked(path) as file:
        assert len(calls) == 2 and os.fstat(file.fileno()).st_ino == path.stat().st_ino
