"""Handlers: what a training run was begun as, so that it does not go on as something else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from multimix_monai.data.integrity import Item, content_hash
from multimix_monai.data.keys import Keys

LEARNT_FROM = ("training", "validation")
PATHS = (Keys.IMAGE, Keys.MASK, Keys.HIDDEN_MASK)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON has them, without parts: `{"a": {"b": (1, 2)}}` -> `{"a#b": [1, 2]}`."""
    return json.loads(json.dumps(dict(_without_parts(settings))))  # type: ignore[no-any-return]


def _without_parts(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}#{key}", inner) for key, inner in _without_parts(value))
        else:
            yield name, value


def refuse_other(now: Mapping[str, Any], before: Mapping[str, Any], *, path: Path) -> None:
    """A run may only go on as what it was begun.

    Args:
        now, before: as of `plain`; what only one of them knows is of another version.
        path: of the checkpoint.

    Raises:
        ValueError: they differ; names each difference with both values.
    """
    names = [name for name in now if name in before and now[name] != before[name]]
    if names:
        differences = "; ".join(f"{name} {before[name]}, now {now[name]}" for name in names)
        raise ValueError(
            f"{path} was begun with other settings ({differences}): choose another --output "
            f"(output_dir), or delete {path} to begin anew"
        )


def data_hash(cases: Mapping[str, Sequence[Item]], *, dataset_dir: str | Path) -> str:
    """As `content_hash`, of what is trained and validated on, wherever the data lie.

    cases: of `load_datalist`, with absolute paths.
    """
    root = Path(dataset_dir).expanduser().absolute()
    parts = {part: [_moved(item, root) for item in cases[part]] for part in LEARNT_FROM}
    return content_hash(parts, dataset_dir=root)


def _moved(item: Item, root: Path) -> Item:
    """The item with paths relative to the root."""
    named = {key: item[key] for key in PATHS if key in item}
    return item | {
        key: os.path.relpath(value, root)
        if isinstance(value, str)
        else [os.path.relpath(file, root) for file in value]
        for key, value in named.items()
    }


def settings_of(module: nn.Module) -> dict[str, Any]:
    """A module's class, and the plain attributes of it and its parts, such as weights of terms."""
    found: dict[str, Any] = {"_target_": type(module).__name__}
    for name, part in module.named_modules():
        own = {k: v for k, v in vars(part).items() if k != "training" and not k.startswith("_")}
        of_part = {k: v for k, v in own.items() if isinstance(v, (bool, int, float, str))}
        found |= {f"{name}.{key}".lstrip("."): value for key, value in of_part.items()}
    return found
