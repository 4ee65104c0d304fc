"""The client against a real HTTP server on loopback that misbehaves as told."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dicomweb_client", reason='needs pip install "multimix-monai[dicom]"')

import pydicom

from multimix_monai.data.images import Radiograph
from multimix_monai.dicom import web
from multimix_monai.dicom.dx import write_dx
from multimix_monai.dicom.web import Bearer, DicomWeb, Reference
from multimix_monai.dicom.web_faults import TRANSIENT, ServerError, waits_s

STUDY, SERIES, INSTANCE = "1.2.3.4567", "1.2.3.4567.8", "1.2.3.4567.8.9"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Peer:
    """A server whose answers are given one by one; the last is repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                peer.requests.append((self.path, self.rfile.read(size), dict(self.headers)))
                (peer.answers.pop(0) if len(peer.answers) > 1 else peer.answers[0])(self)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/dicom-web"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client wanted to wait, without the waiting."""
    waited: list[float] = []
    monkeypatch.setattr(web.time, "sleep", waited.append)
    return waited


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def found(*items: dict[str, object]) -> Answer:
    rows = [{tag: {"vr": "UI", "Value": [value]} for tag, value in item.items()} for item in items]
    return status(200, json.dumps(rows).encode(), Content_Type="application/dicom+json")


def close(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'[{"00080018"')


def hang(handler: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(0.5)


def account(code: int, *reasons: object) -> Answer:
    """What a server says of a store that failed for these reasons."""
    items = [{"00081197": {"vr": "US", "Value": [reason]}} for reason in reasons]
    body = {"00081198": {"vr": "SQ", "Value": items}}
    return status(code, json.dumps(body).encode(), Content_Type="application/dicom+json")


@pytest.fixture
def dx(tmp_path: Path) -> Path:
    pixels = np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(64, 48)
    write_dx(
        tmp_path / "dx.dcm",
        Radiograph(pixels=pixels, spacing_mm=(0.2, 0.2)),
        patient_name="A^B",
        patient_id="1",
        seed=1,
    )
    return tmp_path / "dx.dcm"


def multipart(part: bytes) -> Answer:
    body = b"\r\n--cut\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n--cut--"
    kind = 'multipart/related; type="application/dicom"; boundary=cut'
    return status(200, body, Content_Type=kind)


@pytest.mark.parametrize(
    "trouble", [close, break_off, hang, *map(status, TRANSIENT)], ids=lambda t: t.__name__
)
def test_a_request_that_fails_for_a_passing_reason_is_repeated(
    peer: Peer, pauses: list[float], trouble: Answer
) -> None:
    peer.answers = [trouble, trouble, found({"00080018": INSTANCE})]
    assert DicomWeb(peer.url, timeout_s=0.2).has(STUDY, INSTANCE)
    assert len(peer.requests) == 3
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2


def test_waits_double_up_to_a_minute() -> None:
    waits = waits_s(1.0)
    for longest in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert longest / 2 <= next(waits) <= longest


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7), ("99999", 60), ("soon", 0), ("-3", 0)])
def test_a_server_that_names_a_pause_gets_it(
    peer: Peer, pauses: list[float], header: str, wait_s: float
) -> None:
    peer.answers = [status(503, Retry_After=header), found()]
    assert not DicomWeb(peer.url).has(STUDY, INSTANCE)
    assert pauses == [pytest.approx(wait_s, abs=1)]


def test_patience_ends(peer: Peer, pauses: list[float]) -> None:
    peer.answers = [status(503)]
    with pytest.raises(ServerError, match="503 Service Unavailable") as caught:
        DicomWeb(peer.url, patience_s=0.4).has(STUDY, INSTANCE)
    assert caught.value.transient and not caught.value.is_unreachable
    assert len(peer.requests) == 1 and pauses == []


@pytest.mark.parametrize(("code", "remedy"), [(400, ""), (401, "password"), (403, "token")])
def test_a_refusal_is_not_repeated_and_says_what_to_do(
    peer: Peer, pauses: list[float], code: int, remedy: str
) -> None:
    peer.answers = [status(code)]
    with pytest.raises(ServerError, match=f"{code} .*{remedy}") as caught:
        DicomWeb(peer.url).studies({}, modalities=["DX"])
    assert caught.value.is_login == (code != 400)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("code", "general", "is_all"),
    [(401, 200, True), (403, 403, True), (403, 401, True), (403, 200, False), (403, 503, False)],
)
def test_a_403_concerns_all_only_if_a_general_query_is_refused_too(
    peer: Peer, code: int, general: int, is_all: bool
) -> None:
    peer.answers = [status(code), status(general)]
    with pytest.raises(ServerError) as caught:
        DicomWeb(peer.url).images(STUDY, modalities=["DX"])
    assert DicomWeb(peer.url).refuses_all(caught.value) == is_all


