from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dicomweb_client", reason='needs pip install "multimix-monai[dicom]"')

from typer.testing import CliRunner

from multimix_monai.apps import cli, pacs_images, pacs_run
from multimix_monai.apps.pacs import login
from multimix_monai.apps.pacs_arrivals import Arrivals
from multimix_monai.apps.pacs_images import Work
from multimix_monai.apps.pacs_ledger import Ledger, Outcome
from multimix_monai.apps.pacs_run import Query, once, watching
from multimix_monai.data.patient import digest
from multimix_monai.dicom.findings import Algorithm
from multimix_monai.dicom.web import Bearer, Reference, Study
from multimix_monai.dicom.web_faults import ServerError

URL = "http://127.0.0.1:9/dicom-web"  # nobody listens there


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MULTIMIX_PACS_{name}", raising=False)


def pacs(*words: object) -> Any:
    return CliRunner().invoke(cli.app, ["pacs", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ((), "whole PACS"),
        (("--watch", "--limit", 3), "leave out"),
        (("--watch", "--dry-run"), "leave out"),
        (("--limit", 3, "--no-store"), "--output"),
        (("--limit", 0), "value for '--limit':"),
        (("--from", "1.2.2024"), "formats"),
        (("--limit", 1, "--user", "reader"), "MULTIMIX_PACS_PASSWORD"),
        (("--limit", 1, "--set", "dicom=false"), "DICOM only"),
    ],
)
def test_wrong_usage_is_code_2(words: tuple[object, ...], remedy: str) -> None:
    result = pacs(URL, *words)
    assert result.exit_code == 2, result.output
    assert remedy in " ".join(result.stderr.replace("│", " ").split())


def test_an_absent_server_is_code_1_at_once(tmp_path: Path) -> None:
    result = pacs(URL, "--limit", 1, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {URL}, the first query: Connection refused: is the server running?\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_token_goes_before_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert login(URL, None) is None
    monkeypatch.setenv("MULTIMIX_PACS_PASSWORD", "b")
    assert login(URL, "a") == ("a", "b")
    monkeypatch.setenv("MULTIMIX_PACS_TOKEN", "t")
    found = login(URL, "a")
    assert isinstance(found, Bearer) and found.token == "t"


@pytest.mark.parametrize(
    ("url", "warned"), [("http://pacs", True), ("https://pacs", False), (URL, False)]
)
def test_a_login_over_an_open_network_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, warned: bool
) -> None:
    monkeypatch.setenv("MULTIMIX_PACS_TOKEN", "t")
    login(url, None)
    assert ("use https" in capsys.readouterr().err) == warned


class Server:
    """Takes down what is asked for."""

    filters: dict[str, str]

    def studies(self, filters: dict[str, str], **_: object) -> list[Study]:
        self.filters = filters
        return []


YESTERDAY = date.today() - timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "asked"),
    [
        ({}, None),
        ({"first": date(2024, 1, 2)}, "20240102-"),
        ({"last": date(2024, 1, 2)}, "-20240102"),
        ({"first": date(2024, 1, 2), "last": date(2024, 2, 1)}, "20240102-20240201"),
        ({"since_yesterday": True}, f"{YESTERDAY:%Y%m%d}-"),
    ],
)
def test_days_are_asked_for_as_a_range(days: dict[str, Any], asked: str | None) -> None:
    server: Any = Server()
    Query({"PatientID": "7"}, ("DX",), **days).studies(server)
    assert server.filters == {"PatientID": "7"} | ({"StudyDate": asked} if asked else {})


def due(arrivals: Arrivals, now_s: float, **instances: int) -> str:
    found = arrivals.due([Study(uid, n) for uid, n in instances.items()], now_s=now_s)
    return "".join(study.uid for study in found)


def test_a_study_is_due_when_it_has_not_grown_for_a_while() -> None:
    arrivals = Arrivals(settle_s=10, every_s=5)
    assert due(arrivals, 0, a=1) == ""
    assert due(arrivals, 9, a=2, b=1) == ""  # a has grown
    assert due(arrivals, 18, a=2, b=1) == ""
    assert due(arrivals, 19, a=2, b=1) == "ab"


def test_a_finished_study_is_due_again_only_when_others_add_to_it() -> None:
    arrivals = Arrivals(settle_s=0, every_s=5)
    assert due(arrivals, 0, a=1) == "a"
    arrivals.finish(Study("a", 1), stored=2)
    assert due(arrivals, 1, a=3) == ""
    assert due(arrivals, 2, a=4) == "a"


