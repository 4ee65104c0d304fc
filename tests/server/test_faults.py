"""`multimix pacs` through a line that breaks: each kind of request fails before it succeeds."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from typer.testing import CliRunner

from multimix_monai.apps import cli

pytestmark = pytest.mark.server
FAULTS = ("503", "close", "cut", "hang", "429", "lost answer")


class Line(BaseHTTPRequestHandler):
    """Hands requests on to Orthanc; the first ones of each method and path fail, one a fault."""

    server: Any

    def do_GET(self) -> None:
        key = self.command + re.sub(r"[\d.]{20,}|\?.*", "", self.path)
        with self.server.lock:
            number = self.server.seen.setdefault(key, 0)
            self.server.seen[key] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.broken and self.server.broken in self.path:
            return self.send_error(500)
        if not self.server.breaks:
            return self._hand_on(body, None)
        fault = FAULTS[number] if 0 <= number < len(FAULTS) else None
        if fault in ("503", "429"):
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if fault == "close":
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault == "hang":
            threading.Event().wait(1.5)
            return self.connection.shutdown(socket.SHUT_RDWR)
        self._hand_on(body, fault)

    do_POST = do_GET

    def _hand_on(self, body: bytes, fault: str | None) -> None:
        wanted = ("Authorization", "Accept", "Content-Type")
        headers = {name: self.headers[name] for name in wanted if name in self.headers}
        url = f"http://127.0.0.1:{self.server.orthanc.port}{self.path}"
        answer = requests.request(self.command, url, data=body, headers=headers, timeout=10)
        if fault == "lost answer":
            return self.connection.shutdown(socket.SHUT_RDWR)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        half = len(answer.content) // 2
        self.wfile.write(answer.content[:half] if fault == "cut" else answer.content)
        if fault == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pacs(line: Any, orthanc: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`multimix pacs` through the line, impatient between two attempts."""
    monkeypatch.setattr("multimix_monai.dicom.web.waits_s", lambda: iter([0.01] * 99))
    monkeypatch.setenv("MULTIMIX_PACS_PASSWORD", orthanc.password)
    words = ["pacs", line.url, "--user", orthanc.user, "--from", "20000101", "--timeout", "1"]
    return lambda *more: CliRunner().invoke(cli.app, [*words, *more])


@pytest.fixture
def line(orthanc: Any) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Line)
    server.orthanc, server.seen, server.lock = orthanc, {}, threading.Lock()
    server.breaks, server.broken = True, ""
    server.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_every_request_may_fail_in_every_way_and_all_is_stored_once(
    pacs: Callable[..., Any],
    line: Any,
    orthanc: Any,
    radiographs: Callable[[int], list[Path]],
    caplog: Any,
) -> None:
    orthanc.put(*radiographs(2))
    line.seen["GET/dicom-web/studies"] = -1  # the first contact is made once
    result = pacs()
    assert result.exit_code == 0, result.output
    assert orthanc.count() == 2 + 2 * 2
    kinds = {key: count for key, count in line.seen.items() if count > len(FAULTS)}
    assert len(kinds) == 6, line.seen  # studies, series, instances twice, one instance, STOW
    for words_of_a_fault in ("503", "429", "the connection broke", "within the time-out"):
        assert words_of_a_fault in caplog.text


@pytest.mark.parametrize("level", ["study", "instance"])
def test_what_always_fails_is_reported_and_holds_up_nothing_else(
    pacs: Callable[..., Any],
    line: Any,
    orthanc: Any,
    radiographs: Callable[[int], list[Path]],
    level: str,
) -> None:
    orthanc.put(*radiographs(3))
    source = pydicom.dcmread(radiographs(3)[1])
    line.breaks = False
    line.broken = {
        "study": f"{source.StudyInstanceUID}/series",
        "instance": f"/instances/{source.SOPInstanceUID}",
    }[level]
    some = pacs("--patience", "0.1")
    assert some.exit_code == 3, some.output
    assert "1 failed: http" in some.stdout and "500 Internal Server Error" in some.stdout
    assert orthanc.count() == 3 + 2 * 2
    line.broken = ""
    assert pacs().exit_code == 0
    assert orthanc.count() == 3 + 3 * 2