def test_a_page_that_is_no_dicomweb_is_named_so(peer: Peer) -> None:
    peer.answers = [status(200, b"<html>", Content_Type="text/html")]
    with pytest.raises(ServerError, match=r"not DICOMweb.*localhost:8042/dicom-web"):
        DicomWeb(peer.url).studies({}, modalities=["DX"])


def odd(text: str) -> Answer:
    return status(200, text.encode(), Content_Type="application/dicom+json")


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "7",
        '["x"]',
        "[null]",
        '[{"0020000D": null}]',
        '[{"0020000D": {"Value": 7}}]',
        '[{"0020000D": {"Value": [["1.2"]]}}]',
        "[{}]",
    ],
)
def test_json_that_is_no_dicom_is_named_so(peer: Peer, text: str) -> None:
    peer.answers = [odd(text)]
    server = DicomWeb(peer.url)
    for ask in (
        server.check,
        lambda: server.studies({}, modalities=["DX"]),
        lambda: server.images(STUDY, modalities=["DX"]),
        lambda: server.has(STUDY, INSTANCE),
        lambda: server.series("DX"),
    ):
        with pytest.raises(ServerError, match="not DICOMweb"):
            ask()


def test_a_server_that_is_off_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/dicom-web"
    with pytest.raises(ServerError, match="Connection refused") as caught:
        DicomWeb(url, patience_s=0).studies({}, modalities=["DX"])
    assert caught.value.is_unreachable


