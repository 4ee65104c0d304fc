"""Path of data, DICOM attributes to Python values: absent, empty and broken ones are all absent.

A file from a PACS may hold anything in any attribute, and pydicom converts a value only when it is
asked for, so that every look at one may fail in its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TOO_LARGE = 1e12  # NaN and infinity are not below it either


def value(dataset: Dataset, keyword: str) -> Any:
    """The value of an attribute as pydicom gives it; None where it cannot be converted."""
    try:
        return dataset.get(keyword)
    except Exception:  # each kind of value has its own errors
        return None


def text(dataset: Dataset, keyword: str) -> str:
    """A text in capitals, several values joined by a backslash; "" where there is none."""
    found = value(dataset, keyword)
    if found is None or isinstance(found, bytes):
        return ""
    parts = [found] if isinstance(found, str) else found if _is_list(found) else [found]
    return "\\".join(str(part).strip().upper() for part in parts)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Numbers of a size that can be meant; () where there are none, or one of them is not."""
    found = value(dataset, keyword)
    try:
        parsed = tuple(float(part) for part in (found if _is_list(found) else [found]))
    except (TypeError, ValueError, OverflowError):
        return ()
    return parsed if all(abs(number) < _TOO_LARGE for number in parsed) else ()


def integer(dataset: Dataset, keyword: str) -> int | None:
    """One whole number, else None."""
    found = numbers(dataset, keyword)
    return int(found[0]) if len(found) == 1 and found[0].is_integer() else None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; [] where there is none."""
    from pydicom.sequence import Sequence

    found = value(dataset, keyword)
    return list(found) if isinstance(found, Sequence) else []


def _is_list(found: Any) -> bool:
    return not isinstance(found, (str, bytes)) and hasattr(found, "__iter__")