def test_a_failed_study_is_due_again_after_pauses_that_double_up_to_an_hour() -> None:
    arrivals = Arrivals(settle_s=0, every_s=5)
    now_s, pauses = 0.0, []
    for _ in range(12):
        assert due(arrivals, now_s, a=1) == "a"
        arrivals.fail(Study("a", 1), now_s=now_s)
        start_s = now_s
        while not due(arrivals, now_s, a=1):
            now_s += 5
        pauses.append(now_s - start_s)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


def test_studies_that_are_gone_are_forgotten() -> None:
    arrivals = Arrivals(settle_s=0, every_s=5)
    due(arrivals, 0, a=1, b=1)
    due(arrivals, 1, b=1)
    assert set(arrivals.known) == {"b"}


def outcome(status: str, image: str = "i", **more: Any) -> Outcome:
    return Outcome("s", image, status, **more)


def test_a_ledger_remembers_outcomes_of_the_same_algorithm(tmp_path: Path) -> None:
    first = Ledger(tmp_path, algorithm="a")
    first.add(outcome("refused", reason="lateral"))
    again = Ledger(tmp_path, algorithm="a")
    assert again.last("i") == outcome("refused", reason="lateral")
    assert Ledger(tmp_path, algorithm="b").last("i") is None


def test_success_replaces_a_failure_and_nothing_replaces_success(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, algorithm="a")
    ledger.add(outcome("failed", reason="x", objects=1))
    ledger.add(outcome("stored", objects=2))
    ledger.add(outcome("there"))
    assert ledger.counts() == {"stored": 1, "objects": 3, "studies": 0, "unread": 0}
    assert not ledger.reasons()
    rows = [json.loads(line) for line in (tmp_path / "pacs.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["failed", "stored"]
    assert set(rows[0]) == {"time", "algorithm", *asdict(outcome("x"))}


def test_a_ledger_that_a_crash_cut_is_read_and_goes_on(tmp_path: Path) -> None:
    Ledger(tmp_path, algorithm="a").add(outcome("refused"))
    with (tmp_path / "pacs.jsonl").open("a") as file:
        file.write('{"time": "2024')
    Ledger(tmp_path, algorithm="a").add(outcome("refused", "j"))
    last = Ledger(tmp_path, algorithm="a")
    assert last.last("i") and last.last("j")


def test_a_study_that_could_not_be_read_counts_until_it_could() -> None:
    ledger = Ledger(None, algorithm="a")
    ledger.studies["s"] = "503"
    assert ledger.counts()["unread"] == 1 and ledger.reasons() == {("failed", "503"): 1}
    ledger.studies["s"] = ""
    assert ledger.counts()["unread"] == 0 and not ledger.reasons()


def test_a_digest_does_not_show_its_uid() -> None:
    assert digest("1.2.3") == digest("1.2.3") != digest("1.2.4")
    assert len(digest("1.2.3")) == 16 and "." not in digest("1.2.3")


ALGORITHM = Algorithm("ab")


class Pacs:
    """A server with one image in each study, whose results are named after it."""

    def __init__(self, *uids: str) -> None:
        self.uids = uids
        self.stored: set[str] = set()
        self.retrieved: list[str] = []
        self.forbidden: set[str] = set()

    def studies(self, *_: object, **__: object) -> list[Study]:
        return [Study(uid, 1) for uid in self.uids]

    def images(self, study_uid: str, **_: object) -> list[Reference]:
        if study_uid in self.forbidden:
            raise ServerError("403 Forbidden", status=403)
        return [Reference(study_uid, study_uid, study_uid)]

    def refuses_all(self, error: ServerError) -> bool:
        return self.forbidden == set(self.uids)

    def has(self, study_uid: str, uid: str) -> bool:
        return uid in self.stored

    def retrieve(self, image: Reference, path: Path) -> None:
        self.retrieved.append(image.uid)
        path.write_text(image.uid)

    def store(self, study_uid: str, paths: list[Path]) -> list[str]:
        self.stored |= {ALGORITHM.uid(path.stem, study_uid) for path in paths}
        return []


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Why images are refused, by UID; `predict` finds something in all others."""
    reasons: dict[str, str] = {}

    def predict(settings: dict[str, Any]) -> list[dict[str, Any]]:
        return [row(Path(settings["output_dir"]), c["image"]) for c in settings["dataset#data"]]

    def row(results: Path, image: str) -> dict[str, Any]:
        reason = reasons.get(Path(image).read_text())
        names = {kind: f"{Path(image).stem}/{kind}.dcm" for kind in ("seg", "sr")}
        for name in names.values():
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            (results / name).write_bytes(b"")
        files = {kind: names.get(kind) for kind in pacs_images.KINDS}
        return {"input": image, "status": "refused" if reason else "ok", "reason": reason} | files

    monkeypatch.setattr(pacs_images, "predict", predict)
    return reasons


def work_of(server: Any, output: Path, *, keep: bool = False) -> Work:
    return Work(
        server=server,
        settings={},
        algorithm=ALGORITHM,
        ledger=Ledger(output, algorithm="a"),
        keep=output if keep else None,
    )


def round_of(server: Any, output: Path, *, keep: bool = False) -> Work:
    """One round over all studies, by a process of its own."""
    work = work_of(server, output, keep=keep)
    once(work, Query({}, ("DX",)))
    return work


def statuses(work: Work) -> dict[str, int]:
    counts = work.ledger.counts()
    return {status: n for status, n in counts.items() if n and status not in ("studies", "objects")}


def test_results_that_were_kept_are_stored_by_a_run_that_stores(
    refusals: dict[str, str], tmp_path: Path
) -> None:
    server = Pacs("1.2", "1.3")
    assert statuses(round_of(server, tmp_path, keep=True)) == {"kept": 2}
    assert not server.stored
    assert statuses(round_of(server, tmp_path)) == {"stored": 2}
    assert server.stored == {ALGORITHM.uid(k, uid) for k in ("seg", "sr") for uid in server.uids}


def test_a_kept_folder_that_was_deleted_is_made_again_and_no_other(
    refusals: dict[str, str], tmp_path: Path
) -> None:
    server = Pacs("1.2", "1.3")
    round_of(server, tmp_path, keep=True)
    shutil.rmtree(tmp_path / digest("1.2"))
    assert statuses(round_of(server, tmp_path, keep=True)) == {"kept": 2}
    assert (tmp_path / digest("1.2") / "sr.dcm").exists()
    assert server.retrieved == ["1.2", "1.3", "1.2"]


@pytest.mark.parametrize("reason", ["no_decoder", "truncated", "undecodable"])
def test_what_cannot_be_read_for_a_passing_reason_is_tried_again(
    refusals: dict[str, str], tmp_path: Path, reason: str
) -> None:
    server = Pacs("1.2", "1.3")
    refusals.update({"1.2": reason, "1.3": "lateral"})
    assert statuses(round_of(server, tmp_path)) == {"failed": 1, "refused": 1}
    refusals.clear()
    assert statuses(round_of(server, tmp_path)) == {"stored": 1, "refused": 1}


def test_a_study_that_the_server_protects_holds_up_no_other(
    refusals: dict[str, str], tmp_path: Path
) -> None:
    server = Pacs("1.2", "1.3")
    server.forbidden = {"1.2"}
    assert statuses(round_of(server, tmp_path)) == {"stored": 1, "unread": 1}
    server.forbidden = {"1.2", "1.3"}
    with pytest.raises(ServerError, match="403"):
        round_of(server, tmp_path)


@pytest.mark.parametrize(
    ("forbidden", "end"), [({"1.2"}, KeyboardInterrupt), ({"1.2", "1.3"}, ServerError)]
)
def test_a_watch_ends_only_if_the_server_refuses_all(
    refusals: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forbidden: set[str],
    end: type[BaseException],
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pacs_run.time, "sleep", interrupt)
    server = Pacs("1.2", "1.3")
    server.forbidden = forbidden
    with pytest.raises(end):
        watching(work_of(server, tmp_path), Query({}, ("DX",)), every_s=1, settle_s=0)


def test_what_another_algorithm_judged_last_is_judged_anew(tmp_path: Path) -> None:
    for algorithm in "ab":
        Ledger(tmp_path, algorithm=algorithm).add(outcome("kept"))
    assert Ledger(tmp_path, algorithm="a").last("i") is None
    assert Ledger(tmp_path, algorithm="b").last("i") == outcome("kept")
