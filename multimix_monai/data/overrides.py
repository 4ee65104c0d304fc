"""Path of data, beside it: keys of a config and their values, as a command line has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
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


def refuse_unknown(names: Iterable[str], config: Mapping[str, Any], *, where: str) -> None:
    """What no part of a config is named would be set, and change nothing.

    Args:
        names: as of overrides, such as "train#trainer#max_epochs".
        config: as it is read, not yet parsed.
        where: its file's name.

    Raises:
        ValueError: one is none of its names; tells the one most like it.
    """
    for name in names:
        keys, level = re.split("#|::", name), config
        for n, key in enumerate(keys):
            if not _takes(level, key):
                like = get_close_matches(key, level, n=1) if isinstance(level, Mapping) else []
                meant = "#".join([*keys[:n], *like])
                raise ValueError(
                    f"{where} has no key {name}" + (f": did you mean {meant}?" if like else "")
                )
            level = _part(level, key)


def _takes(level: Any, key: str) -> bool:
    """Whether a part has one of this name; what is made of a class may take more than it names."""
    if isinstance(level, Mapping) and level and "_target_" not in level:
        return key in level
    return not isinstance(level, list) or (key.isdigit() and int(key) < len(level))


def _part(level: Any, key: str) -> Any:
    """Nothing that is known of where a reference leads, or of an empty part."""
    if isinstance(level, list):
        return level[int(key)]
    return level.get(key) if isinstance(level, Mapping) else None
