from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multimix_monai.apps.label_guard import Guard

HOSTS, ORIGINS = ["127.0.0.1", "localhost"], ["http://localhost:3000"]


def status(hosts: list[str], kind: str = "http", **headers: str) -> int:
    """What a client is answered: 200 if the guard hands its request on."""
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"status": 200})

    async def send(message: Any) -> None:
        told.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    guard = Guard(app, hosts=hosts, origins=ORIGINS)
    asyncio.run(guard({"type": kind, "headers": encoded}, None, send))
    return int(told[0]["status"])


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("127.0.0.1:8000", "", 200),
        ("LOCALHOST", "", 200),
        ("localhost:9000", "http://localhost:9000", 200),  # a tunnel
        ("localhost:8000", "http://localhost:3000", 200),  # allowed
        ("rebound.example:8000", "", 403),
        ("rebound.example:8000", "http://rebound.example:8000", 403),
        ("[::1]:8000", "", 403),
        ("", "", 403),
        ("localhost:8000", "https://elsewhere.example", 403),
        ("localhost:8000", "http://localhost:8080", 403),
        ("localhost:8000", "null", 403),
    ],
)
def test_only_clients_and_own_pages_are_answered(host: str, origin: str, expected: int) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert status(HOSTS, **headers) == expected


def test_a_server_for_every_address_takes_any_name_but_no_other_page() -> None:
    assert status([], host="ward-7:8000") == 200
    assert status([], host="ward-7:8000", origin="http://ward-7:8000") == 200
    assert status([], host="ward-7:8000", origin="https://elsewhere.example") == 403


def test_what_is_no_request_is_handed_on() -> None:
    assert status(HOSTS, kind="lifespan") == 200
