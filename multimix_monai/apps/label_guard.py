"""Apps: which requests MONAI Label's web service answers: those of clients and of its own pages.

A web page that the user visits can send requests here, too. CORS alone keeps it from reading most
answers, but not from starting a training, and a name that the page's owner points to this address
makes it one of the server's own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

Send = Callable[[Any], Awaitable[None]]


class Guard:
    """ASGI middleware that answers 403 to what comes from elsewhere.

    Args:
        app: what it guards.
        hosts: names by which the server may be called (Host header); none: by any.
        origins: of other pages that may send requests, as http://localhost:3000.

    Source: RFC 9110 section 7.2 (Host), RFC 6454 section 7 (Origin).
    """

    def __init__(self, app: Any, *, hosts: Collection[str], origins: Collection[str]) -> None:
        self.app = app
        self.hosts = frozenset(name.lower() for name in hosts)
        self.origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Hand on, or refuse."""
        reason = self.objection(dict(scope["headers"])) if scope["type"] == "http" else None
        if reason is None:
            await self.app(scope, receive, send)
            return
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 403, "headers": head})
        body = json.dumps({"detail": reason}).encode()
        await send({"type": "http.response.body", "body": body})

    def objection(self, headers: dict[bytes, bytes]) -> str | None:
        """Why a request is refused; None if it is not."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts and urlsplit(f"//{host}").hostname not in self.hosts:
            return f"this server is called {' or '.join(sorted(self.hosts))}: see --host"
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin not in self.origins and urlsplit(origin).netloc != host:
            return "this page may send nothing here: open the server's own"
        return None
