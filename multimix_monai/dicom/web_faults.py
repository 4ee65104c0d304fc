"""Path of data, where it can break: what failures of a DICOMweb server mean, without any UID."""

from __future__ import annotations

import random
from collections.abc import Iterator
from http.client import responses

import requests

# Time-out, too early, too many, internal error, bad gateway, unavailable, gateway time-out.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
FORBIDDEN = 403
_LOGIN = (401, FORBIDDEN)
_REMEDIES = {
    401: ": check the user and the password, or the token",
    FORBIDDEN: ": this user, or this token, may not do it",
    404: ": it is not there; for a query, give the URL of the DICOMweb service",
}
_LONGEST_WAIT_S = 60.0


class ServerError(OSError):
    """A request that a DICOMweb server did not fulfil. No UID is in its message, as in any log.

    Args:
        message: which server, what it did, and what to do.
        status: of HTTP; None where no answer came.
        transient: the same request may succeed later.
        retry_after_s: how long the server asks to be left alone.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        transient: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.transient = transient
        self.retry_after_s = retry_after_s

    @property
    def is_login(self) -> bool:
        """The server wants another user, password or token, if perhaps only for this request."""
        return self.status in _LOGIN

    @property
    def is_unreachable(self) -> bool:
        """No answer came at all."""
        return self.transient and self.status is None


def fault(error: Exception, *, server: str, doing: str) -> ServerError:
    """What an exception of a request means. Its own text is left out: it has the URL with the UIDs.

    Args:
        error: from requests, or from what reads the answer.
        server: its base URL.
        doing: the request in words, such as "querying studies".
    """
    where = f"{server}, {doing}"
    response = getattr(error, "response", None)
    if isinstance(error, requests.HTTPError) and response is not None:
        return _refusal(response, where)
    if isinstance(error, requests.exceptions.SSLError):
        return ServerError(
            f"{where}: the certificate cannot be verified: name that of its authority with --ca"
        )
    if isinstance(error, requests.Timeout):
        return ServerError(f"{where}: no answer within the time-out", transient=True)
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return ServerError(f"{where}: {_root(error)}: is the server running?", transient=True)
    return ServerError(
        f"{where}: the answer is not DICOMweb ({type(error).__name__}): give the URL of that "
        "service, as in http://localhost:8042/dicom-web",
        status=getattr(response, "status_code", None),
    )


def waits_s(first_s: float = 1.0) -> Iterator[float]:
    """Seconds before each next attempt: doubled up to a minute, between half and all of it.

    The jitter keeps clients apart that lost the same server at the same moment.
    """
    longest = first_s
    while True:
        yield longest * random.uniform(0.5, 1.0)
        longest = min(2 * longest, _LONGEST_WAIT_S)


def _refusal(response: requests.Response, where: str) -> ServerError:
    status = response.status_code
    words = f"{status} {responses.get(status, '')}".strip()
    return ServerError(
        f"{where}: {words}{_REMEDIES.get(status, '')}",
        status=status,
        transient=status in TRANSIENT,
        retry_after_s=_retry_after_s(response),
    )


def _retry_after_s(response: requests.Response) -> float:
    """Retry-After, as seconds or as a date; 0 where it is absent or senseless. Source: RFC 9110."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        seconds = Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)


def _root(error: BaseException) -> str:
    """The operating system's words for a broken connection, such as "Connection refused"."""
    seen: BaseException | None = error
    words = "the connection broke"
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            words = seen.strerror
        seen = seen.__cause__ or seen.__context__
    return words
