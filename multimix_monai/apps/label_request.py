"""Apps: what a request may say, since whoever reaches the port can send one.

MONAI Label joins ids and tags to paths, and MONAI evaluates texts of a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SENT = "sent"  # set by this server alone: the image is a file that a client sent
_NO_NAMES = ("", ".", "..")
_NO_PART = "/\\\0"


def plain_name(name: Any, *, what: str) -> str:
    """An id or a tag that stays within its folder.

    Raises:
        ValueError: it is empty, "." or "..", has a slash, a backslash or NUL, or is no text.
    """
    if not isinstance(name, str) or name in _NO_NAMES or any(sign in name for sign in _NO_PART):
        raise ValueError(f"{what} is {name!r}; it can be a name without slashes, not a path")
    return name


def plain_settings(settings: Mapping[str, Any], *, known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training without any text, which MONAI would evaluate or look up.

    Args:
        settings: of a request, by name.
        known: those of the server; clients send them back, so these values are as good as absent.

    Raises:
        ValueError: names the setting that is none.
    """
    own = object()
    chosen = {n: v for n, v in settings.items() if known.get(n, own) != v}
    for name, value in chosen.items():
        if not _is_plain(value):
            raise ValueError(
                f"{name} is {value!r}; a setting of a request is a number, true, false, or a list "
                "or dictionary of them: give others with --set where the server is started"
            )
    return chosen


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(str(n).isidentifier() and n[0] != "_" and _is_plain(v) for n, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float))
