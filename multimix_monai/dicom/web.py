"""Path of data, before its beginning and after its end: a PACS is asked, and given the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

try:
    import pydicom
    import requests
    from dicomweb_client import DICOMwebClient
except ImportError as error:
    raise ImportError(
        f'DICOMweb needs {error.name}, which is not installed: pip install "multimix-monai[dicom]"'
    ) from error

from multimix_monai.dicom.web_faults import FORBIDDEN, ServerError, fault, waits_s
from multimix_monai.dicom.web_session import Bearer, Session, checked_url

logger = logging.getLogger(__name__)

T = TypeVar("T")
_PAGE = 500
_DUPLICATE = 0x0111
_WHOLE_BODY = 2**31
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"  # the UID of each


@dataclass(frozen=True)
class Study:
    """A study that a query found: its UID, and how many instances it has now."""

    uid: str
    instances: int


@dataclass(frozen=True)
class Reference:
    """Where one instance lies: the UIDs of its study (0020,000D), series (0020,000E) and own."""

    study_uid: str
    series_uid: str
    uid: str


class DicomWeb:
    """A DICOMweb server: queries, retrievals and stores that outlive its short absences.

    A request that fails for a passing reason (no connection, a time-out, an answer that breaks
    off, 408, 429, 500, 502, 503, 504) is repeated with growing pauses. UIDs stay out of the logs,
    those of the libraries below included.

    Args:
        url: of the service, such as http://localhost:8042/dicom-web.
        auth: (user, password), a `Bearer`, or None.
        verify: whether the certificate is checked, or a file with those of trusted authorities.
        timeout_s: without a connection or, later, without a byte.
        patience_s: how long one request is repeated before `ServerError` is raised; 0: never.

    Raises:
        ValueError: the URL has another scheme, no host, or a password in it.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | Bearer | None = None,
        verify: bool | str = True,
        timeout_s: float = 60.0,
        patience_s: float = 120.0,
    ) -> None:
        self.url = checked_url(url)
        self.patience_s = patience_s
        session = Session(timeout_s)
        session.auth, session.verify = auth, verify
        # In one piece: the client cannot repeat a body in chunks, and not all servers take one.
        self.client = DICOMwebClient(self.url, session=session, chunk_size=_WHOLE_BODY)
        self.client.set_http_retry_params(retry=False)
        for library in ("dicomweb_client", "retrying", "urllib3"):
            logging.getLogger(library).setLevel(logging.CRITICAL)

    def studies(
        self, filters: Mapping[str, str], *, modalities: Iterable[str], limit: int | None = None
    ) -> list[Study]:
        """Studies that have an instance of one of the modalities, each once.

        Args:
            filters: keyword to value, as of QIDO; dates as 20240101-20240131.
            modalities: as in Modalities in Study (0008,0061).
            limit: of the studies given back.

        Raises:
            ServerError: the server does not answer, or refuses.

        Source: PS3.18 section 10.6 (QIDO-RS).
        """
        found: dict[str, Study] = {}
        for modality in modalities:
            wanted = {**filters, "ModalitiesInStudy": modality}
            search = self.client.search_for_studies
            for uid, item in self._pages("studies", _STUDY, search, wanted, limit):
                if uid not in found:
                    found[uid] = Study(uid, self._count(uid, item))
        return list(found.values())[:limit]

    def images(self, study_uid: str, *, modalities: Iterable[str]) -> list[Reference]:
        """The instances of a study's series of these modalities."""
        accepted = set(modalities)
        series = self._query("series", _SERIES, lambda: self.client.search_for_series(study_uid))
        uids = [uid for uid, item in series.items() if str(_value(item, "00080060")) in accepted]
        return [Reference(study_uid, s, uid) for s in uids for uid in self._instances(study_uid, s)]

    def series(self, modality: str) -> dict[str, str]:
        """All series of a modality, by their UID: that of their study."""
        wanted = {"Modality": modality}
        pages = self._pages("series", _SERIES, self.client.search_for_series, wanted, None)
        return {uid: str(_value(item, _STUDY)) for uid, item in pages}

    def header(self, study_uid: str, series_uid: str) -> pydicom.Dataset:
        """Attributes of a series' first instance; they are asked for once."""
        ask = partial(self.client.retrieve_series_metadata, study_uid, series_uid)
        return self._ask(
            "retrieving metadata", lambda: pydicom.Dataset.from_json(ask()[0]), patience_s=0
        )

    def has(self, study_uid: str, uid: str) -> bool:
        """Whether a study has an instance of this UID."""
        wanted = {"SOPInstanceUID": uid}
        search = partial(self.client.search_for_instances, study_uid, search_filters=wanted)
        return uid in self._query("an instance", _INSTANCE, search)

    def retrieve(self, image: Reference, path: str | Path) -> None:
        """Writes an instance to a file, in the transfer syntax in which the server keeps it.

        Raises:
            ServerError: it is gone, or the server sends another one.

        Source: PS3.18 section 10.4 (WADO-RS).
        """
        dataset = self._ask(
            "retrieving an instance",
            lambda: self.client.retrieve_instance(image.study_uid, image.series_uid, image.uid),
        )
        if dataset.get("SOPInstanceUID") != image.uid:
            raise ServerError(f"{self.url}, retrieving an instance: another one was sent")
        try:
            dataset.save_as(path)
        except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
            raise ServerError(
                f"{self.url}, retrieving an instance: what was sent is no valid DICOM "
                f"({type(error).__name__})"
            ) from None

    def store(self, study_uid: str, paths: Iterable[str | Path]) -> list[str]:
        """Stores files in a study, all in one request. What is already there counts as stored.

        Returns:
            Why instances were not stored, in words: empty when all are.

        Source: PS3.18 section 10.5 (STOW-RS) and annex I.2 (Failed SOP Sequence, 0008,1198).
        """
        datasets = [pydicom.dcmread(path) for path in paths]
        if not datasets:
            return []

        answer = self._ask("storing", lambda: self._post(study_uid, datasets))
        reasons = [_value(item, "00081197") for item in _values(answer, "00081198")]
        return [_in_words(reason) for reason in reasons if reason != _DUPLICATE]

    def check(self) -> None:
        """Asks for one study, once.

        Raises:
            ServerError: the server does not answer, wants another login, or is no DICOMweb.
        """
        search = partial(self.client.search_for_studies, limit=1)
        self._ask("the first query", lambda: _by_uid(search(), _STUDY), patience_s=0)

    def is_there(self) -> bool:
        """Whether the server answers now."""
        try:
            self.check()
        except ServerError:
            return False
        return True

    def refuses_all(self, error: ServerError) -> bool:
        """Whether an error refuses the login: a 403 may be of one patient, so it is asked again."""
        if error.status != FORBIDDEN:
            return error.is_login
        try:
            self.check()
        except ServerError as general:
            return general.is_login
        return False

    def _post(self, study_uid: str, datasets: Sequence[pydicom.Dataset]) -> Any:
        """The server's account of a store, which 409 Conflict has too: nothing was stored."""
        try:
            return self.client.store_instances(datasets, study_uid).to_json_dict()
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != requests.codes.conflict:
                raise
            account = error.response.json()
            if not _values(account, "00081198"):
                raise
            return account

    def _count(self, study_uid: str, item: Mapping[str, Any]) -> int:
        """Number of Study Related Instances (0020,1208), counted where the server does not say."""
        count = str(_value(item, "00201208"))
        return int(count) if count.isdecimal() else len(self._instances(study_uid))

    def _instances(self, study_uid: str, series_uid: str | None = None) -> list[str]:
        search = partial(self.client.search_for_instances, study_uid, series_uid)
        return [uid for uid, _ in self._pages("instances", _INSTANCE, search, {}, None)]

    def _pages(
        self,
        what: str,
        tag: str,
        search: Callable[..., Any],
        filters: Mapping[str, str],
        limit: int | None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Results page by page, whatever size a page has, also of a server that ignores offset."""
        seen: set[str] = set()
        while limit is None or len(seen) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(seen))
            request = partial(search, limit=size, offset=len(seen), search_filters=dict(filters))
            page = self._query(what, tag, request)
            new = {uid: item for uid, item in page.items() if uid not in seen}
            if not new:
                return
            seen |= set(new)
            yield from new.items()

    def _query(self, what: str, tag: str, search: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """What a query found, by the UID in a tag."""
        return self._ask(f"querying {what}", lambda: _by_uid(search(), tag))

    def _ask(self, doing: str, request: Callable[[], T], *, patience_s: float | None = None) -> T:
        """The answer to a request, asked for again while its failure may pass.

        Differs: of the client's own retries, which know neither broken connections nor Retry-After,
        and send a body in chunks only once.
        """
        end = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        for wait_s in waits_s():
            try:
                return request()
            except Exception as error:  # readers of an answer raise many kinds on garbage
                trouble = fault(error, server=self.url, doing=doing)
            wait_s = max(wait_s, trouble.retry_after_s)
            if not trouble.transient or time.monotonic() + wait_s > end:
                raise trouble
            logger.warning(f"{trouble}: again in {wait_s:.0f} s")
            time.sleep(wait_s)
        raise AssertionError("waits have no end")


def _by_uid(answer: Any, tag: str) -> dict[str, dict[str, Any]]:
    """The items of an answer to a query, by their UID.

    Raises:
        TypeError: it is no list.
        ValueError: an item has no UID.
    """
    found = {_value(item, tag): item for item in answer}
    if not all(isinstance(uid, str) and uid for uid in found):
        raise ValueError(f"an item has no {tag}")
    return found


def _value(item: Any, tag: str) -> Any:
    """The first value of an attribute, None without one."""
    return next(iter(_values(item, tag)), None)


def _values(item: Any, tag: str) -> list[Any]:
    """The values of an attribute in DICOM JSON, none of what is none. Source: PS3.18 annex F."""
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


def _in_words(reason: Any) -> str:
    """Failure Reason (0008,1197), which a server may leave out."""
    return f"failure reason {reason:04X}H" if isinstance(reason, int) else "no failure reason"
