"""Path of data, its line to a PACS: how requests log in, whom they trust, and that they end."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests


class Bearer(requests.auth.AuthBase):
    """A login by token, which, unlike a plain header, a ~/.netrc does not replace."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Session(requests.Session):
    """Requests that always end, and that trust whom the caller trusts.

    Differs: requests lets REQUESTS_CA_BUNDLE overrule a session's own choice.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As of requests, with the time-out of this session."""
        return super().request(*args, **{**kwargs, "timeout": self.timeout_s})

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """As of requests, but `verify` is the environment's only where it was left at True."""
        merged = super().merge_environment_settings(*args, **kwargs)
        return merged if self.verify is True else {**merged, "verify": self.verify}


def checked_url(url: str) -> str:
    """The URL without a slash at its end."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of a server: as in http://localhost:8042/dicom-web")
    if parts.username or parts.password:
        raise ValueError(
            f"the URL of {parts.hostname} has a user or a password in it, for everyone to see: "
            "leave them out, they have options of their own"
        )
    return url.rstrip("/")