@pytest.mark.parametrize("trouble", [close, break_off, status(503), status(404), status(200, b"<")])
def test_no_uid_reaches_a_log_or_a_message(
    peer: Peer,
    pauses: list[float],
    caplog: pytest.LogCaptureFixture,
    trouble: Answer,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    peer.answers = [trouble, trouble]
    image = Reference(STUDY, SERIES, INSTANCE)
    with pytest.raises(ServerError) as caught:
        DicomWeb(peer.url, patience_s=2).retrieve(image, tmp_path / "x.dcm")
    assert STUDY in peer.requests[0][0]
    assert STUDY not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize("size", [1, 2, 3, 500])
def test_pages_of_any_size_are_joined(peer: Peer, size: int) -> None:
    uids = [f"1.2.{n}" for n in range(5)]

    def page(handler: BaseHTTPRequestHandler) -> None:
        query = dict(pair.split("=") for pair in handler.path.partition("?")[2].split("&"))
        first = int(query["offset"])
        stop = first + min(size, int(query["limit"]))
        found(*({"0020000D": uid, "00201208": 2} for uid in uids[first:stop]))(handler)

    peer.answers = [page]
    server = DicomWeb(peer.url)
    studies = server.studies({}, modalities=["DX", "CR"])
    assert [study.uid for study in studies] == uids and studies[0].instances == 2
    assert [s.uid for s in server.studies({}, modalities=["DX"], limit=3)] == uids[:3]


def test_a_server_that_ignores_offset_ends_the_query(peer: Peer) -> None:
    peer.answers = [found(*({"0020000D": f"1.2.{n}", "00201208": n} for n in (1, 2)))]
    studies = DicomWeb(peer.url).studies({}, modalities=["DX"])
    assert [(study.uid, study.instances) for study in studies] == [("1.2.1", 1), ("1.2.2", 2)]
    assert len(peer.requests) == 2


@pytest.mark.parametrize("said", [{}, {"00201208": "many"}, {"00201208": [2]}])
def test_instances_are_counted_where_the_server_does_not_say_how_many(
    peer: Peer, said: dict[str, object]
) -> None:
    instances = found({"00080018": "1.3.1"}, {"00080018": "1.3.2"})
    peer.answers = [found({"0020000D": "1.2.1"} | said), instances, instances, found()]
    assert [study.instances for study in DicomWeb(peer.url).studies({}, modalities=["DX"])] == [2]


def test_only_series_of_the_modalities_are_searched(peer: Peer) -> None:
    peer.answers = [
        found({"0020000E": "1.2.1", "00080060": "DX"}, {"0020000E": "1.2.2", "00080060": "SEG"}),
        found({"00080018": INSTANCE}),
    ]
    assert DicomWeb(peer.url).images(STUDY, modalities=["DX"]) == [
        Reference(STUDY, "1.2.1", INSTANCE)
    ]
    assert "/series/1.2.1/instances" in peer.requests[-1][0]


def test_series_of_a_modality_come_with_their_study_and_a_header(peer: Peer) -> None:
    first, second = ({"0020000E": f"1.2.{n}", "0020000D": STUDY} for n in (1, 2))
    peer.answers = [found(first), found(second), found(), found({"00080018": INSTANCE})]
    server = DicomWeb(peer.url)
    assert server.series("SEG") == {"1.2.1": STUDY, "1.2.2": STUDY}
    assert "Modality=SEG" in peer.requests[0][0]
    assert server.header(STUDY, "1.2.1").SOPInstanceUID == INSTANCE
    assert peer.requests[-1][0].endswith("/series/1.2.1/metadata")


def test_an_instance_comes_as_the_server_keeps_it(peer: Peer, dx: Path, tmp_path: Path) -> None:
    peer.answers = [multipart(dx.read_bytes())]
    uid = str(pydicom.dcmread(dx).SOPInstanceUID)
    DicomWeb(peer.url).retrieve(Reference(STUDY, SERIES, uid), tmp_path / "got.dcm")
    assert (tmp_path / "got.dcm").read_bytes() == dx.read_bytes()
    assert "transfer-syntax=*" in peer.requests[0][2]["Accept"]


def test_another_instance_than_asked_for_is_refused(peer: Peer, dx: Path, tmp_path: Path) -> None:
    peer.answers = [multipart(dx.read_bytes())]
    with pytest.raises(ServerError, match="another one was sent"):
        DicomWeb(peer.url).retrieve(Reference(STUDY, SERIES, INSTANCE), tmp_path / "got.dcm")
    assert not (tmp_path / "got.dcm").exists()


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (account(200), []),
        (status(200), []),
        (account(202, 0x0110), ["failure reason 0110H"]),
        (account(409, 0xA700, 0x0110), ["failure reason A700H", "failure reason 0110H"]),
        (account(409, 0x0111), []),  # there already
        (account(202, None), ["no failure reason"]),
    ],
)
def test_a_store_tells_what_was_not_stored(
    peer: Peer, dx: Path, answer: Answer, reasons: list[str]
) -> None:
    peer.answers = [answer]
    assert DicomWeb(peer.url).store(STUDY, [dx]) == reasons


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"00081198": null}', b"{}"])
def test_a_conflict_without_an_account_is_a_refusal(peer: Peer, dx: Path, body: bytes) -> None:
    peer.answers = [status(409, body, Content_Type="application/dicom+json")]
    with pytest.raises(ServerError, match="409 Conflict"):
        DicomWeb(peer.url).store(STUDY, [dx])


def test_a_store_is_repeated_with_its_whole_body(peer: Peer, pauses: list[float], dx: Path) -> None:
    peer.answers = [close, status(503), account(200)]
    assert DicomWeb(peer.url).store(STUDY, [dx, dx]) == []
    bodies = {body for _, body, _ in peer.requests}
    assert len(peer.requests) == 3 and len(bodies) == 1
    assert bodies.pop().count(dx.read_bytes()[200:]) == 2


def test_a_token_is_sent_although_a_netrc_names_the_host(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    peer.answers = [found()]
    assert DicomWeb(peer.url, auth=Bearer("t0ken")).is_there()
    assert peer.requests[0][2]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8042", "no URL of a server"),
        ("ftp://localhost", "no URL of a server"),
        ("http://user:secret@localhost/dicom-web", "options of their own"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        DicomWeb(url)
    assert "secret" not in str(caught.value)


def test_a_certificate_is_trusted_only_if_its_authority_is_named(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    try:
        subprocess.run(["openssl", *words, *names], check=True, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate, is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    peer.server.socket = context.wrap_socket(peer.server.socket, server_side=True)
    peer.answers = [found()]
    url = peer.url.replace("http:", "https:")
    with pytest.raises(ServerError, match="--ca") as caught:
        DicomWeb(url).has(STUDY, INSTANCE)
    assert not caught.value.transient
    assert DicomWeb(url, verify=str(certificate)).is_there()
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert DicomWeb(url, verify=str(certificate)).is_there()
