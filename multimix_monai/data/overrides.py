"""Path of data, beside it: keys of a config and their values, as a command line has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE -> {key: value}, values as YAML reads them, and 1e-4 as a number too.

    Raises:
        ValueError: one has no "=", or its value cannot be read.
    """
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(
                f"--set {setting!r} has no value: write KEY=VALUE, such as image_size=224"
            )
        parsed[key] = _read_value(setting, value)
    return parsed


def _read_value(setting: str, text: str) -> Any:
    import yaml

    if re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", text):  # without a dot, YAML takes it for a word
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(
            f"--set {setting!r} cannot be read: brackets or quotes do not match"
        ) from error
